"""Optuna's NSGA-II: Deb et al. 2002."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optuna.samplers import NSGAIISampler

from ._table import SAMPLERS, SamplerSpec

if TYPE_CHECKING:
    from ._table import Problem

POPULATION = 16  # a short search sees few generations of 50


def _make(_: Problem, seed: int) -> NSGAIISampler:
    return NSGAIISampler(population_size=POPULATION, seed=seed)


SAMPLERS.register("nsga2")(
    SamplerSpec(_make, "genetic, non-dominated sorting: Deb et al. 2002", flat=True)
)
