"""The state of a training on disk: whole or not there at all, and read without unpickling code."""

from __future__ import annotations

import io
import pickle
import struct
from contextlib import suppress
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import torch

from search_spaces.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

State = dict[str, Any]
_DAMAGE = (  # what torch.load raises at files that are none, or cut short
    OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, RuntimeError,
    struct.error, pickle.UnpicklingError,
)  # fmt: skip


def write_checkpoint(path: Path, state: State) -> None:
    """Write `state`, tensors and plain values, to `path`.

    Raises:
        OSError: the disk is full, or not to be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()  # torch hides what a full disk raises
    torch.save(state, content)
    part = path.with_name(f".{path.name}.{token_hex(4)}.part")
    try:
        part.write_bytes(content.getbuffer())
        part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink()


def read_checkpoint(path: Path) -> State:
    """Return what `write_checkpoint` wrote.

    Raises:
        DataError: the file is no checkpoint.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except _DAMAGE as error:
        raise DataError(f"{path} is damaged or no checkpoint; delete it to begin anew") from error
    if not isinstance(state, dict):
        raise DataError(f"{path} is no checkpoint; delete it to begin anew")
    return state
