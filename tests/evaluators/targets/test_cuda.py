"""A GPU: clear where there is none, tested where there is one."""

from __future__ import annotations

import pytest
import torch

from evaluators.runtimes import TargetUnavailable
from evaluators.target import parse_target
from evaluators.testing import SHAPE, TargetContract, network
from search_spaces.errors import SpecError


def test_without_a_gpu_it_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    target = parse_target("cuda")
    with (
        pytest.raises(TargetUnavailable, match="finds no CUDA device here: it needs an NVIDIA GPU"),
        target.load(target.export(network(), SHAPE), torch.rand(1, *SHAPE)),
    ):
        pass
    with pytest.raises(TargetUnavailable, match="finds no CUDA device"):
        assert target.runtime


def test_threads_mean_nothing() -> None:
    with pytest.raises(SpecError, match=r"'cuda:threads=2': `threads` \(=2\) must be 1"):
        parse_target("cuda:threads=2")


@pytest.mark.gpu
class TestCuda(TargetContract):
    @pytest.fixture(params=["cuda:batch=2", "cuda:batch=2,precision=float32"])
    def text(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)


@pytest.mark.gpu
def test_half_the_precision_is_no_slower() -> None:
    def ms(precision: str) -> float:
        target = parse_target(f"cuda:batch=64,precision={precision}")
        with target.load(target.export(network(256), SHAPE), torch.rand(64, *SHAPE)) as timer:
            timer(3)
            return min(timer(10) for _ in range(5))

    assert ms("float16") < ms("float32")
