"""What an inference takes beside time, as one dictionary."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from evaluators import energy as counters
from evaluators.footprint import file_size, footprint
from evaluators.program import program_of
from evaluators.runtimes import GraphError
from evaluators.target import parse_target
from search_spaces.arch import Arch, Task

ARCH = Arch.from_text("stem(width=8) | stage(width=8,stride=2): mbconv | head")
TASK = Task(3, (1, 16, 16))


def test_what_can_be_told_is_told() -> None:
    program = program_of(ARCH, TASK, parse_target("cpu"))
    found = footprint(program)
    assert found["file_bytes"] == len(program.model)
    assert ("memory_bytes" in found) == (sys.platform == "linux")
    assert ("energy_mj" in found) == bool(counters.packages(counters.POWERCAP))


def test_a_target_without_a_file_has_no_size() -> None:
    assert file_size(program_of(ARCH, TASK, parse_target("cpu-torch"))) == {}
    small = file_size(program_of(ARCH, TASK, parse_target("cpu-int8")))
    assert small["file_bytes"] > 0


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured on Linux only")
def test_a_broken_model_is_refused() -> None:
    program = program_of(ARCH, TASK, parse_target("cpu"))
    with pytest.raises(GraphError):
        footprint(replace(program, model=b"no graph"))
