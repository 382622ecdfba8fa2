"""Published files: where they are looked for, and how they are downloaded."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from secrets import token_hex
from typing import IO, TYPE_CHECKING
from urllib.request import Request, urlopen

from search_spaces.errors import DataError
from search_spaces.user_cache import user_cache

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

TIMEOUT_S = 30
CHUNK = 1 << 20


@dataclass(frozen=True)
class RemoteFile:
    """A file at its publisher's address, with the checksum published for it."""

    url: str
    md5: str

    @property
    def name(self) -> str:
        return self.url.rsplit("/", 1)[-1]


def search_path(dataset: str, data_dir: str | None, system: Iterable[Path] = ()) -> list[Path]:
    """Return the folders to look in for `dataset`; downloads go to the last one."""
    if data_dir is not None:
        root = Path(data_dir).expanduser()
        return [root, root / dataset]
    return [*system, user_cache() / "data" / dataset]


def missing(name: str, folders: Sequence[Path]) -> DataError:
    """Return the error for a file that is in none of `folders`, with both ways out."""
    return DataError(
        f"{name} is not in {' or '.join(map(str, folders))}; "
        "name its folder with --data-dir, or fetch it with --download"
    )


def fetch(remote: RemoteFile, folder: Path) -> Path:
    """Download `remote` into `folder`: whole and verified, or not at all.

    Raises:
        DataError: the transfer failed, ended early or does not match the checksum.
    """
    target = folder / remote.name
    part = folder / f".{remote.name}.{token_hex(4)}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        md5 = _transfer(remote.url, part)
        if md5 != remote.md5:
            raise DataError(
                f"{remote.url} has md5 {md5}, published is {remote.md5}; nothing was kept: "
                "try again, or put the file into --data-dir yourself"
            )
        part.replace(target)
    except (OSError, HTTPException) as error:
        raise DataError(
            f"cannot download {remote.url} to {folder}: {error}; nothing was kept: "
            "try again, or put the file into --data-dir yourself"
        ) from error
    finally:
        with suppress(OSError):
            part.unlink()
    return target


def _transfer(url: str, part: Path) -> str:
    """Copy `url` to `part` and return its md5."""
    from rich.console import Console
    from rich.progress import wrap_file

    console = Console(stderr=True)
    request = Request(url, headers={"User-Agent": "nas"})
    with urlopen(request, timeout=TIMEOUT_S) as response, part.open("wb") as out:
        size = int(response.headers.get("Content-Length") or 0)
        with wrap_file(
            response,
            total=size,
            description=part.name[1:].split(".")[0],
            console=console,
            disable=not console.is_terminal,
        ) as stream:
            md5, copied = _copy(stream, out)
    if copied < size:  # urllib returns a short read in silence
        raise OSError(f"the transfer ended after {copied:,} of {size:,} bytes")
    return md5


def _copy(stream: IO[bytes], out: IO[bytes]) -> tuple[str, int]:
    digest, copied = hashlib.md5(usedforsecurity=False), 0
    while chunk := stream.read(CHUNK):
        out.write(chunk)
        digest.update(chunk)
        copied += len(chunk)
    return digest.hexdigest(), copied
