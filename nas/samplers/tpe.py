"""Optuna's tree-structured Parzen estimators: Bergstra et al. 2011."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optuna.samplers import TPESampler

from ._table import SAMPLERS, SamplerSpec

if TYPE_CHECKING:
    from ._table import Problem


def _make(_: Problem, seed: int) -> TPESampler:
    return TPESampler(seed=seed, n_startup_trials=10)


SAMPLERS.register("tpe")(SamplerSpec(_make, "Parzen estimators: Bergstra et al. 2011"))
