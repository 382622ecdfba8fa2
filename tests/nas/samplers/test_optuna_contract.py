"""Optuna's own tests, which it ships for samplers of others, on all of ours."""

from __future__ import annotations

from functools import partial

import pytest
from optuna.samplers import GPSampler
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    MultiObjectiveSamplerTestCase,
    RelativeSamplerTestCase,
)

from nas.samplers import SAMPLERS
from nas.samplers.aging import AgingSampler
from nas.samplers.auto import AutoSampler

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
OURS = {"aging": AgingSampler, "auto": AutoSampler}


def factory(name):
    """A sampler for any study; ours know no space here."""
    return partial(OURS[name], seed=0) if name in OURS else partial(SAMPLERS[name].make, None, 0)


@pytest.fixture(params=list(SAMPLERS))
def sampler(request):
    return factory(request.param)


class TestBasic(BasicSamplerTestCase):
    @pytest.fixture
    def sampler(self, sampler):
        return sampler


class TestSeveralObjectives(MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self, sampler):
        return sampler


class TestRelative(RelativeSamplerTestCase):  # of those that draw all parameters together
    @pytest.fixture(params=["aging", "auto", pytest.param("gp", marks=pytest.mark.slow)])
    def sampler(self, request):
        if request.param == "gp":  # its first ten are drawn one by one
            return partial(GPSampler, seed=0, n_startup_trials=0, deterministic_objective=False)
        return factory(request.param)
