"""Who proposes the next candidate: one sampler a file, Optuna's and ours, by name."""

from __future__ import annotations

from ._table import SAMPLERS, Problem, SamplerSpec

__all__ = ["SAMPLERS", "Problem", "SamplerSpec"]
