"""What a training asks of memory: that it be kept, and a clear word when there is none."""

from __future__ import annotations

import ctypes
import sys
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import torch

from search_spaces.errors import CandidateError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Parameters of mallopt(3), from malloc.h, and the values that keep freed memory in one heap.
_KEEP = {"M_ARENA_MAX": (-8, 1), "M_MMAP_MAX": (-4, 0), "M_TRIM_THRESHOLD": (-1, -1)}


@cache
def keep_freed_memory() -> bool:
    """Let this process keep the memory that it frees, from now on; return whether it can.

    Without this, glibc returns every large activation to the system and fetches it anew, page by
    page, in the next step: up to a third of a training's time on a CPU. Other C libraries are not
    touched.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(*setting) for setting in _KEEP.values())


@contextmanager
def memory_suffices() -> Iterator[None]:
    """Turn a lack of memory inside into a failure of the candidate.

    Raises:
        CandidateError: the memory does not suffice.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch.OutOfMemoryError is a RuntimeError
        if not _lacks_memory(error):
            raise
        raise CandidateError(
            f"not enough memory for this network; a smaller `batch` may help: {error}"
        ) from error


def _lacks_memory(error: Exception) -> bool:
    # PyTorch's allocator for the CPU has no exception of its own: Linux, then Windows.
    texts = ("can't allocate memory", "not enough memory")
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(
        text in str(error) for text in texts
    )
