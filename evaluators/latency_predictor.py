"""A network's latency from its parts': their sum, corrected by what whole networks have shown.

Parts are timed by themselves (`part_latency`), so that a sum misses what neighbours save and what
each call costs. A linear correction is fitted on whole networks measured end to end, by ridge
regression towards the plain sum, on relative errors. Its interval is conformal by cross-validation
(CV+, Barber et al. 2021, with residuals relative to the prediction): nine in ten new networks of
the same space lie in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, prod
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .latency_cache import Timing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from search_spaces.arch import Arch, Part, Task

FEWEST = 40  # whole networks, from which a correction and its interval mean something
COVERAGE = 0.9
FOLDS = 10
RIDGE = 3e-4  # times the number of networks, on standardised features


class Sample(NamedTuple):
    """What a network's parts sum up to, and how long it takes as a whole."""

    features: tuple[float, ...]
    ms: float


@dataclass(frozen=True)
class Predictor:
    """Predicts the latency of networks of one space for one task on one target.

    Attributes:
        kinds: the parts that it knows, by class name.
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
    """Return what the correction weighs: sums over the parts, and over each kind of them.

    The first is the sum of all milliseconds; then come the elements of all inputs and outputs, the
    weights (which a part by itself finds in the caches, and a network does not), and for each kind
    its milliseconds and its number.
    """
    total = moved = weights = 0.0
    ms_of, count_of = dict.fromkeys(kinds, 0.0), dict.fromkeys(kinds, 0.0)
    for part in arch.parts(task):
        ms, kind, site = part_ms(part), type(part.spec).__name__, part.site
        total += ms
        weights += part.cost.params
        moved += site.c_in * prod(site.hw) + site.c_out * prod(site.hw_out)
        ms_of[kind] += ms
        count_of[kind] += 1
    return (total, moved, weights, *ms_of.values(), *count_of.values())


def kinds_of(archs: Iterable[Arch], task: Task) -> tuple[str, ...]:
    """Return the class names of the parts of `archs`, sorted: stem and head are kinds, too."""
    return tuple(sorted({type(p.spec).__name__ for a in archs for p in a.parts(task)}))


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
