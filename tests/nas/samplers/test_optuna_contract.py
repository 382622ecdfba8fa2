"""Optuna's own tests, which it ships for samplers of others, on all of ours."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec

import pytest
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
    if name == "gp" and find_spec("scipy") is None:
        pytest.skip("needs SciPy")
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
    @pytest.fixture(params=["aging", "auto", "gp"])
    def sampler(self, request):
        return factory(request.param)
