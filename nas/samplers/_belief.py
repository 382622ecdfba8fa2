"""What the trials so far say of other points, and how much a point promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ._gaussian import GaussianProcess, learn, normal_scores

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._genome import Array
    from ._guided import History

_KEPT = 400  # trials that the processes hold: the best, and the latest
_SAMPLES, _DIRECTIONS = 24, 48  # draws from the beliefs, and ways to weigh several objectives
_LEAST = 2  # feasible trials without which only the limits are learned
_CERTAIN = 1e-9  # standard deviation of what is known
_MARGIN = 0.25  # of the scores' range, by which the corner of the volume lies below the worst
_STEEPEST = 3.0  # violations beyond this many times the median one count as this many


class Belief:
    """Gaussian processes for objectives and constraints; objectives that follow exactly have none.

    Args:
        history: the trials.
        features: rows -> (N, F).
        groups: (F,) of the features.
        exact: by objective, rows -> (N,) its values, more being better; None where it is learned.
        rng: of the draws that weigh several objectives.
    """

    def __init__(
        self,
        history: History,
        features: Callable[[Array], Array],
        groups: Array,
        exact: list[Callable[[Array], Array] | None],
        rng: np.random.Generator,
    ) -> None:
        self._features, self._exact = features, exact
        pending = features(history.pending)
        known, feasible = features(history.rows), history.feasible
        self._limits = []
        for violation in history.violations.T:
            told = ~np.isnan(violation)
            scaled = _scaled(violation[told])
            weights = learn(known[told], violation[told], groups)
            kept = np.arange(told.sum())[-_KEPT:]
            self._limits.append(GaussianProcess(known[told][kept], scaled[kept], pending, *weights))
        self.rows, self._values = history.rows[feasible], history.values[feasible]
        self.scores = np.stack([normal_scores(v) for v in self._values.T], axis=1)
        self.order = _best_first(self.scores)
        kept = np.union1d(self.order[: _KEPT // 2], np.arange(len(self.rows))[-_KEPT // 2 :])
        self._models: list[GaussianProcess | None] = []
        for i, known_exactly in enumerate(exact):
            if known_exactly or len(self.rows) < _LEAST:
                self._models.append(None)
                continue
            weights = learn(known[feasible], self._values[:, i], groups)
            points = known[feasible][kept]
            self._models.append(GaussianProcess(points, self.scores[kept, i], pending, *weights))
        self._draws = rng.standard_normal((_SAMPLES, 1, len(exact)))
        directions = np.abs(rng.standard_normal((_DIRECTIONS, len(exact))))
        self._directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)

    def promise(self, rows: Array) -> Array:
        """Return (N,) by how much each row is expected to add to the best, times its chances."""
        features = self._features(rows)
        chance = np.ones(len(rows))
        for limit in self._limits:
            mean, deviation = limit.predict(features)
            chance *= _normal_cdf(-mean / deviation)
        if len(self.rows) < _LEAST:
            return chance
        mean, deviation = np.stack(
            [self._predict(i, rows, features) for i in range(len(self._models))], axis=2
        )
        if len(self._models) == 1:
            known = self._models[0]
            best = known.mean(self._features(self.rows)).max() if known else self.scores.max()
            gain = _expected_improvement(mean[:, 0] - best, deviation[:, 0])
        else:
            gain = self._hypervolume_gain(mean, deviation)
        return gain * chance

    def _predict(self, i: int, rows: Array, features: Array) -> tuple[Array, Array]:
        model, exact = self._models[i], self._exact[i]
        if model is not None:
            return model.predict(features)
        assert exact is not None
        scores = _as_scores(exact(rows), self._values[:, i], self.scores[:, i])
        return scores, np.full(len(rows), _CERTAIN)

    def _hypervolume_gain(self, mean: Array, deviation: Array) -> Array:
        """Return (N,) the hypervolume that (N, M) add to the front of scores, up to a factor."""
        low = self.scores.min(axis=0) - _MARGIN * np.ptp(self.scores, axis=0)
        best = self._reach(self.scores - low).max(axis=0)
        gain = np.zeros(len(mean))
        for draw in self._draws:
            reach = self._reach(mean + deviation * draw - low)
            gain += np.maximum(reach - best, 0).sum(axis=1)
        return gain

    def _reach(self, points: Array) -> Array:
        """Return (N, D) how far (N, M) reach in each direction, to the power of M.

        The mean over all directions of the farthest reach is the hypervolume, up to a factor.
        """
        nearest = np.full((len(points), _DIRECTIONS), np.inf)
        for point, direction in zip(points.T, self._directions.T, strict=True):
            np.minimum(nearest, point[:, None] / direction, out=nearest)
        reach: Array = np.maximum(nearest, 0) ** points.shape[1]
        return reach


def _best_first(scores: Array) -> Array:
    """Return the indices of (N, M), those that fewer dominate first, then by the mean score."""
    dominates = np.ones((len(scores), len(scores)), dtype=bool)
    for column in scores.T:
        dominates &= column[:, None] > column
    dominating = dominates.sum(axis=0)
    return np.lexsort((-scores.mean(axis=1), dominating))


def _scaled(violation: Array) -> Array:
    """Return violations so that their size is about 1, the sign kept."""
    middle = np.median(np.abs(violation)) if len(violation) else 0.0
    return np.clip(violation / (middle + 1e-12), -_STEEPEST, _STEEPEST)


def _as_scores(values: Array, known: Array, scores: Array) -> Array:
    """Return what scores `values` (N,) would have among the `known` ones; beyond them, a line."""
    order = np.argsort(known, kind="stable")
    low, high = known[order[0]], known[order[-1]]
    slope = (scores[order[-1]] - scores[order[0]]) / max(high - low, 1e-12)
    inside = np.interp(values, known[order], scores[order])
    outside: Array = np.maximum(values - high, 0) + np.minimum(values - low, 0)
    extended: Array = inside + slope * outside
    return extended


def _expected_improvement(gap: Array, deviation: Array) -> Array:
    z = gap / deviation
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    improvement: Array = deviation * (density + z * _normal_cdf(z))
    return improvement


def _normal_cdf(z: Array) -> Array:
    found: Array = torch.special.ndtr(torch.from_numpy(z)).numpy()
    return found
