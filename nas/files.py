"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


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
