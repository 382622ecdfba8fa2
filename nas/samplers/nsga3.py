"""Optuna's NSGA-III: Deb and Jain 2014."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import NSGAIIISampler

from ._table import SAMPLERS, SamplerSpec
from .nsga2 import POPULATION

if TYPE_CHECKING:
    from ._table import Problem


def _make(_: Problem, seed: int) -> NSGAIIISampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # the major version is pinned
        return NSGAIIISampler(population_size=POPULATION, seed=seed)


SAMPLERS.register("nsga3")(
    SamplerSpec(_make, "genetic, reference directions: Deb and Jain 2014", flat=True)
)
