"""Files that appear whole or not at all, and files of strangers, read with care."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from search_spaces.strict_json import parse_json

if TYPE_CHECKING:
    from pathlib import Path

_MOST = 16 << 20  # bytes of a text file of ours; an architecture of 1,000 blocks has 0.1 MB


def read_text(path: Path) -> str:
    """Return the text of a file that may come from a stranger.

    Raises:
        OSError: it cannot be read, or is no file: a device or a pipe might never end.
        ValueError: longer than any file of ours, or no UTF-8.
    """
    refuse_special(path)
    with path.open("rb") as file:
        content = file.read(_MOST + 1)
    if len(content) > _MOST:
        raise ValueError(f"longer than {_MOST:,} bytes")
    return content.decode()


def read_json(path: Path) -> Any:
    """Return the value of a JSON file; raises what `read_text` and `parse_json` do."""
    return parse_json(read_text(path))


def refuse_special(path: Path) -> None:
    """Refuse what is no plain file, before it is opened.

    Raises:
        OSError: missing, or a folder, a device or a pipe.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(0, "is no plain file", str(path))


def file_states(folder: Path) -> dict[str, tuple[int, int]]:
    """Return time and size of each file within a folder, by name: another state is a change."""
    found = {}
    for path in sorted(folder.rglob("*")):
        with suppress(FileNotFoundError):  # gone meanwhile
            if path.is_file():
                state = path.stat()
                found[path.relative_to(folder).as_posix()] = state.st_mtime_ns, state.st_size
    return found


def write_bytes(path: Path, content: bytes) -> None:
    """Replace the file `path` by one with `content`: after a crash it is the old one or the new."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with draft.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()


def write_text(path: Path, text: str) -> None:
    """Do what `write_bytes` does, with `text` in UTF-8."""
    write_bytes(path, text.encode())
