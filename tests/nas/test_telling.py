"""What a study refuses to be told, in one line each."""

import math

import numpy as np
import pytest
import torch

from evaluators.evaluator import Metric
from nas.storage import StudyError
from nas.study import Study
from search_spaces.arch import Task
from search_spaces.spaces import SPACES

SMALL, TASK, LOSS = SPACES["small"], Task(10, (1, 28, 28)), Metric("loss", "min")


@pytest.fixture
def study():
    return Study(SMALL, TASK, (LOSS,))


@pytest.mark.parametrize("objectives", [(), (LOSS, Metric("loss", "max"))])
def test_objectives_are_one_or_more_of_different_names(objectives):
    with pytest.raises(StudyError, match=r"`objectives` \(=\[.*\]\) must be one or more, each"):
        Study(SMALL, TASK, objectives)


def test_an_unknown_outcome(study):
    with pytest.raises(StudyError, match=r"`outcome` \(='pruned'\) must be one of: complete, sto"):
        study.tell(study.ask(), "pruned", {"loss": 1.0})


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite(study, value):
    with pytest.raises(StudyError, match=rf"is complete, so.* finite .*but loss is {value}; tell"):
        study.tell(study.ask(), "complete", {"loss": value})


@pytest.mark.parametrize("value", ["0.5", None, [1.0]])
def test_what_is_no_number(study, value):
    with pytest.raises(StudyError, match=r"`loss` \(=.*\) must be a number"):
        study.tell(study.ask(), "complete", {"loss": value})


@pytest.mark.parametrize("constraints", [None, {"latency_ms": -1.0}])
@pytest.mark.parametrize("outcome", ["infeasible", "screened"])
def test_a_limit_that_is_not_broken(study, outcome, constraints):
    with pytest.raises(StudyError, match=rf"is {outcome}, so `constraints` .* must say by how"):
        study.tell(study.ask(), outcome, {}, constraints=constraints)


def test_a_candidate_of_another_study(study):
    stranger = Study(SMALL, TASK, (LOSS,), seed=1).ask()
    with pytest.raises(StudyError, match=r"candidate 0 must be one that this study returned"):
        study.tell(stranger, "complete", {"loss": 1.0})


def test_what_was_refused_can_be_told_right(study):
    candidate = study.ask()
    with pytest.raises(StudyError):
        study.tell(candidate, "complete", {})
    study.tell(candidate, "complete", {"loss": 1.0})
    assert study.frame()["loss"].tolist() == [1.0]


def test_figures_of_numpy_and_torch_are_plain_in_a_database(tmp_path):
    study = Study(SMALL, TASK, (LOSS,), storage=f"sqlite:///{tmp_path}/study.db")
    for value in (np.float32(0.5), torch.tensor(0.5), 1):
        study.tell(study.ask(), "complete", {"loss": value}, constraints={"size": np.float32(-1)})
    assert study.frame()["loss"].tolist() == [0.5, 0.5, 1]
