"""Who proposes the next candidate: Optuna's samplers under short names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler

from search_spaces.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class SamplerSpec:
    """How a sampler is made and asked.

    Attributes:
        make: seed -> sampler.
        flat: ask for all genes at once and ignore the dormant ones. Relative samplers see only the
            genes that all trials share, which would be few; the others are asked along the draw.
        summary: one line for `nas list samplers`.
    """

    make: Callable[[int], BaseSampler]
    flat: bool
    summary: str


SAMPLERS: Registry[SamplerSpec] = Registry("sampler", "nas.samplers")


def _nsga2(seed: int) -> BaseSampler:
    return NSGAIISampler(population_size=16, seed=seed)  # a short search sees few generations of 50


def _tpe(seed: int) -> BaseSampler:
    return TPESampler(seed=seed, n_startup_trials=16)


def _random(seed: int) -> BaseSampler:
    return RandomSampler(seed=seed)


SAMPLERS.register("nsga2")(
    SamplerSpec(_nsga2, True, "genetic, non-dominated sorting: Deb et al. 2002")
)
SAMPLERS.register("tpe")(SamplerSpec(_tpe, False, "Parzen estimators: Bergstra et al. 2011"))
SAMPLERS.register("random")(SamplerSpec(_random, False, "each gene uniform"))
