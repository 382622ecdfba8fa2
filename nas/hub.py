"""A hub: a folder, here or behind a URL, with models by name and version.

    HUB/NAME/VERSION/    the files of a model, as `save` wrote them; `nas.load` reads the folder

VERSION is made from the SHA-256 of checksums.json, hence of every file: the same model has the same
version everywhere, and no version is ever written twice. Copies are made under a hidden name,
verified there, and get their own at the end.
"""

from __future__ import annotations

import re
import secrets
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from search_spaces.arch import Arch
from search_spaces.errors import NasError

from . import checksums
from .exporter import EXPORTERS
from .exporting import find_model
from .files import read_json, read_text
from .stores import failures, opened
from .verify import faults

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_DIGITS = 12


class HubError(NasError, OSError):
    """A model that is not in a hub, is damaged, or cannot be copied."""


class Hub:
    """The models under a folder or an fsspec URL.

    Raises:
        StoreError: no such kind of URL, or its package is missing.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/") or url
        self._files, self._root = opened(self.url)

    def push(self, source: str, name: str | None = None) -> tuple[str, bool]:
        """Copy a model into the hub; return NAME@VERSION and whether it was new.

        Args:
            source: a model's folder, or a run with `:digest` behind it.
            name: in the hub; by default the architecture's digest.

        Raises:
            HubError: no model, a damaged one, or the hub cannot be written.
        """
        directory = find_model(source)
        if directory is None:
            raise HubError(f"{source}: is neither a model's folder nor a run with models")
        _refuse_faults(directory)
        name = name or Arch.from_json(read_text(directory / "arch.json")).digest
        if not _NAME.fullmatch(name):
            raise HubError(f"{name!r} is no name for a model: letters, digits and . _ - only")
        version = checksums.sha256(directory / checksums.FILE)[:_DIGITS]
        final = f"{self._root}/{name}/{version}"
        with failures(f"cannot push to {self.url}", HubError):
            if self._files.exists(f"{final}/{checksums.FILE}"):
                return f"{name}@{version}", False
            draft = f"{self._root}/{name}/.{version}.{secrets.token_hex(4)}"
            try:
                self._files.makedirs(draft, exist_ok=True)
                for file in _listed(directory):
                    self._files.put_file(str(directory / file), f"{draft}/{file}")
                self._verify(draft)
                self._publish(draft, final)
            finally:
                if self._files.exists(draft):
                    self._files.rm(draft, recursive=True)
        return f"{name}@{version}", True

    def pull(self, wanted: str, out: Path) -> Path:
        """Copy the model NAME[@VERSION], by default the newest version, to the folder `out`.

        Raises:
            HubError: no such model, a damaged one, or `out` is something else.
        """
        name, version = self.find(wanted)
        with failures(f"cannot pull from {self.url}", HubError):
            if out.exists() and (not out.is_dir() or any(out.iterdir())):
                same = (out / checksums.FILE).is_file() and not faults(out)
                if same and checksums.sha256(out / checksums.FILE).startswith(version):
                    return out
                raise HubError(f"{out} exists and is not {name}@{version}; choose another --out")
            draft = out.absolute().with_name(f".{out.absolute().name}.{secrets.token_hex(4)}")
            try:
                draft.mkdir(parents=True)
                self._copy(f"{self._root}/{name}/{version}", draft)
                _refuse_faults(draft, f"{name}@{version} in {self.url}")
                if not checksums.sha256(draft / checksums.FILE).startswith(version):
                    raise HubError(f"{name}@{version} in {self.url} is another model than it says")
                draft.replace(out)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
        return out

    def find(self, wanted: str) -> tuple[str, str]:
        """Return name and version of NAME[@VERSION]; the first digits of a version are enough.

        Raises:
            HubError: no such model, or several.
        """
        name, _, digits = wanted.partition("@")
        versions = self.versions(name) if _NAME.fullmatch(name) else []
        if not versions:
            known = ", ".join(self.names()) or "none"
            raise HubError(f"{self.url} has no model {name!r}; it has: {known}")
        fitting = [version for version in versions if version.startswith(digits)]
        if not fitting or (digits and len(fitting) > 1):
            raise HubError(
                f"{len(fitting)} versions of {name} fit {digits!r}: {', '.join(versions)}"
            )
        return name, fitting[-1]

    def names(self) -> list[str]:
        """Return the names of the models."""
        return [name for name in self._folders(self._root) if self.versions(name)]

    def versions(self, name: str) -> list[str]:
        """Return the versions of a model, in the order in which they were pushed."""
        times = {}
        for version in self._folders(f"{self._root}/{name}"):
            path = f"{self._root}/{name}/{version}/{checksums.FILE}"
            if self._files.exists(path):  # the last file that a copy gets
                times[version] = self._files.modified(path)
        return sorted(times, key=lambda version: (times[version], version))

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each version of each model."""
        return [
            self._row(name, version) for name in self.names() for version in self.versions(name)
        ]

    def _row(self, name: str, version: str) -> dict[str, Any]:
        with TemporaryDirectory() as place, failures(f"cannot read {self.url}", HubError):
            path, about = f"{self._root}/{name}/{version}", Path(place)
            for file in (checksums.FILE, "task.json"):
                self._files.get_file(f"{path}/{file}", str(about / file))
            task, listed = read_json(about / "task.json"), checksums.read(about)
            size = sum(self._files.size(f"{path}/{file}") for file in listed)
            formats = [f for f in EXPORTERS if EXPORTERS[f].file in listed]
            return {
                "name": name,
                "version": version,
                "digest": task["digest"],
                "classes": len(task["classes"]),
                "input": "x".join(map(str, task["shape"])),
                "formats": ", ".join(formats),
                "bytes": size,
            }

    def _folders(self, path: str) -> list[str]:
        if not self._files.isdir(path):
            return []
        found = self._files.ls(path, detail=True)
        names = (
            str(e["name"]).rstrip("/").rsplit("/", 1)[-1] for e in found if e["type"] != "file"
        )
        return sorted(name for name in names if _NAME.fullmatch(name))

    def _copy(self, path: str, directory: Path) -> None:
        """Copy what the list names, so nothing that a stranger put beside it."""
        self._files.get_file(f"{path}/{checksums.FILE}", str(directory / checksums.FILE))
        for file in checksums.read(directory):
            if "/" in file:
                raise HubError(f"{path}: {file} is in a folder, and a model's files are not")
            self._files.get_file(f"{path}/{file}", str(directory / file))

    def _verify(self, path: str) -> None:
        with TemporaryDirectory() as place:
            self._copy(path, Path(place))
            _refuse_faults(Path(place), f"the copy in {self.url}")

    def _publish(self, draft: str, final: str) -> None:
        if "file" in self._files.protocol:
            try:
                Path(draft).rename(final)
            except OSError:  # somebody else pushed the same model meanwhile
                if not Path(final, checksums.FILE).is_file():
                    raise
            return
        for file in sorted(self._files.find(draft), key=lambda file: file.endswith(checksums.FILE)):
            self._files.mv(file, f"{final}/{file.rsplit('/', 1)[-1]}")  # the list, the last, counts


def split_model(text: str) -> tuple[Hub, str]:
    """Return the hub and NAME[@VERSION] of "HUB/NAME[@VERSION]".

    Raises:
        HubError: there is no hub before the name.
    """
    url, slash, wanted = text.rpartition("/")
    if not slash or not wanted:
        raise HubError(f"{text!r} names no model in a hub; write HUB/NAME or HUB/NAME@VERSION")
    return Hub(url or "/"), wanted


def _listed(directory: Path) -> list[str]:
    """Return the names of a model's files, the list itself last."""
    names = [*checksums.read(directory), checksums.FILE]
    for name in names:
        if "/" in name or (directory / name).is_symlink():
            raise HubError(f"{directory / name} is not in the folder itself, and is not pushed")
    return names


def _refuse_faults(directory: Path, called: str | None = None) -> None:
    for line in faults(directory):
        text = line.replace(str(directory), called) if called else line
        raise HubError(f"not copied: {text}")
