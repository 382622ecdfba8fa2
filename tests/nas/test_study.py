from dataclasses import replace
from random import Random

import pytest
from optuna import load_study

from evaluators.evaluator import Metric, Report
from nas.record import STUDY
from nas.samplers import SAMPLERS
from nas.storage import StudyError
from nas.study import Study
from search_spaces.arch import Task
from search_spaces.blocks.mbconv import MBConv
from search_spaces.budget import Budget
from search_spaces.errors import BudgetError, CandidateError
from search_spaces.heads import Head
from search_spaces.space import Space, StageSpace
from search_spaces.spaces import SPACES
from search_spaces.stems import Stem

SMALL, TASK = SPACES["small"], Task(10, (1, 28, 28))
OBJECTIVES = (Metric("accuracy", "max"), Metric("latency_ms", "min"))
TINY = Space(
    "tiny",
    Stem(8),
    (8, 16),
    (StageSpace((8, 16), (1,), 2, (MBConv.over(expand=(1,), se=(False,)),)),),
    Head(),
    (0,),
)

HUNDREDS = replace(
    TINY,
    stages=(
        StageSpace((8, 16), (1, 2), 2, (MBConv.over(kernel=(3,), expand=(1, 6), se=(False,)),)),
    )
    * 2,
)


def figures(candidate):
    return {"accuracy": candidate.cost.params / 1e7, "latency_ms": candidate.cost.macs / 1e6}


def play(study, count):
    digests = []
    for _ in range(count):
        candidate = study.ask()
        digests.append(candidate.arch.digest)
        study.tell(candidate, "complete", figures(candidate))
    return digests


# gp takes seconds a proposal in this space: see its own tests.
@pytest.fixture(params=[name for name in SAMPLERS if name != "gp"])
def sampler(request):
    return request.param


class TestStudy:
    def test_proposals_are_new_and_within_the_budget(self, sampler):
        study = Study(SMALL, TASK, OBJECTIVES, sampler=sampler, budget=Budget(params=100_000))
        assert len(set(play(study, 25))) == 25
        assert study.frame()["params"].max() <= 100_000

    def test_same_seed_same_proposals(self, sampler):
        first, again, other = (
            play(Study(SMALL, TASK, OBJECTIVES, sampler=sampler, seed=seed), 20)
            for seed in (1, 1, 2)
        )
        assert first == again != other

    def test_a_small_space_is_exhausted_and_then_ends(self, sampler):
        study = Study(TINY, TASK, OBJECTIVES, sampler=sampler)
        assert len(set(play(study, TINY.size()))) == TINY.size()
        assert study.ask() is None

    @pytest.mark.parametrize("budget", [Budget(), Budget(params=5_000)])
    def test_none_of_a_space_of_hundreds_is_left_out(self, budget, monkeypatch):
        monkeypatch.setattr("nas.study._ATTEMPTS", 22)  # twins would otherwise end it only at times
        study = Study(HUNDREDS, TASK, OBJECTIVES, sampler="random", budget=budget)
        tried = {candidate.arch for candidate in study}
        assert tried == {a for a in HUNDREDS.enumerate() if budget.allows(a.cost(TASK))}
        assert 100 < len(tried) <= 288

    def test_a_study_goes_on_where_it_was(self, sampler, tmp_path):
        storage = f"sqlite:///{tmp_path}/study.db"
        first = Study(SMALL, TASK, OBJECTIVES, sampler=sampler, storage=storage)
        before = play(first, 5)
        first.ask()  # under way when the process dies
        second = Study(SMALL, TASK, OBJECTIVES, sampler=sampler, storage=storage)
        assert second.frame()["digest"].tolist() == before
        after = play(second, 20)
        assert second.frame()["number"].tolist() == list(range(25))
        assert before + after == play(Study(SMALL, TASK, OBJECTIVES, sampler=sampler), 25)

    def test_trials_of_another_study_are_refused(self, tmp_path):
        storage = f"sqlite:///{tmp_path}/study.db"
        play(Study(SMALL, TASK, OBJECTIVES, storage=storage), 2)
        for others in (OBJECTIVES[:1], (*OBJECTIVES, Metric("energy_mj", "min"))):
            with pytest.raises(StudyError, match=r"has other objectives: .* name another database"):
                Study(SMALL, TASK, others, storage=storage)
        with pytest.raises(StudyError, match=r"trials of another space, so .*: tiny: gene "):
            Study(TINY, TASK, OBJECTIVES, storage=storage)
        with pytest.raises(StudyError, match=r"trials of another task, .* for 1x28x28, 5 classes,"):
            Study(SMALL, Task(5, (1, 28, 28)), OBJECTIVES, storage=storage)
        renamed = (Metric("top1", "max"), OBJECTIVES[1])
        with pytest.raises(
            StudyError, match=r"other objectives than \['top1', .*: candidate 0 has"
        ):
            Study(SMALL, TASK, renamed, storage=storage)

    def test_objectives_in_another_order_are_refused(self, tmp_path):
        storage = f"sqlite:///{tmp_path}/study.db"
        two = (Metric("latency_ms", "min"), Metric("energy_mj", "min"))
        study = Study(SMALL, TASK, two, storage=storage)
        study.tell(study.ask(), "complete", {"latency_ms": 1.0, "energy_mj": 2.0})
        with pytest.raises(
            StudyError, match=r"other objectives than \['energy_mj', 'latency_ms'\]"
        ):
            Study(SMALL, TASK, two[::-1], storage=storage)

    def test_candidates_have_the_genes_that_the_sampler_is_told_of(self, sampler, tmp_path):
        storage, budget = f"sqlite:///{tmp_path}/study.db", Budget(params=20_000)
        study = Study(SMALL, TASK, OBJECTIVES, sampler=sampler, budget=budget, storage=storage)
        play(study, 5)
        choices = {gene.name: gene for gene in SMALL.genes()}
        record = load_study(study_name=STUDY, storage=storage)
        for told, trial in zip(study.told(), record.trials, strict=True):
            for name, value in SMALL.encode(told.candidate.arch).items():
                found = trial.params[name]
                assert (choices[name].choices[found] if choices[name].ordered else found) == value

    def test_objectives_are_metrics(self):
        with pytest.raises(StudyError, match=r"must hold metrics, .* but got 'accuracy'"):
            Study(SMALL, TASK, ("accuracy",))

    def test_unfit_budgets_are_refused(self):
        with pytest.raises(BudgetError, match=r"`params` \(=10\) is below"):
            Study(SMALL, TASK, OBJECTIVES, budget=Budget(params=10))


class TestTell:
    def test_all_outcomes_are_kept_with_their_reason(self, tmp_path):
        storage = f"sqlite:///{tmp_path}/study.db"
        study = Study(SMALL, TASK, OBJECTIVES, storage=storage)
        study.tell(study.ask(), "failed", {}, reason="the loss is nan")
        study.tell(study.ask(), "stopped", {"accuracy": 0.5, "latency_ms": 1.0, "epochs": 1})
        slow = {"latency_ms": 9.0}
        study.tell(study.ask(), "infeasible", slow, constraints={"latency_ms": 4.0}, reason="slow")
        frame = study.frame()
        assert frame["state"].tolist() == ["failed", "stopped", "infeasible"]
        assert frame["reason"].fillna("").tolist() == ["the loss is nan", "", "slow"]
        assert frame["accuracy"].isna().tolist() == [True, False, True]

        record = load_study(study_name=STUDY, storage=storage)  # as optuna-dashboard reads it
        assert [t.state.name for t in record.trials] == ["FAIL", "COMPLETE", "COMPLETE"]
        assert record.trials[2].constraints == {"latency_ms": 4.0}
        assert [t.number for t in record.best_trials] == [1]

    def test_what_was_not_measured_counts_as_the_worst_so_far(self):
        study = Study(SMALL, TASK, OBJECTIVES)
        for accuracy, latency in ((-3.0, 5.0), (-9.0, 7.0)):
            study.tell(study.ask(), "complete", {"accuracy": accuracy, "latency_ms": latency})
        study.tell(study.ask(), "screened", {}, constraints={"snip": 0.5})
        assert study._trials.told[2].values == [-9.0, 7.0]

    def test_one_that_is_paused_is_told_of_again(self, sampler, tmp_path):
        storage = f"sqlite:///{tmp_path}/study.db"
        study = Study(SMALL, TASK, OBJECTIVES, sampler=sampler, storage=storage)
        first, second = study.ask(), study.ask()
        study.tell(first, "paused", figures(first) | {"epochs": 1}, curve=[0.1])
        third = study.ask()
        study.tell(first, "complete", {"accuracy": 0.9, "latency_ms": 1}, curve=[0.1, 0.9])
        study.enqueue(SMALL.sample(Random(9)))
        study.ask()  # with two others under way, and one enqueued
        for candidate in (third, second):
            study.tell(candidate, "failed", {}, reason="the loss is nan")
        later = Study(SMALL, TASK, OBJECTIVES, sampler=sampler, storage=storage)
        for known in (study, later):
            assert known.frame()["state"].tolist() == ["complete", "failed", "failed"]
            assert known.told()[0].curve == [0.1, 0.9]
            assert known.told()[0].metrics == {"accuracy": 0.9, "latency_ms": 1}
        record = load_study(study_name=STUDY, storage=storage)
        numbers = [trial.user_attrs["number"] for trial in record.trials]
        assert numbers == [0, 0, 2, 1]  # each time that it was told of

    def test_one_that_has_ended_is_not_told_of_again(self):
        study = Study(SMALL, TASK, OBJECTIVES)
        candidate = study.ask()
        study.tell(candidate, "complete", figures(candidate))
        with pytest.raises(StudyError, match="candidate 0 has ended as complete: only one that is"):
            study.tell(candidate, "failed", {})
        assert study.frame()["state"].tolist() == ["complete"]

    def test_what_is_told_again_changes_the_proposals(self, sampler):
        def played(again):
            study = Study(SMALL, TASK, OBJECTIVES, sampler=sampler, seed=3)
            candidates = [study.ask() for _ in range(20)]
            for candidate in candidates:
                study.tell(candidate, "paused", figures(candidate))
            for candidate in candidates[: 10 * again]:
                study.tell(candidate, "complete", {"accuracy": -1.0, "latency_ms": 99.0})
            return [study.ask().arch.digest for _ in range(5)]

        assert (played(True) != played(False)) == (sampler != "random")
        assert played(True) == played(True)

    def test_evaluators_are_asked_in_turn(self):
        def accuracy(arch, task):
            if arch.head.width:
                raise CandidateError("no head")
            yield Report(1, {"accuracy": 0.1})
            yield Report(2, {"accuracy": 0.2})

        def latency(arch, task):
            yield Report(1, {"latency_ms": 3.0})

        study = Study(SMALL, TASK, OBJECTIVES)
        study.evaluate(accuracy, latency, trials=8)
        frame = study.frame()
        done, failed = (frame[frame["state"] == state] for state in ("complete", "failed"))
        assert len(done) + len(failed) == 8
        assert set(done["accuracy"]) == {0.2}
        assert set(done["latency_ms"]) == {3.0}
        assert set(failed["reason"]) == {"no head"}

    def test_a_missing_objective_is_named(self):
        study = Study(SMALL, TASK, OBJECTIVES)
        with pytest.raises(StudyError, match=r"candidate 0 is complete.*missing: latency_ms"):
            study.tell(study.ask(), "complete", {"accuracy": 0.5})

    def test_candidates_are_iterated_over(self):
        study = Study(TINY, TASK, OBJECTIVES)
        for candidate in study:
            study.tell(candidate, "failed", {})
        assert study.asked == TINY.size()

    def test_an_empty_study_has_the_columns(self):
        frame = Study(SMALL, TASK, OBJECTIVES).frame()
        assert frame.empty
        assert {"number", "digest", "params", "accuracy", "reason"} <= set(frame.columns)
