"""What every sampler must do in a study of ours."""

import subprocess
import sys

import pytest

from evaluators.evaluator import Metric
from nas.samplers import SAMPLERS
from nas.study import Study
from search_spaces.arch import Task
from search_spaces.blocks.mbconv import MBConv
from search_spaces.blocks.shufflev2 import ShuffleV2
from search_spaces.budget import Budget
from search_spaces.errors import UnknownName
from search_spaces.heads import Head
from search_spaces.space import Space, StageSpace
from search_spaces.spaces import SPACES
from search_spaces.stems import Stem

TASK = Task(10, (1, 28, 28))
ACCURACY, LATENCY, PARAMS = (
    Metric("accuracy", "max"),
    Metric("latency_ms", "min"),
    Metric("params", "min"),
)

_KINDS = (
    MBConv.over(kernel=(3,), expand=(3,), se=(False,)),
    ShuffleV2.over(kernel=(3,), se=(False,)),
)
FEW = Space(
    "few", Stem(16), (16,), (StageSpace((32, 64, 96, 128), (1,), 2, _KINDS),) * 3, Head(), (0,)
)  # genes; gp takes seconds a proposal where there are dozens


def figures(candidate):
    width = sum(stage.width for stage in candidate.arch.stages)
    return {
        "accuracy": width / 1_000,
        "latency_ms": candidate.cost.macs / 1e6,
        "params": float(candidate.cost.params),
    }


def study(sampler, objectives=(ACCURACY,), seed=3, **options):
    space = FEW if sampler == "gp" else SPACES["small"]
    return Study(space, TASK, objectives, sampler=sampler, seed=seed, **options)


def play(study, count, limit=None):
    digests = []
    for _ in range(count):
        candidate = study.ask()
        metrics = figures(candidate)
        broken = {} if limit is None else {"latency_ms": metrics["latency_ms"] - limit}
        outcome = "infeasible" if any(v > 0 for v in broken.values()) else "complete"
        study.tell(candidate, outcome, metrics, constraints=broken)
        digests.append(candidate.arch.digest)
    return digests


class SamplerContract:
    sampler: str

    @pytest.mark.parametrize("objectives", [(ACCURACY,), (ACCURACY, LATENCY), (PARAMS, ACCURACY)])
    def test_candidates_are_new_and_within_the_budget(self, objectives):
        found = study(self.sampler, objectives, budget=Budget(params=80_000, macs=9_000_000))
        assert len(set(play(found, 20))) == 20
        assert found.frame()["params"].max() <= 80_000
        assert found.frame()["macs"].max() <= 9_000_000

    def test_three_objectives(self):
        assert len(set(play(study(self.sampler, (ACCURACY, LATENCY, PARAMS)), 20))) == 20

    def test_constraints(self):
        assert len(set(play(study(self.sampler), 20, limit=2.0))) == 20

    def test_candidates_under_way_are_never_proposed_again(self):
        found = study(self.sampler)
        play(found, 12)
        batch = [found.ask() for _ in range(8)]
        assert len({candidate.arch.digest for candidate in batch}) == 8
        for candidate in reversed(batch):
            found.tell(candidate, "complete", figures(candidate))
        assert not {c.arch.digest for c in batch} & set(play(found, 5))

    def test_failed_candidates_are_never_proposed_again(self):
        found = study(self.sampler)
        digests = []
        for _ in range(12):
            candidate = found.ask()
            digests.append(candidate.arch.digest)
            found.tell(candidate, "failed", {}, reason="out of memory")
        assert len(set(digests)) == 12

    def test_a_proposal_depends_on_seed_number_and_what_was_told(self):
        digests = play(study(self.sampler), 14)
        assert digests != play(study(self.sampler, seed=4), 14)
        script = "from tests.nas.samplers.test_samplers import *; "
        script += f"print(*play(study({self.sampler!r}), 14))"
        run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert run.stdout.split() == digests, run.stderr


class TestRandom(SamplerContract):
    sampler = "random"


class TestTPE(SamplerContract):
    sampler = "tpe"


class TestNSGA2(SamplerContract):
    sampler = "nsga2"


class TestNSGA3(SamplerContract):
    sampler = "nsga3"


class TestAging(SamplerContract):
    sampler = "aging"


class TestAuto(SamplerContract):
    sampler = "auto"


@pytest.mark.slow
class TestGP(SamplerContract):
    sampler = "gp"


def test_gp_without_scipy_says_what_to_do(monkeypatch):
    monkeypatch.setattr("nas.samplers.gp.find_spec", lambda name: None)
    with pytest.raises(UnknownName, match=r"'gp' needs SciPy: pip install 'nas-compact\[gp\]'"):
        study("gp").ask()


def test_all_samplers_are_held_to_the_contract():
    assert {c.sampler for c in SamplerContract.__subclasses__()} == set(SAMPLERS)
