"""Files behind a URL, as fsspec reaches them; what goes wrong is one line."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import fsspec

from search_spaces.errors import NasError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}


class StoreError(NasError, OSError):
    """A URL that cannot be used, or a store that cannot be reached."""


@contextmanager
def failures(what: str, kind: type[NasError] = StoreError) -> Iterator[None]:
    """Raise what a store raises, each its own, as an error of ours that begins with `what`."""
    try:
        yield
    except NasError:
        raise
    except Exception as error:
        said = getattr(error, "strerror", None) or str(error)
        lines = said.strip().splitlines() or [type(error).__name__]
        raise kind(f"{what}: {lines[0]}") from error


def opened(url: str) -> tuple[Any, str]:
    """Return the file system of a URL or folder, and its path there.

    Raises:
        StoreError: no such kind of URL, or its package is missing.
    """
    try:
        files, root = fsspec.core.url_to_fs(url)
    except ImportError as error:
        extra = _EXTRAS.get(urlsplit(url).scheme)
        way_out = f"pip install 'nas-compact[{extra}]'" if extra else str(error)
        raise StoreError(f"{url} needs another package: {way_out}") from None
    except (ValueError, OSError) as error:
        raise StoreError(f"{url} cannot be used: {error}") from None
    return files, root


class Store:
    """A folder behind a URL, whose files appear whole.

    Args:
        url: as fsspec takes it, without credentials: those belong into the store's own environment
            variables and files.

    Raises:
        StoreError: no such kind of URL, or its package is missing. So does each method where the
            store fails.
    """

    def __init__(self, url: str) -> None:
        if "@" in urlsplit(url).netloc:
            raise StoreError(
                "the URL of a run has credentials before its `@`; give them by the environment "
                "variables or the files of the store"
            )
        self.url = url.rstrip("/")
        self._files, self._root = opened(self.url)

    def found(self) -> dict[str, Any]:
        """Return the files' names, and with each what the store tells of it: changed if it is."""
        with failures(f"{self.url} cannot be read"):
            self._files.invalidate_cache()
            found = self._files.find(self._root, detail=True)
        return {str(path)[len(self._root) + 1 :]: about for path, about in found.items()}

    def read(self, name: str) -> bytes | None:
        """Return the content of a file, or None."""
        with failures(f"{self.url} cannot be read"):
            try:
                return bytes(self._files.cat_file(f"{self._root}/{name}"))
            except FileNotFoundError:
                return None

    def get(self, name: str, path: Path) -> None:
        """Copy a file to this machine."""
        with failures(f"{self.url} cannot be fetched"):
            self._files.get_file(f"{self._root}/{name}", str(path))

    def write(self, name: str, content: bytes) -> None:
        """Write a small file, and the folder."""
        with failures(f"{self.url} cannot be written"):
            if not self._files.async_impl:
                self._files.makedirs(self._root, exist_ok=True)
            self._files.pipe_file(f"{self._root}/{name}", content)

    def put(self, path: Path, name: str) -> None:
        """Copy a file of this machine there."""
        final = f"{self._root}/{name}"
        with failures(f"{self.url} cannot be written"):
            if self._files.async_impl:  # an object store has no folders, and a file appears whole
                self._files.put_file(str(path), final)
                return
            head, _, tail = final.rpartition("/")
            draft = f"{head}/.{tail}.part"
            self._files.makedirs(head, exist_ok=True)
            self._files.put_file(str(path), draft)
            self._files.mv(draft, final)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with failures(f"{self.url} cannot be written"), suppress(FileNotFoundError):
            self._files.rm_file(f"{self._root}/{name}")
