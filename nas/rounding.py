"""What a format that rounds loses in accuracy and wins in time, beside the format it comes from.

Such a format takes the ranges of its numbers from training images; it is tested on test images.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from evaluators.data import DataSpec, load
from evaluators.target import torch_threads
from search_spaces.errors import SpecError

from .agreement import WIDE, in_turn
from .pareto import wilson

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evaluators.data import Split

    from .agreement import Runner
    from .exporter import Model

CALIBRATED = 128  # training images; the ranges of more hardly differ
TESTED = 2_000  # test images: half an interval of accuracy is then 2 % at most
_BATCH = 32


@dataclass(frozen=True)
class Rounding:
    """A rounded file beside that of its `Exporter.origin`, each in its own runtime.

    Attributes:
        latency_ratio: median of its time over the origin's, both on one image, in turn.
        latency_ratio_low: lower end of its 95 % bootstrap interval.
        latency_ratio_high: upper end.
        test_images: on which both were tested; None, like the figures that follow, if the model's
            data are not at hand.
        test_accuracy: of the rounded file.
        test_accuracy_low: lower end of its 95 % interval (Wilson).
        test_accuracy_high: upper end.
        origin_test_accuracy: of the origin, on the same images.
    """

    latency_ratio: float
    latency_ratio_low: float
    latency_ratio_high: float
    test_images: int | None = None
    test_accuracy: float | None = None
    test_accuracy_low: float | None = None
    test_accuracy_high: float | None = None
    origin_test_accuracy: float | None = None

    def known(self) -> dict[str, Any]:
        """Return the figures that there are, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def rounding(run: Runner, origin: Runner, model: Model, image: Tensor) -> Rounding:
    """Compare a rounded file with that of its origin.

    Args:
        run: the rounded file.
        origin: the other one.
        model: whose `images` both are tested on, if it has any.
        image: that is timed: (1, C, H, W).
    """
    with torch_threads(1):
        low, ratio, high = in_turn(run, origin, image)
        if model.images is None:
            return Rounding(ratio, low, high)
        test = spread(model.images.test, TESTED)
        ours, theirs = (_accuracy(runner, test) for runner in (run, origin))
    count = len(test)
    return Rounding(ratio, low, high, count, ours, *wilson(ours, count), theirs)


def calibration(model: Model) -> tuple[Tensor, ...]:
    """Return batches of training images from 0 to 1: of the model's own data, if it has any.

    Else those of the bundled data, where their shape is the network's.

    Raises:
        SpecError: it is not.
    """
    images = model.images or load(DataSpec())
    if images.shape != model.task.shape:
        shape = "x".join(map(str, model.task.shape))
        raise SpecError(
            f"8 bits need training images of {shape} to take their ranges from: give the model's "
            "data by --data, or as `Model.images`"
        )
    pixels = spread(images.train, CALIBRATED).images.float() / 255
    return pixels.contiguous().split(_BATCH)  # type: ignore[no-any-return, no-untyped-call]


def spread(split: Split, count: int) -> Split:
    """Return `count` images at equal distances, since a split may be sorted by class."""
    step = max(1, len(split) // count)
    return type(split)(split.images[::step][:count], split.labels[::step][:count])


@torch.inference_mode()
def _accuracy(run: Runner, split: Split) -> float:
    right = 0
    for first in range(0, len(split), _BATCH):
        part = slice(first, first + _BATCH)
        scores = run((split.images[part].float() / 255).contiguous())
        right += int((scores.argmax(1) == split.labels[part]).sum())
    return right / len(split)


def told(found: Mapping[str, Any]) -> str:
    """Return in words what metrics.json has of a rounded format."""
    low, ratio, high = (found[f"latency_ratio{end}"] for end in ("_low", "", "_high"))
    text = (
        "{latency_ratio:.2f} ({latency_ratio_low:.2f} to {latency_ratio_high:.2f}) of the latency "
        "of {origin}"
        + (" on a busy machine" if high - low > WIDE * ratio else "")
        + "; scores differ from the network's by {max_abs_error:.2g} at most, the best class is "
        "the same on {top1_agreement:.0%} of {images} images"
    )
    if "test_accuracy" in found:
        text = (
            "test accuracy {test_accuracy:.2%} (95 % interval {test_accuracy_low:.2%} to "
            "{test_accuracy_high:.2%}), of {origin} {origin_test_accuracy:.2%}, both on "
            "{test_images:,} images; "
        ) + text
    return text.format_map(found)
