"""Who goes on to the next rung, by the time that is left."""

from types import SimpleNamespace

import pytest

from evaluators.fidelity import rungs
from nas.exploring import Exploration
from nas.halving import Promotion

LADDER = rungs("auto", 3, images=54_000, side=28)  # a ninth, a third and all of the images


@pytest.mark.parametrize(
    ("left", "metrics", "rung", "fits"),
    [
        (19.0, {"images_per_s": 1000.0}, 1, True),  # 18,000 images
        (17.0, {"images_per_s": 1000.0}, 1, False),
        (53.0, {"images_per_s": 1000.0}, 2, False),  # 54,000 images
        (0.0, {}, 2, True),  # who knows
        (None, {"images_per_s": 1.0}, 2, True),  # all the time of the world
    ],
)
def test_a_promotion_that_would_be_cut_off_waits(left, metrics, rung, fits):
    exploration = object.__new__(Exploration)
    exploration._clock = SimpleNamespace(left=lambda share: left)
    exploration._known = {7: SimpleNamespace(metrics=metrics)}
    exploration._setup = SimpleNamespace(rungs=LADDER, train_images=54_000)
    assert exploration._in_time(Promotion(7, rung)) is fits
