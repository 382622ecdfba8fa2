from __future__ import annotations

import sys

import pytest
import torch

from evaluators.memory import keep_freed_memory, memory_suffices
from search_spaces.errors import CandidateError


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
    ],
)
def test_lack_of_memory_is_the_candidates_failure(error: Exception) -> None:
    with pytest.raises(CandidateError, match="smaller `batch`"), memory_suffices():
        raise error


def test_a_real_lack_of_memory_is_recognised() -> None:
    with pytest.raises(CandidateError, match="not enough memory"), memory_suffices():
        torch.empty(1 << 50)


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="ours") as caught, memory_suffices():
        raise RuntimeError("a bug of ours")
    assert not isinstance(caught.value, CandidateError)


def test_freed_memory_is_kept_on_linux() -> None:
    assert keep_freed_memory() or sys.platform != "linux"
