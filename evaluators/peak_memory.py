"""Peak memory of inference, as Linux counts it for a process."""

from __future__ import annotations

import ctypes
import gc
import re
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from .program import Prepared
from .quiet import measuring
from .target import CpuTarget

if TYPE_CHECKING:
    from .child import Child

STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RUNS = 5


def peak_memory(program: Prepared, child: Child) -> dict[str, float]:
    """Return `memory_bytes`: by how much loading and running make a process grow, at its largest.

    That is weights, activations, what the runtime keeps beside them (packed weights, arenas) and
    what it takes while it loads; not the file itself, nor Python, nor the runtime's own code.
    Empty for targets that do not run in a process here, and on other systems than Linux.

    Args:
        program: the network in question.
        child: a process that has done nothing else: memory that was freed there would not count.
    """
    target, (_, *shape) = program.target, program.example.shape
    if not isinstance(target, CpuTarget) or not CLEAR_REFS.exists():
        return {}
    channels, height, width = shape
    model = target.export(nn.Conv2d(channels, 1, 1), (channels, height, width))
    small = Prepared(target, model, torch.zeros(target.batch, *shape))
    return child.call(_growth, program, small)


def _growth(program: Prepared, small: Prepared) -> dict[str, float]:
    torch.set_num_threads(1)
    with measuring():
        _run(small)  # the runtime's libraries come in with it
        _give_back()
        try:
            CLEAR_REFS.write_text("5")  # the peak falls to what is in use: proc(5)
        except OSError:  # some containers forbid it
            return {}
        before = _resident("VmRSS")
        _run(Prepared(program.target, deepcopy(program.model), program.example))
        return {"memory_bytes": float(_resident("VmHWM") - before)}


def _run(program: Prepared) -> None:
    with program() as timer:
        timer(RUNS)


def _give_back() -> None:
    """Let the C library return freed memory, which the next model would use unseen."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)


def _resident(field: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+) kB$", STATUS.read_text(), re.M)
    assert found, f"{STATUS} has no {field}"
    return 1024 * int(found[1])
