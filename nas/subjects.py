"""The files of a model that are to be tested, by what a user names: a run, a folder or a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from search_spaces.errors import SpecError

from . import checksums
from .exporter import EXPORTERS, Exporter
from .exporting import find_model


@dataclass(frozen=True)
class Subject:
    """A file, and the format that opens it."""

    format: str
    path: Path

    @property
    def exporter(self) -> type[Exporter]:
        """The class of its format."""
        return EXPORTERS[self.format]

    @property
    def folder(self) -> Path | None:
        """The model's folder around it; None around a file from elsewhere."""
        folder = self.path.parent
        return folder if (folder / "task.json").is_file() else None

    def check(self) -> None:
        """Refuse a file that is not the one that its folder's list of checksums has.

        Raises:
            DamagedError: see above; the file was not opened.
        """
        if self.folder is None or not (self.folder / checksums.FILE).exists():
            return
        known = checksums.read(self.folder)
        if self.path.name not in known:
            raise checksums.DamagedError(f"{self.path}: is not in {checksums.FILE}")
        listed = {name: known[name] for name in self.exporter.files() if name in known}
        for fault in checksums.differences(self.folder, listed):
            raise checksums.DamagedError(fault)


def subjects(source: str, formats: str | None = None) -> list[Subject]:
    """Return the files that `source` names.

    Args:
        source: a run, with `:digest` if it has several models, a model's folder, or a file.
        formats: names in `EXPORTERS` with commas between them; by default all that are there and
            run no code when they are opened, or what a file's name says.

    Raises:
        UnknownName: an unknown format.
        SpecError: no such file, or one whose format cannot be told.
    """
    names = [name.strip() for name in (formats or "").split(",") if name.strip()]
    for name in names:
        EXPORTERS[name]
    directory = find_model(source)
    if directory is None:
        return [_file(Path(source), names)]
    there = [name for name in EXPORTERS if (directory / EXPORTERS[name].file).is_file()]
    absent = [name for name in names if name not in there]
    if absent:
        raise SpecError(f"{directory} has no {EXPORTERS[absent[0]].file}; it has: {_list(there)}")
    chosen = names or [name for name in there if not EXPORTERS[name].runs_code]
    return [Subject(name, directory / EXPORTERS[name].file) for name in chosen]


def _file(path: Path, names: list[str]) -> Subject:
    if not path.is_file():
        raise SpecError(f"{path} is neither a file nor the folder of a model or of a run")
    if len(names) > 1:
        raise SpecError(f"`--format` names {len(names)} formats, but {path} is one file")
    known = names or [n for n in EXPORTERS if EXPORTERS[n].file == path.name]
    alike = [n for n in EXPORTERS if Path(EXPORTERS[n].file).suffix == path.suffix]
    known = known or [n for n in alike if not EXPORTERS[n].runs_code]
    if not known:
        raise SpecError(f"{path}: its name tells no format; give one by --format: {_list()}")
    return Subject(known[0], path)


def _list(names: list[str] | None = None) -> str:
    return ", ".join(EXPORTERS if names is None else names)
