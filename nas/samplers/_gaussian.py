"""A Gaussian process whose features matter by group, fitted by marginal likelihood.

Source: Rasmussen and Williams 2006, chapters 2 and 5.
"""

from __future__ import annotations

from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ._genome import Array

_STEPS, _RATE = 40, 0.15  # of Adam
_LEARNED = 160  # values at most from which the hyperparameters are learned
_NOISE, _NOISE_SPREAD = np.log(0.05), 1.5  # prior of the noise's share of the variance, as logs
_WEIGHT_SPREAD = 0.5  # of the prior of the weights, as logs
_REACH = 2.0  # squared distance of two random points, by the prior


def normal_scores(values: Array) -> Array:
    """Return `values` (N,) as the quantiles of a normal distribution; ties share their mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts - 1) / 2  # mean rank of each distinct value, from 1
    normal = NormalDist()
    scores = [normal.inv_cdf((m - 0.375) / (len(values) + 0.25)) for m in middle]
    found: Array = np.array(scores)[inverse]
    return found


class GaussianProcess:
    """Beliefs about a function after some of its values are known.

    Args:
        features: (N, F) where it is known.
        values: (N,) about 0.
        pending: (P, F) where it will be known soon: the mean is taken for true there, so that it
            stays as it is everywhere and only the doubt shrinks.
        weights: (F,) by which squared differences are multiplied.
        noise: variance of a value over that of the function.
    """

    def __init__(
        self, features: Array, values: Array, pending: Array, weights: Array, noise: float
    ) -> None:
        self._roots = np.sqrt(weights)
        self._known = features * self._roots
        inverse = np.linalg.inv(_kernel(self._known) + noise * np.eye(len(values)))
        self._alpha = inverse @ values
        self._scale = max(float(values @ self._alpha) / len(values), 1e-6)
        self._points, self._inverse = self._known, inverse
        if len(pending):
            self._points = np.concatenate([self._known, pending * self._roots])
            gram = _kernel(self._points) + noise * np.eye(len(self._points))
            self._inverse = np.linalg.inv(gram)

    def mean(self, features: Array) -> Array:
        """Return the expected values (N,) at `features` (N, F)."""
        found: Array = _kernel(features * self._roots, self._known) @ self._alpha
        return found

    def predict(self, features: Array) -> tuple[Array, Array]:
        """Return expected values and standard deviations (N,) at `features` (N, F)."""
        cross = _kernel(features * self._roots, self._points)
        explained = np.einsum("ij,ij->i", cross @ self._inverse, cross)
        deviation = np.sqrt(self._scale * np.maximum(1 - explained, 1e-9))
        return cross[:, : len(self._known)] @ self._alpha, deviation


def learn(features: Array, values: Array, groups: Array) -> tuple[Array, float]:
    """Return the weights (F,) and the noise that the first values suggest.

    How many of the first ones grows in steps of a fifth: the answer is kept between them.
    """
    count = min(len(values), 4)
    while (following := max(count + 1, count * 6 // 5)) <= min(len(values), _LEARNED):
        count = following
    found = _learned(
        features[:count].tobytes(), values[:count].tobytes(), groups.tobytes(), features.shape[1]
    )
    return np.exp(np.array(found[:-1]))[groups], float(np.exp(found[-1]))


@lru_cache(maxsize=64)
def _learned(features: bytes, values: bytes, groups: bytes, width: int) -> tuple[float, ...]:
    """Return the logs of each group's weight and of the noise, most probable a posteriori."""
    x, y = np.frombuffer(features).reshape(-1, width), normal_scores(np.frombuffer(values))
    group = np.frombuffer(groups, dtype=int)
    apart = np.array([_squares(x[:, group == g]) for g in range(group.max() + 1)])
    count = len(apart)
    weight = np.log(_REACH / max(apart.sum(axis=0).mean(), 1e-9))
    prior = np.append(np.full(count, weight), _NOISE)
    spread = np.append(np.full(count, _WEIGHT_SPREAD), _NOISE_SPREAD)
    theta, first, second = prior.copy(), np.zeros(count + 1), np.zeros(count + 1)
    for step in range(1, _STEPS + 1):
        slope = _slope(theta, apart, y) - (theta - prior) / spread**2
        first, second = 0.9 * first + 0.1 * slope, 0.99 * second + 0.01 * slope**2
        unbiased = first / (1 - 0.9**step), np.sqrt(second / (1 - 0.99**step))
        theta += _RATE * unbiased[0] / (unbiased[1] + 1e-9)
    return tuple(theta.tolist())


def _slope(theta: Array, apart: Array, y: Array) -> Array:
    """Return the gradient of the log marginal likelihood, the function's variance profiled out."""
    weights, noise = np.exp(theta[:-1]), np.exp(theta[-1])
    kernel = np.exp(-np.tensordot(weights, apart, axes=1))
    inverse = np.linalg.inv(kernel + noise * np.eye(len(y)))
    alpha = inverse @ y
    outer = np.outer(alpha, alpha) / (y @ alpha / len(y) + 1e-12) - inverse
    by_weight = -np.tensordot(apart, outer * kernel, axes=2) * weights / 2
    return np.append(by_weight, noise * np.trace(outer) / 2)


def _kernel(first: Array, second: Array | None = None) -> Array:
    kernel: Array = np.exp(-_squares(first, second))
    return kernel


def _squares(first: Array, second: Array | None = None) -> Array:
    """Return the squared distances (N, M) of rows."""
    second = first if second is None else second
    lengths = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1)
    squares: Array = np.maximum(lengths - 2 * first @ second.T, 0)
    return squares
