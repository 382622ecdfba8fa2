"""SHA-256 of each file of a model's folder, in `checksums.json`, which is written last."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from search_spaces.errors import NasError
from search_spaces.strict_json import parse_json

from .files import read_text, refuse_special, write_bytes, write_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

FILE = "checksums.json"
_PART = 1 << 20


class DamagedError(NasError, ValueError):
    """A file that is not the one that was written."""


def seal(directory: Path, names: Iterable[str]) -> None:
    """Enter what the files `names` of `directory` hold now; other entries stay."""
    known = read(directory) if (directory / FILE).exists() else {}
    known |= {name: sha256(directory / name) for name in names}
    write_text(directory / FILE, text(known))


def replace(directory: Path, contents: Mapping[str, bytes]) -> None:
    """Write files and enter their checksums; who is killed meanwhile leaves the last file old."""
    known = read(directory) if (directory / FILE).exists() else {}
    known |= {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    write_text(directory / FILE, text(known))
    for name, content in contents.items():
        write_bytes(directory / name, content)


def text(known: dict[str, str]) -> str:
    """Return the content of the list."""
    return json.dumps(known, indent=2, sort_keys=True) + "\n"


def read(directory: Path) -> dict[str, str]:
    """Return the SHA-256 of each file by its name.

    Raises:
        DamagedError: the list is missing or not one that `seal` writes, to the byte.
    """
    path = directory / FILE
    try:
        content = read_text(path)
        known = parse_json(content)
    except OSError as error:
        raise DamagedError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise DamagedError(f"{path} is damaged: {error}") from None
    plain = isinstance(known, dict) and all(isinstance(value, str) for value in known.values())
    if not plain or not all(map(_inside, known)) or content != text(known):
        raise DamagedError(f"{path} is damaged: it must hold a SHA-256 by file name")
    return dict(known)


def _inside(name: str) -> bool:
    """Whether a name, with slashes, leads to something visible within the folder."""
    parts = name.split("/")
    return "\\" not in name and ":" not in name and not any(p[:1] in ("", ".") for p in parts)


def differences(directory: Path, known: dict[str, str]) -> Iterator[str]:
    """Yield a line for each file of `known` that is missing or differs."""
    for name, checksum in sorted(known.items()):
        path = directory / name
        try:
            if sha256(path) != checksum:
                yield f"{path}: is not the file that was written: its SHA-256 differs from {FILE}"
        except FileNotFoundError:
            yield f"{path}: is missing"
        except OSError as error:
            yield f"{path}: cannot be read: {error.strerror}"


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    refuse_special(path)
    state = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_PART):
            state.update(part)
    return state.hexdigest()
