"""A run at a URL: it lives in a folder of this machine, and a copy of it on an object store.

The copy follows in a thread of its own. What it holds between two steps is what a killed run
leaves: the list of its files goes before anything changes and comes last, databases are copied
whole, and a model whose copy was cut off is left out when the run is fetched.
What the store has is written down beside the run, so that a resume copies only what differs.
"""

from __future__ import annotations

import json
import secrets
import shutil
from contextlib import contextmanager, nullcontext, suppress
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from search_spaces.user_cache import user_cache

from . import checksums
from .copied_files import backup, belongs, drop_torn_models, order, states
from .files import read_json, write_text
from .following import following
from .runs import RUN_FILE, locked
from .stores import Store, StoreError, failures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

_SITTING = ".sitting"  # names the process that writes the copy: who finds another name there stops
_COPIED = ".copied"  # lists, here only, what the store has: time and size of each file


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
        self._store = Store(url)
        self.url = self._store.url
        name = urlsplit(self.url).path.rpartition("/")[2]
        if not name:
            raise StoreError(f"{url} names no folder of a run, as s3://BUCKET/RUN does")
        self.folder = user_cache() / "runs" / sha256(self.url.encode()).hexdigest()[:12] / name
        self._copied: dict[str, Any] = {}  # the state, here, of what the store has
        self._seen: dict[str, Any] = {}  # what the store told of its files
        self._sitting = ""

    def begin(self) -> None:
        """Claim the URL for a new run.

        Raises:
            StoreError: something is there, or the store refuses us.
        """
        if found := self._found():
            way_on = f", or go on with: nas resume {self.url}" if RUN_FILE in found else ""
            raise StoreError(f"{self.url} exists; choose another --out{way_on}")
        self._claim()

    def go_on(self) -> None:
        """Claim the URL for a run that was fetched, from whoever had it.

        Raises:
            StoreError: the store refuses us.
        """
        found = self._found()  # what has changed there since is taken to differ
        same = {name for name, about in found.items() if self._seen.get(name) == about}
        self._copied = {name: self._copied.get(name) if name in same else None for name in found}
        self._claim()
        write_text(self.folder / _SITTING, self._sitting)

    def fetch(self) -> Path:
        """Bring the run to this machine, unless it has last gone on here; return its folder.

        Raises:
            NasError: there is no run, it cannot be read, or somebody works in its folder.
        """
        here, found = self.folder, self._found()
        self._seen = found
        if RUN_FILE not in found:
            if (here / RUN_FILE).is_file():  # the store was gone before it got anything
                return here
            raise StoreError(f"{self.url} is not a run folder: it has no run.json")
        if here.exists():
            with locked(here):
                pass
            ours = (here / _SITTING).read_bytes() if (here / _SITTING).is_file() else b""
            if ours and ours == self._store.read(_SITTING):
                self._copied = _recorded(here)
                return here
        self._replace(here, found)
        self._copied = dict(states(here))
        return here

    def _replace(self, here: Path, names: Iterable[str]) -> None:
        """Fetch files and make them the run's folder; what went on only there stays beside it."""
        draft = here.with_name(f".{here.name}.{secrets.token_hex(4)}")
        try:
            with failures(f"{self.url} cannot be fetched"):
                (draft / "models").mkdir(parents=True)
                for name in names:
                    (draft / name).parent.mkdir(parents=True, exist_ok=True)
                    self._store.get(name, draft / name)
                drop_torn_models(draft)
                if (here / _SITTING).exists():
                    here.rename(here.with_name(f"{here.name}.{secrets.token_hex(4)}"))
                shutil.rmtree(here, ignore_errors=True)
                draft.rename(here)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    @contextmanager
    def kept(self, note: Callable[[str], None]) -> Iterator[None]:
        """Copy what changes while the run goes on, and at the end.

        Args:
            note: told once that the store fails, that it works again, and that all is copied.

        Raises:
            StoreError: at the end, the store does not take what is left.
        """
        write_text(self.folder / _SITTING, self._sitting)
        try:
            with following(self.push, self._told(note)):
                yield
        except BaseException:
            with suppress(StoreError):  # what went wrong before is what counts
                self.push()
            raise
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

    def _told(self, note: Callable[[str], None]) -> Callable[[StoreError | None], None]:
        def told(error: StoreError | None) -> None:
            if error:
                note(f"{error}; the run goes on in {self.folder}, and this is tried again")
            else:
                note(f"{self.url} works again and has the whole run")

        return told

    def push(self) -> None:
        """Copy what has changed, remove what is gone.

        Raises:
            StoreError: the store fails, or another process has gone on with the run.
        """
        if self._store.read(_SITTING) != self._sitting.encode():
            raise _TakenError(f"another process has gone on with {self.url}: it is left to that")
        here = states(self.folder)
        changed = [name for name, state in here.items() if self._copied.get(name) != state]
        sealed = checksums.FILE in here
        if sealed and changed:  # then databases are at rest, and the list has their very bytes
            changed += [name for name in here if name.endswith(".db") and name not in changed]
        gone = self._copied.keys() - here.keys()
        if not changed and not gone:
            return
        with TemporaryDirectory() as place, failures(f"{self.url} cannot be written"):
            shutil.copyfile(self.folder / RUN_FILE, Path(place) / RUN_FILE)
            if checksums.FILE in self._copied:  # it is in force while nothing changes
                self._remove([checksums.FILE])
            if sealed:
                changed = [*(name for name in changed if name != checksums.FILE), checksums.FILE]
            for name in sorted(changed, key=order):
                try:
                    self._store.put(self._still(name, Path(place), sealed), name)
                    self._copied[name] = here[name]
                except StoreError:
                    if (self.folder / name).exists():  # else it is needed no more
                        raise
            self._remove(gone)
            write_text(self.folder / _COPIED, json.dumps(self._copied))

    def _still(self, name: str, place: Path, sealed: bool) -> Path:
        """Return a file that nobody writes while it is copied."""
        path = self.folder / name
        if name == RUN_FILE:
            return place / RUN_FILE
        if sealed or path.suffix != ".db":  # files are replaced, never changed
            return path
        return backup(path, place)

    def _remove(self, names: Iterable[str]) -> None:
        for name in list(names):
            self._store.remove(name)
            self._copied.pop(name, None)

    def _claim(self) -> None:
        self._sitting = secrets.token_hex(8)
        self._store.write(_SITTING, self._sitting.encode())

    def _found(self) -> dict[str, Any]:
        """Return what the store tells of the run's files, by name."""
        return {name: about for name, about in self._store.found().items() if belongs(name)}


def _recorded(folder: Path) -> dict[str, Any]:
    """Return what `push` wrote down: the state of each file when it was copied."""
    try:
        return {name: state and tuple(state) for name, state in read_json(folder / _COPIED).items()}
    except (OSError, ValueError):
        return {}
