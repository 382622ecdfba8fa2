"""Every training-free score that is registered keeps the contract."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from evaluators.proxy import PROXIES, Batch, first_batch, score
from evaluators.testing import ProxyContract, batch, network
from search_spaces.errors import CandidateError, UnknownName


class TestEveryProxy(ProxyContract):
    @pytest.fixture(params=list(PROXIES))
    def name(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)


def test_an_unknown_proxy_gets_the_nearest_name() -> None:
    with pytest.raises(UnknownName, match="unknown proxy 'synflw'; did you mean 'synflow'"):
        score("synflw", network(), batch())


def test_a_score_that_is_not_finite_is_the_candidates_fault() -> None:
    dead = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 4))
    nn.init.zeros_(dead[1].weight)
    nn.init.zeros_(dead[1].bias)
    with pytest.raises(CandidateError, match="score synflow is -inf"):
        score("synflow", dead, batch())


def test_a_batch_is_normalised() -> None:
    from evaluators.data import DataSpec, load

    images = load(DataSpec())
    found = first_batch(images, size=2_000)
    assert found.images.shape == (2_000, *images.shape)
    assert found.labels.equal(images.train.labels[:2_000])
    assert abs(float(found.images.mean())) < 0.05
    assert abs(float(found.images.std()) - 1) < 0.05


def test_hooks_of_a_proxy_end_with_its_copy() -> None:
    model = network()
    for name in PROXIES:
        score(name, model, Batch(torch.rand(4, 3, 32, 32), torch.arange(4)))
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in model.modules())
