"""Who is not trained at all: candidates whose training-free score is among the worst."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from evaluators.data import load
from evaluators.ledger import spending
from evaluators.proxy import PROXIES, first_batch, score
from evaluators.quiet import working
from evaluators.target import torch_threads
from search_spaces.errors import CandidateError
from search_spaces.network import build
from search_spaces.plugins import blame

from .config import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evaluators.data import DataSpec
    from evaluators.proxy import Batch
    from search_spaces.arch import Arch, Task
    from search_spaces.subspace import Subspace

SAMPLE = 32  # random architectures whose scores say what is bad
SHARE = 1 / 3


def parse_screen(text: str) -> tuple[str, float]:
    """Return the proxy and the share that `text` names: "snip", "snip:0.5".

    Raises:
        UnknownName: no proxy has this name.
        ConfigError: the share is not between 0 and 1.
    """
    name, colon, share = text.partition(":")
    PROXIES[name]
    try:
        value = float(share) if colon else SHARE
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise ConfigError(f"`screen` (={text!r}) must have a share between 0 and 1: {name}:0.5")
    return name, value


@dataclass(frozen=True)
class Sieve:
    """The score that the worst share of random architectures falls short of.

    A limit depends on nothing but the fields, so it is the same for any order of candidates and
    after a resume. There is one for each resolution: scores grow or shrink with the images,
    whatever these are worth, so that one limit would keep out the architectures of some resolution.

    Args:
        proxy: name of the score.
        share: from 0 to 1.
        inside: where the architectures come from.
        task: what they are for.
        data: the images; a batch of the training images is looked at.
        seed: of the sample, the weights, and what the score draws.

    Raises:
        UnknownName: no proxy has this name.
    """

    proxy: str
    share: float
    inside: Subspace
    task: Task
    data: DataSpec
    seed: int

    def score(self, arch: Arch) -> float:
        """Return the score of `arch`; more is better.

        Raises:
            CandidateError: it is not finite, or a block of the user's own fails.
        """
        try:
            return self._score(arch)
        except Exception as error:
            if reason := blame(error):
                raise CandidateError(reason) from error
            raise

    def _score(self, arch: Arch) -> float:
        with working(), torch_threads(1), spending("scoring"):  # one thread: one order of sums
            network = build(arch, self.task, self.seed)
            batch = _first_batch(self.data.sized(arch.resolution))
            return score(self.proxy, network, batch, self.seed)

    def limit(self, resolution: int | None = None) -> float:
        """Return the score below which a candidate of this resolution is not trained."""
        if resolution not in self._limits:
            inside, rng = self._of(resolution), random.Random(self.seed)
            scores = [self._score_or_worst(inside.sample(rng)) for _ in range(SAMPLE)]
            self._limits[resolution] = float(np.quantile(scores, self.share, method="lower"))
        return self._limits[resolution]

    def too_bad(self, arch: Arch, metrics: Mapping[str, float]) -> str:
        """Return why a candidate is not trained; nothing if it is."""
        found, limit = metrics[self.proxy], self.limit(arch.resolution)
        return f"{self.proxy} {found:.4g} is below {limit:.4g}" if found < limit else ""

    def excess(self, arch: Arch, metrics: Mapping[str, float]) -> dict[str, float]:
        """Return by how much the score, if it is known, falls short: samplers learn from it."""
        limit = self.limit(arch.resolution) if self.proxy in metrics else -np.inf
        return {self.proxy: limit - metrics[self.proxy]} if np.isfinite(limit) else {}

    @cached_property
    def _limits(self) -> dict[int | None, float]:
        """The limits that were asked for, by resolution."""
        return {}

    def _of(self, resolution: int | None) -> Subspace:
        """Return the architectures of one resolution."""
        if resolution is None:
            return self.inside
        space = replace(self.inside.space, resolution=(resolution,))
        return space.within(self.inside.budget, self.inside.task)

    def _score_or_worst(self, arch: Arch) -> float:
        try:
            return self.score(arch)
        except CandidateError:
            return -np.inf


@lru_cache(maxsize=8)  # one for each resolution
def _first_batch(data: DataSpec) -> Batch:
    return first_batch(load(data))
