import pytest

from evaluators.evaluator import Metric
from search_spaces.errors import SpecError


def test_a_goal_is_one_of_two():
    with pytest.raises(SpecError, match=r"`goal` \(='maximise'\) of accuracy must be 'min' or 'ma"):
        Metric("accuracy", "maximise")
