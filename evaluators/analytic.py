"""Multiply-adds as fvcore counts them on the built network: a second opinion on our formulas.

Only convolutions and linear layers are counted. Shifts are convolutions to fvcore, because that is
how they run, but not to the papers nor to us: see the conventions in `search_spaces/cost.py`.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch

from search_spaces.shift import Shift

if TYPE_CHECKING:
    from search_spaces.arch import Task
    from search_spaces.network import Network


def fvcore_macs(network: Network, task: Task) -> dict[str, int]:
    """Return the multiply-adds of each part of `network` at batch 1, shifts left out.

    fvcore traces one pass, which takes about as long as an inference and a half second more. The
    network is put in evaluation mode.
    """
    with warnings.catch_warnings():
        # fvcore scripts a function when it is imported, and then traces, by PyTorch's old ways.
        warnings.simplefilter("ignore", DeprecationWarning)
        # Sizes of maps become constants, as they should.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        from fvcore.nn import FlopCountAnalysis

        analysis = FlopCountAnalysis(network.eval(), torch.zeros(1, *task.shape))
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        counts = analysis.by_module_and_operator()
    macs = {name: counts[f"parts.{name}"] for name in network.parts}
    shifts = [name for name, module in network.named_modules() if isinstance(module, Shift)]
    totals = {name: count["conv"] + count["linear"] for name, count in macs.items()}
    for name in shifts:
        totals[name.split(".")[1]] -= counts[name]["conv"]
    return {name: int(total) for name, total in totals.items()}
