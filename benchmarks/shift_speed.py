"""How fast the shifts are next to a depthwise 3x3 convolution: python -m benchmarks.shift_speed.

Each turn times the convolution, an operator, and the convolution again, and notes the ratio to the
mean of both; the table has the median of the ratios, their quartiles, and whether the target is
met. `copy` is a plain copy of each map that is written: the limit of what memory allows. Freed
memory is kept, as in training.
"""

from __future__ import annotations

import argparse
import os
from statistics import quantiles
from time import perf_counter
from typing import TYPE_CHECKING
from unittest.mock import patch

import torch
from torch import Tensor, nn

from evaluators.memory import keep_freed_memory
from search_spaces import _shift_compiled
from search_spaces.shift import ActiveShift, GroupedShift, Shift, SparseShift

if TYPE_CHECKING:
    from collections.abc import Callable

SHAPES = ((32, 192, 16, 16), (32, 64, 32, 32), (1, 144, 56, 56))
TURN_S = 0.01  # of the convolution, repeated, in a turn
# The targets of fixed and of learned shifts; forward alone, both forms have the same.
TARGETS = {"pure": (0.7, 2.0), "compiled": (0.4, 1.2), "forward": (1.0, 1.5)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=30)
    arguments = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    forms = ["pure"] if _shift_compiled.library() is None else ["pure", "compiled"]
    load = os.getloadavg()[0]
    print(f"{arguments.threads} threads, {arguments.turns} turns, load {load:.1f} at the start")
    print(f"{'map':>17} {'pass':8} {'operator':16} {'form':8} median  quartiles   target")
    for shape in SHAPES:
        for training in (True, False) if shape[0] == 1 else (True,):
            for form in forms:
                measure(shape, training, form, arguments.turns)
    print(f"load {os.getloadavg()[0]:.1f} at the end")


def measure(shape: tuple[int, ...], training: bool, form: str, turns: int) -> None:
    channels = shape[1]
    x, grad = (torch.randn(shape).to(memory_format=torch.channels_last) for _ in range(2))
    conv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
    conv = conv.to(memory_format=torch.channels_last)
    baseline = step(conv, x, grad, training)
    steps = {name: step(shift, x, grad, training) for name, shift in operators(channels).items()}
    steps["copy"] = lambda: [tensor.clone() for tensor in ((x, grad) if training else (x,))]
    ratios: dict[str, list[float]] = {name: [] for name in steps}
    with patch.dict(os.environ, NAS_COMPILE="0" if form == "pure" else "1"):
        for run in (baseline, *steps.values()):
            run()
        repeats = max(1, round(TURN_S / seconds(baseline, 3)))
        for _ in range(turns):
            for name, run in steps.items():
                before, ours, after = (seconds(f, repeats) for f in (baseline, run, baseline))
                ratios[name].append(2 * ours / (before + after))
    for name, values in ratios.items():
        low, median, high = quantiles(values, n=4)
        learns = "learning" in name
        target = TARGETS[form if training else "forward"][learns]
        verdict = "met" if median <= target else "missed"
        verdict = "" if name == "copy" else f"{target} {verdict}"
        what = "both" if training else "forward"
        text = "x".join(map(str, shape))
        spread = f"{low:.2f}-{high:.2f}"
        print(f"{text:>17} {what:8} {name:16} {form:8} {median:6.2f}  {spread:11} {verdict}")


def operators(channels: int) -> dict[str, Shift]:
    frozen, far = SparseShift(channels), ActiveShift(channels)
    frozen.freeze()
    with torch.no_grad():  # as far as those of a trained network, whose mean is 0.7 and maximum 4.8
        for offsets in far.shift_parameters():
            offsets.normal_(std=1.2)
    return {
        "grouped": GroupedShift(channels),
        "sparse frozen": frozen,
        "sparse learning": SparseShift(channels),
        "active learning": ActiveShift(channels),
        "far learning": far,
    }


def step(module: nn.Module, x: Tensor, grad: Tensor, training: bool) -> Callable[[], None]:
    """Return a forward and backward pass, or a forward pass alone."""
    leaf = x.clone().requires_grad_()

    def both() -> None:
        leaf.grad = None
        module.zero_grad()
        module(leaf).backward(grad)

    @torch.inference_mode()
    def forward() -> None:
        module(x)

    return both if training else forward


def seconds(run: Callable[[], object], repeats: int) -> float:
    start = perf_counter()
    for _ in range(repeats):
        run()
    return (perf_counter() - start) / repeats


if __name__ == "__main__":
    main()
