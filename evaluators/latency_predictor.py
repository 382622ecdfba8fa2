"""A network's latency from its parts': their sum, corrected by what whole networks have shown.

Parts are timed by themselves (`part_latency`), so that a sum misses what neighbours save and what
each call costs. A linear correction is fitted on whole networks measured end to end, by ridge
regression towards the plain sum, on relative errors. Its interval is conformal by cross-validation
(CV+, Barber et al. 2021, with residuals relative to the prediction): nine in ten new networks of
the same space lie in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .latency_cache import Timing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from search_spaces.arch import Arch, Part, Task

FEWEST = 40  # whole networks, from which a correction and its interval mean something
COVERAGE = 0.9
FOLDS = 10
RIDGE = 3e-4  # times the number of networks, on standardised features
ENDS = ("Stem", "Tail", "Head")  # parts that most networks have: no weight of their own


class Sample(NamedTuple):
    """What a network's parts sum up to, and how long it takes as a whole."""

    features: tuple[float, ...]
    ms: float


@dataclass(frozen=True)
class Predictor:
    """Predicts the latency of networks of one space for one task on one target.

    Attributes:
        kinds: the blocks that it knows, by class name.
        weights: of the features.
        low: ends of the interval, as shares of the prediction.
        high: likewise.
        predicted: what was predicted of each network of the fit by a correction that did not see
            it, in ms: what the interval rests on.
    """

    kinds: tuple[str, ...]
    weights: tuple[float, ...]
    low: float
    high: float
    predicted: tuple[float, ...]

    def __call__(self, arch: Arch, task: Task, part_ms: Callable[[Part], float]) -> Timing:
        """Return the predicted latency and its interval, which holds 90 % of networks."""
        ms = float(np.dot(features(arch, task, part_ms, self.kinds), self.weights))
        return Timing(ms, self.low * ms, self.high * ms)


def features(
    arch: Arch, task: Task, part_ms: Callable[[Part], float], kinds: Sequence[str]
) -> tuple[float, ...]:
    """Return what the correction weighs: parts' milliseconds, elements moved, weights.

    The first is the sum over all parts; then come the elements of the blocks' inputs and
    outputs, all weights (which a part by itself finds in the caches, and a network does not),
    and the milliseconds of each kind of block.
    """
    total = moved = weights = 0.0
    ms_of = dict.fromkeys(kinds, 0.0)
    for part in arch.parts(task):
        ms, kind, site = part_ms(part), type(part.spec).__name__, part.site
        total += ms
        weights += part.cost.params
        if kind in ENDS:
            continue
        height, width = site.hw
        moved += site.c_in * height * width + site.c_out * site.hw_out[0] * site.hw_out[1]
        ms_of[kind] += ms
    return (total, moved, weights, *ms_of.values())


def kinds_of(archs: Sequence[Arch]) -> tuple[str, ...]:
    """Return the class names of the blocks in `archs`, sorted."""
    return tuple(sorted({type(b).__name__ for a in archs for s in a.stages for b in s.blocks}))


def fit(samples: Sequence[Sample], kinds: tuple[str, ...]) -> Predictor:
    """Return the correction that `samples`, at least `FEWEST`, suggest.

    Raises:
        ValueError: there are too few.
    """
    if len(samples) < FEWEST:
        raise ValueError(f"`samples` (={len(samples)}) must be at least {FEWEST}")
    inputs = np.array([sample.features for sample in samples])
    times = np.array([sample.ms for sample in samples])
    fold = np.arange(len(samples)) % FOLDS
    predicted = np.empty(len(samples))
    for k in range(FOLDS):
        seen = fold != k
        predicted[~seen] = inputs[~seen] @ _solve(inputs[seen], times[seen])
    low, high = _conformal(times / predicted)
    return Predictor(
        kinds, tuple(_solve(inputs, times).tolist()), low, high, tuple(predicted.tolist())
    )


def _solve(inputs: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights with the least squared relative errors, drawn towards the plain sum."""
    relative = inputs / times[:, None]
    scale = np.sqrt((relative**2).mean(axis=0))
    scale[scale == 0] = 1.0
    relative = relative / scale
    prior = np.zeros(len(scale))
    prior[0] = scale[0]
    ridge = RIDGE * len(times) * np.eye(len(scale))
    wrong = 1.0 - relative @ prior
    return np.asarray(
        (prior + np.linalg.solve(relative.T @ relative + ridge, relative.T @ wrong)) / scale
    )


def _conformal(ratios: NDArray[np.float64]) -> tuple[float, float]:
    """Return the shares of a prediction between which `COVERAGE` of the truths lie."""
    errors = np.sort(np.abs(ratios - 1))
    rank = min(len(errors), ceil((len(errors) + 1) * COVERAGE))
    half = float(errors[rank - 1])
    return max(1 - half, 1e-3), 1 + half
