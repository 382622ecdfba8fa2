"""Converters print to stdout, where `--json` has its answer: what they say goes to stderr."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_OUT, _ERR = 1, 2


@contextmanager
def printing_to_stderr() -> Iterator[None]:
    """Send what is printed to stderr, also by libraries in C, for the whole process."""
    _flush()
    saved = os.dup(_OUT)
    try:
        os.dup2(_ERR, _OUT)
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _flush()
        os.dup2(saved, _OUT)
        os.close(saved)


def _flush() -> None:
    sys.stdout.flush()
    if os.name == "posix":
        ctypes.CDLL(None).fflush(None)  # what C keeps back would come out later, as stdout
