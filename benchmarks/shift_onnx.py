"""Forms of a shift by whole offsets in ONNX Runtime: python -m benchmarks.shift_onnx.

Each is timed with the 1x1 convolution that follows, at batch 1 on one thread, by turns with a
depthwise kernel; the table has the medians of the ratios to it and their quartiles. `export` is
what the module becomes, `none` the 1x1 convolution without a shift, and `split` convolves only
channels that move, where those that do not come first.
"""

from __future__ import annotations

import argparse
import os
import warnings
from itertools import pairwise
from statistics import quantiles
from time import perf_counter
from typing import TYPE_CHECKING, Any

import onnxruntime
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces import _shift_pure as pure
from search_spaces.shift import SparseShift, grouped_offsets
from search_spaces.testing import export_onnx

if TYPE_CHECKING:
    from collections.abc import Callable

SITES = ((96, 28, 24), (192, 14, 48), (144, 56, 24), (384, 7, 96))  # channels, side, width after
TURN_S = 0.004


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=15)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # sizes become constants
    print(f"1 thread, {arguments.turns} turns, load {os.getloadavg()[0]:.1f} at the start")
    for site in SITES:
        channels = site[0]
        rng = torch.Generator().manual_seed(0)
        sorted_steps = (torch.arange(channels) * 9 // channels).float()
        cases = {
            "grouped": grouped_offsets(channels, 3),
            "sorted": ((sorted_steps // 3 - 1), sorted_steps % 3 - 1),
            "to 2": torch.randint(-2, 3, (2, channels), generator=rng).float().unbind(),
            "to 3": torch.randint(-3, 4, (2, channels), generator=rng).float().unbind(),
            "7 of 10 still": mostly_still(channels, rng),
        }
        for case, (dy, dx) in cases.items():
            measure(site, case, dy, dx, arguments.turns)
    print(f"load {os.getloadavg()[0]:.1f} at the end")


def mostly_still(channels: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return offsets as the penalty of sparse shifts leaves them, the channels that move last."""
    offsets = torch.randint(-1, 2, (2, channels), generator=rng).float()
    offsets[:, : channels * 7 // 10] = 0
    return offsets[0], offsets[1]


def measure(site: tuple[int, int, int], case: str, dy: Tensor, dx: Tensor, turns: int) -> None:
    channels, side, width = site
    x, weight = torch.randn(1, channels, side, side), torch.randn(width, channels, 1, 1)
    sessions = {name: session(f, x) for name, f in forms(dy, dx, side, weight).items()}
    results = {name: run(s, x) for name, s in sessions.items() if name != "none"}
    for result in results.values():
        torch.testing.assert_close(result, results["depthwise"], atol=1e-3, rtol=1e-3)
    repeats = max(1, round(TURN_S / seconds(sessions["depthwise"], x, 3)))
    ratios: dict[str, list[float]] = {name: [] for name in sessions}
    for _ in range(turns):
        for name, each in sessions.items():
            baseline = seconds(sessions["depthwise"], x, repeats)
            ratios[name].append(seconds(each, x, repeats) / baseline)
    cells = []
    for name, values in ratios.items():
        low, median, high = quantiles(values, n=4)
        cells.append(f"{name} {median:.2f} ({low:.2f}-{high:.2f})")
    print(f"{channels}x{side}x{side} to {width}, {case}: {', '.join(cells)}", flush=True)


def forms(dy: Tensor, dx: Tensor, side: int, weight: Tensor) -> dict[str, nn.Module]:
    channels, reach = len(dy), int(max(dy.abs().max(), dx.abs().max()))
    kernel = pure.square(torch.stack((dy, dx)), reach)
    rows, columns = kernel.sum(3, keepdim=True), kernel.sum(2, keepdim=True)
    steps = torch.stack((dy, dx)).int().T.tolist()
    first = [i for i in range(channels) if i == 0 or steps[i] != steps[i - 1]]
    runs = [(a, b, *steps[a]) for a, b in pairwise([*first, channels])]
    line = torch.arange(side) + reach
    places = [
        (c * (side + 2 * reach) + line[:, None] + y) * (side + 2 * reach) + line + x
        for c, (y, x) in enumerate(steps)
    ]
    index = torch.stack(places).flatten()
    shift = SparseShift(channels)
    with torch.no_grad():
        for parameter, values in zip(shift.shift_parameters(), (dy, dx), strict=True):
            parameter.copy_(values)

    def slices(x: Tensor) -> Tensor:
        x = F.pad(x, (reach,) * 4)
        cut = [
            (slice(reach + y, reach + y + side), slice(reach + z, reach + z + side))
            for _, _, y, z in runs
        ]
        return torch.cat(
            [x[:, a:b, i, j] for (a, b, _, _), (i, j) in zip(runs, cut, strict=True)], 1
        )

    def gather(x: Tensor) -> Tensor:
        flat = F.pad(x, (reach,) * 4).reshape(1, -1)
        return flat.index_select(1, index).reshape(1, channels, side, side)

    def row_column(x: Tensor) -> Tensor:
        x = F.conv2d(x, columns, None, 1, (0, reach), 1, channels)
        return F.conv2d(x, rows, None, 1, (reach, 0), 1, channels)

    found = {
        "none": Then(lambda x: x, weight),
        "depthwise": Then(lambda x: F.conv2d(x, kernel, None, 1, reach, 1, channels), weight),
        "row and column": Then(row_column, weight),
        "gather": Then(gather, weight),
        "folded": Then(lambda x: x, weight * kernel[:, 0], reach),
        "export": Then(shift, weight),
    }
    if len(runs) <= 300:
        found["slices"] = Then(slices, weight)
    still = next(i for i, step in enumerate(steps) if step != [0, 0])
    if still > 1:

        def split(x: Tensor) -> Tensor:
            moved = F.conv2d(x[:, still:], kernel[still:], None, 1, reach, 1, channels - still)
            return torch.cat((x[:, :still], moved), 1)

        found["split"] = Then(split, weight)
    return dict(found)


class Then(nn.Module):
    """A form, and the convolution that follows."""

    def __init__(self, form: Callable[[Tensor], Tensor], weight: Tensor, padding: int = 0) -> None:
        super().__init__()
        self.form, self.padding = form, padding
        self.weight = nn.Parameter(weight)

    def forward(self, x: Tensor) -> Tensor:
        """(1, C, H, W) -> (1, width, H, W)."""
        return F.conv2d(self.form(x), self.weight, None, 1, self.padding)


def session(form: nn.Module, x: Tensor) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    graph = export_onnx(form, x)
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def run(session: Any, x: Tensor) -> Tensor:
    return torch.from_numpy(session.run(None, {"input0": x.numpy()})[0])


def seconds(session: Any, x: Tensor, repeats: int) -> float:
    feed = {"input0": x.numpy()}
    start = perf_counter()
    for _ in range(repeats):
        session.run(None, feed)
    return (perf_counter() - start) / repeats


if __name__ == "__main__":
    main()
