"""Optuna's Gaussian process with expected (hypervolume) improvement; it needs SciPy."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from optuna.samplers import GPSampler

from search_spaces.errors import UnknownName

from ._table import SAMPLERS, SamplerSpec

if TYPE_CHECKING:
    from ._table import Problem


def _make(_: Problem, seed: int) -> GPSampler:
    if find_spec("scipy") is None:
        raise UnknownName(
            "sampler 'gp' needs SciPy: pip install 'nas-compact[gp]'; 'auto' does without"
        )
    return GPSampler(seed=seed, deterministic_objective=False)


SAMPLERS.register("gp")(SamplerSpec(_make, "Optuna's Gaussian process; needs SciPy", flat=True))
