"""Each gene uniform."""

from __future__ import annotations

from optuna.samplers import RandomSampler

from ._table import SAMPLERS, SamplerSpec

SAMPLERS.register("random")(SamplerSpec(lambda _, seed: RandomSampler(seed), "each gene uniform"))
