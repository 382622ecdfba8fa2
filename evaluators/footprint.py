"""What an inference takes beside time: the file, the memory, the energy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .child import Child
from .energy import energy
from .peak_memory import peak_memory

if TYPE_CHECKING:
    from .program import Prepared


def footprint(program: Prepared) -> dict[str, float]:
    """Return `file_bytes`, `memory_bytes` and `energy_mj`: those that can be told here.

    A process that is made for it measures memory and energy, alone on the machine as far as ours
    go. What a target or a machine does not tell is left out, never estimated.

    Raises:
        TargetUnavailable: the device or its runtime is missing.
        GraphError: the runtime refuses the model.
        ChildDied: the runtime crashed.
    """
    child = Child()
    try:
        return file_size(program) | peak_memory(program, child) | energy(program, child)
    finally:
        child.end()


def file_size(program: Prepared) -> dict[str, float]:
    """Return `file_bytes`, the size of the ONNX file that the target loads, if it loads one."""
    return {"file_bytes": float(len(program.model))} if isinstance(program.model, bytes) else {}
