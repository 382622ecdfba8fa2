"""How fast the shifts are next to a depthwise 3x3 convolution: python -m benchmarks.shift_speed.

Each turn times the convolution, an operator, and the convolution again, and notes the ratio to the
mean of both; the table has the median of the ratios, their quartiles, and whether the target is
met. Learned offsets change before each step, outside the clock, as in training, so nothing made of
them can be used again. With stride 2, the convolution has it, too. `copy` is a plain copy of each
map that is written: the limit of what memory allows. Freed memory is kept, as in training.
Where other programs load the machine, before or after, a warning says so.
"""

from __future__ import annotations

import argparse
import os
from statistics import quantiles
from time import perf_counter
from unittest.mock import patch

import torch
from torch import Tensor, nn

from evaluators.memory import keep_freed_memory
from search_spaces import _shift_compiled
from search_spaces.shift import ActiveShift, GroupedShift, Shift, SparseShift

SHAPES = ((32, 192, 16, 16), (32, 64, 32, 32), (1, 144, 56, 56))
TURN_S = 0.01  # of the convolution, repeated, in a turn
MOST_LOAD = 1.0  # of other programs, in the last minute, above which ratios are not to be trusted
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
    print(f"{arguments.threads} threads, {arguments.turns} turns")
    print_load("at the start", own=0)
    print(f"{'map':>17} {'pass':8} {'operator':24} {'form':8} median  quartiles   target")
    for shape in SHAPES:
        for training in (True, False) if shape[0] == 1 else (True,):
            for form in forms:
                measure(shape, training, form, arguments.turns)
    print_load(f"at the end, of which {arguments.threads} may be ours", own=arguments.threads)


def print_load(when: str, own: int) -> None:
    load = os.getloadavg()[0]
    print(f"load {load:.1f} {when}")
    if load - own > MOST_LOAD:
        print("warning: other programs are running, so met and missed may be theirs: run it again")


def measure(shape: tuple[int, ...], training: bool, form: str, turns: int) -> None:
    channels, x = shape[1], torch.randn(shape).to(memory_format=torch.channels_last)
    baselines = {stride: Step(depthwise(channels, stride), x, training) for stride in (1, 2)}
    steps = {name: Step(shift, x, training) for name, shift in operators(channels).items()}
    steps["copy"] = Step(Copy(), x, training)
    ratios: dict[str, list[float]] = {name: [] for name in steps}
    with patch.dict(os.environ, NAS_COMPILE="0" if form == "pure" else "1"):
        for step in (*baselines.values(), *steps.values()):
            step.seconds(1)
        repeats = max(1, round(TURN_S / baselines[1].seconds(3)))
        for _ in range(turns):
            for name, step in steps.items():
                baseline = baselines[step.stride]
                before, ours, after = (each.seconds(repeats) for each in (baseline, step, baseline))
                ratios[name].append(2 * ours / (before + after))
    for name, values in ratios.items():
        low, median, high = quantiles(values, n=4)
        target = TARGETS[form if training else "forward"]["learning" in name]
        verdict = f"{target} {'met' if median <= target else 'missed'}" if name != "copy" else ""
        what = "both" if training else "forward"
        text, spread = "x".join(map(str, shape)), f"{low:.2f}-{high:.2f}"
        print(f"{text:>17} {what:8} {name:24} {form:8} {median:6.2f}  {spread:11} {verdict}")


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
        "active stride 2 learning": ActiveShift(channels, stride=2),
        "far learning": far,
    }


def depthwise(channels: int, stride: int) -> nn.Module:
    conv = nn.Conv2d(channels, channels, 3, stride, padding=1, groups=channels)
    return conv.to(memory_format=torch.channels_last)


class Copy(nn.Module):
    """A copy of the map, and of its gradient."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same."""
        return x.clone()


class Step:
    """A forward and backward pass, or a forward pass alone."""

    def __init__(self, module: nn.Module, x: Tensor, training: bool) -> None:
        self.module, self.training = module, training
        self.stride = getattr(module, "stride", 1) if isinstance(module, Shift) else 1
        self.x = x.clone().requires_grad_(training)
        self.grad = torch.randn_like(module(x))

    def seconds(self, repeats: int) -> float:
        """Return the mean time of a step."""
        total = 0.0
        for _ in range(repeats):
            self._learn()
            self.x.grad = None
            self.module.zero_grad()
            start = perf_counter()
            if self.training:
                self.module(self.x).backward(self.grad)
            else:
                with torch.inference_mode():
                    self.module(self.x)
            total += perf_counter() - start
        return total / repeats

    @torch.no_grad()
    def _learn(self) -> None:
        if self.training and isinstance(self.module, Shift):
            for offsets in self.module.shift_parameters():
                if offsets.requires_grad:
                    offsets.mul_(0.9999)


if __name__ == "__main__":
    main()
