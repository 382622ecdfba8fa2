"""A run at a URL: it lives in a folder of this machine, and a copy of it on an object store.

The copy follows in a thread of its own. What it holds between two steps is what a killed run
leaves: the list of its files goes before anything changes and comes last, databases are copied
whole, and a model whose copy was cut off is left out when the run is fetched.
"""

from __future__ import annotations

import secrets
import shutil
import sqlite3
from contextlib import closing, contextmanager, nullcontext, suppress
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import fsspec

from search_spaces.errors import NasError
from search_spaces.user_cache import user_cache

from . import checksums
from .files import write_text
from .runs import LOCK_FILE, locked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

SHARE = 0.1  # of the time, at most, in which files are copied
_PAUSE_S = 2.0  # at least
_RUN = "run.json"
_SITTING = ".sitting"  # names the process that writes the copy: who finds another name there stops
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}


class StoreError(NasError, OSError):
    """A URL that cannot be used, or a store that cannot be reached."""


class _TakenError(StoreError):
    """The run is another process's by now."""


def mirror_of(place: Path | str | None) -> Mirror | None:
    """Return the mirror of a run at a URL; None for a folder."""
    return Mirror(str(place)) if isinstance(place, str) and "://" in place else None


def fetched(place: str) -> Path:
    """Return the folder that `place` names; of a run at a URL, its copy on this machine."""
    mirror = mirror_of(place)
    return mirror.fetch() if mirror else Path(place)


def mirrored(mirror: Mirror | None, note: Callable[[str], None]) -> AbstractContextManager[None]:
    """Keep the copy of a run up to date meanwhile; without a mirror, do nothing."""
    return mirror.kept(note) if mirror else nullcontext()


class Mirror:
    """A run at a URL.

    Args:
        url: as fsspec takes it, without credentials: those belong into the store's own environment
            variables and files.

    Attributes:
        url: the same.
        folder: where the run lives on this machine.

    Raises:
        StoreError: no such kind of URL, or its package is missing.
    """

    def __init__(self, url: str) -> None:
        if "@" in urlsplit(url).netloc:
            raise StoreError(
                "the URL of a run has credentials before its `@`; give them by the environment "
                "variables or the files of the store"
            )
        self.url = url.rstrip("/")
        try:
            self._files, self._root = fsspec.core.url_to_fs(self.url)
        except ImportError as error:
            extra = _EXTRAS.get(urlsplit(url).scheme)
            way_out = f"pip install 'nas-compact[{extra}]'" if extra else str(error)
            raise StoreError(f"{url} needs another package: {way_out}") from None
        except (ValueError, OSError) as error:
            raise StoreError(f"{url} cannot be used: {error}") from None
        name = urlsplit(self.url).path.rpartition("/")[2]
        if not name:
            raise StoreError(f"{url} names no folder of a run, as s3://BUCKET/RUN does")
        self.folder = user_cache() / "runs" / sha256(self.url.encode()).hexdigest()[:12] / name
        self._copied: dict[str, tuple[int, int] | None] = {}  # what the store has, by name
        self._sitting = ""

    def begin(self) -> None:
        """Claim the URL for a new run.

        Raises:
            StoreError: something is there, or the store refuses us.
        """
        if found := self._found():
            way_on = f", or go on with: nas resume {self.url}" if _RUN in found else ""
            raise StoreError(f"{self.url} exists; choose another --out{way_on}")
        self._claim()

    def go_on(self) -> None:
        """Claim the URL for a run that was fetched, from whoever had it.

        Raises:
            StoreError: the store refuses us.
        """
        self._copied = dict.fromkeys(self._found())
        self._claim()
        write_text(self.folder / _SITTING, self._sitting)

    def fetch(self) -> Path:
        """Bring the run to this machine, unless it has last gone on here; return its folder.

        Raises:
            NasError: there is no run, it cannot be read, or somebody works in its folder.
        """
        here, found = self.folder, self._found()
        if _RUN not in found:
            if (here / _RUN).is_file():  # the store was gone before it got anything
                return here
            raise StoreError(f"{self.url} is not a run folder: it has no run.json")
        if here.exists():
            with locked(here):
                pass
            ours = (here / _SITTING).read_text("utf-8") if (here / _SITTING).is_file() else ""
            if ours and ours == self._read_sitting():
                return here
        draft = here.with_name(f".{here.name}.{secrets.token_hex(4)}")
        with _failures(f"{self.url} cannot be fetched"):
            (draft / "models").mkdir(parents=True)
            for name in found:
                (draft / name).parent.mkdir(parents=True, exist_ok=True)
                self._files.get_file(f"{self._root}/{name}", str(draft / name))
            _drop_torn_models(draft)
            if (here / _SITTING).exists():  # it went on elsewhere; what only this folder has stays
                here.rename(here.with_name(f"{here.name}.{secrets.token_hex(4)}"))
            shutil.rmtree(here, ignore_errors=True)
            draft.rename(here)
        return here

    @contextmanager
    def kept(self, note: Callable[[str], None]) -> Iterator[None]:
        """Copy what changes while the run goes on, and at the end.

        Args:
            note: told once that the store fails, that it works again, and that all is copied.

        Raises:
            StoreError: at the end, the store does not take what is left.
        """
        write_text(self.folder / _SITTING, self._sitting)
        ended, failing = Event(), False

        def follow() -> None:
            nonlocal failing
            pause = 0.0
            while not ended.wait(pause):
                begun = monotonic()
                try:
                    self.push()
                except StoreError as error:
                    if not failing:
                        note(f"{error}; the run goes on in {self.folder}, and this is tried again")
                    failing = True
                else:
                    if failing:
                        note(f"{self.url} works again and has the whole run")
                    failing = False
                pause = max(_PAUSE_S, (monotonic() - begun) * (1 / SHARE - 1))

        thread = Thread(target=follow, name="nas-mirror", daemon=True)
        thread.start()
        try:
            yield
        except BaseException:
            ended.set()
            thread.join()
            with suppress(StoreError):  # what went wrong before is what counts
                self.push()
            raise
        ended.set()
        thread.join()
        try:
            self.push()
        except _TakenError as error:
            raise StoreError(f"{error}; what was found here is in {self.folder}") from None
        except StoreError as error:
            raise StoreError(
                f"{error}; nothing is lost: the run is in {self.folder}, and is copied by: "
                f"nas resume {self.url}"
            ) from None
        note(f"the run is at {self.url}, too")

    def push(self) -> None:
        """Copy what has changed, remove what is gone.

        Raises:
            StoreError: the store fails, or another process has gone on with the run.
        """
        if self._read_sitting() != self._sitting:
            raise _TakenError(f"another process has gone on with {self.url}: it is left to that")
        here = _states(self.folder)
        changed = [name for name, state in here.items() if self._copied.get(name) != state]
        sealed = checksums.FILE in here
        if sealed and changed:  # then databases are at rest, and the list has their very bytes
            changed += [name for name in here if name.endswith(".db") and name not in changed]
        gone = self._copied.keys() - here.keys()
        if not changed and not gone:
            return
        with (
            TemporaryDirectory() as place,
            _failures(f"{self.url} cannot be written"),
        ):
            shutil.copyfile(self.folder / _RUN, Path(place) / _RUN)
            if checksums.FILE in self._copied:  # it is in force while nothing changes
                self._remove([checksums.FILE])
            if sealed:
                changed = [*(name for name in changed if name != checksums.FILE), checksums.FILE]
            for name in sorted(changed, key=_order):
                try:
                    self._put(self._still(name, Path(place), sealed), name)
                    self._copied[name] = here[name]
                except FileNotFoundError:
                    if (self.folder / name).exists():  # else it is needed no more
                        raise
            self._remove(gone)

    def _still(self, name: str, place: Path, sealed: bool) -> Path:
        """Return a file that nobody writes while it is copied."""
        path = self.folder / name
        if name == _RUN:
            return place / _RUN
        if sealed or path.suffix != ".db":  # files are replaced, never changed
            return path
        with (
            closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)) as one,
            closing(sqlite3.connect(place / path.name)) as other,
        ):
            one.backup(other)
        return place / path.name

    def _put(self, path: Path, name: str) -> None:
        final = f"{self._root}/{name}"
        if self._files.async_impl:  # an object store has no folders, and a file appears whole
            self._files.put_file(str(path), final)
            return
        head, _, tail = final.rpartition("/")
        draft = f"{head}/.{tail}.part"
        self._files.makedirs(head, exist_ok=True)
        self._files.put_file(str(path), draft)
        self._files.mv(draft, final)

    def _remove(self, names: Iterable[str]) -> None:
        for name in list(names):
            with suppress(FileNotFoundError):
                self._files.rm_file(f"{self._root}/{name}")
            self._copied.pop(name, None)

    def _claim(self) -> None:
        self._sitting = secrets.token_hex(8)
        with _failures(f"{self.url} cannot be written"):
            if not self._files.async_impl:
                self._files.makedirs(self._root, exist_ok=True)
            self._files.pipe_file(f"{self._root}/{_SITTING}", self._sitting.encode())

    def _read_sitting(self) -> str:
        with _failures(f"{self.url} cannot be read"):
            try:
                return str(self._files.cat_file(f"{self._root}/{_SITTING}").decode())
            except FileNotFoundError:
                return ""

    def _found(self) -> list[str]:
        """Return the names of the run's files at the URL."""
        with _failures(f"{self.url} cannot be read"):
            self._files.invalidate_cache()
            paths = self._files.find(self._root)
        names = [str(path)[len(self._root) + 1 :] for path in paths]
        return [name for name in names if _belongs(name)]


def _order(name: str) -> tuple[bool, bool, str]:
    """Put run.json, taken before all others, behind what it tells of, and the list last."""
    return name == checksums.FILE, name == _RUN, name


def _states(folder: Path) -> dict[str, tuple[int, int]]:
    """Return time and size of each file that belongs to the copy, by name."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        with suppress(FileNotFoundError):
            if _belongs(name) and path.is_file():
                state = path.stat()
                found[name] = state.st_mtime_ns, state.st_size
    return found


def _belongs(name: str) -> bool:
    """Whether a file is part of a run: no lock, no draft; checkpoints of finalists are hidden."""
    *folders, last = name.split("/")
    if any(folder[:1] in ("", ".") for folder in folders) or last == LOCK_FILE:
        return False
    hidden = last[:1] in ("", ".") and not last.endswith(".pt")
    return not hidden and not last.endswith(("-journal", ".part"))


def _drop_torn_models(folder: Path) -> None:
    """Remove models of which the copy has not all files; of a sealed run, its list will tell."""
    if (folder / checksums.FILE).exists():
        return
    for model in (folder / "models").glob("[!.]*"):
        try:
            torn = any(checksums.differences(model, checksums.read(model)))
        except checksums.DamagedError:
            torn = True
        if torn:
            shutil.rmtree(model)


@contextmanager
def _failures(what: str) -> Iterator[None]:
    try:
        yield
    except NasError:
        raise
    except Exception as error:  # each store raises its own
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise StoreError(f"{what}: {lines[0]}") from error
