"""Repeats: other seeds for those whose place is open, and their mean in the metrics."""

import json
from random import Random
from statistics import fmean, stdev

import pandas as pd
import pytest

import nas
from nas.clock import Clock
from nas.finalists import Finish, finished, keep_metrics
from nas.progress import SILENT
from nas.repeats import Repeats, trainings, with_training
from nas.runs import create_run
from nas.searching import front_of
from nas.setup import Setup

LATENCIES = (1.0, 2.0)


@pytest.fixture
def finals(toy, tmp_path, unruly):
    """Return what makes the repeats of two finalists with a time limit or a number of repeats."""
    run = create_run(nas.SearchConfig(), tmp_path / "run")

    def make(*, timeout=None, repeats=None, seconds=1.0):
        config = nas.SearchConfig(
            data=str(toy / "images.npz"),
            space=str(toy / "space.json"),
            trials=1,
            timeout=timeout,
            repeats=repeats,
            seed=2**32 - 2,
        )
        setup = Setup(config)
        setup.executor = unruly(2, Random(1))
        setup.val_images = 1  # which leaves everything open
        archs = {a.digest: a for a in (setup.space.sample(Random(i)) for i in (1, 2))}
        recipe, models = setup.recipe(4), run / "models"
        for arch, latency in zip(archs.values(), LATENCIES, strict=True):
            if finished(models, arch.digest) is None:
                list(Finish(setup.data, recipe, models, formats=())(arch, setup.task))
                known = finished(models, arch.digest)
                keep_metrics(models, arch.digest, {**known, "latency_ms": latency})

        def measured():
            return {digest: dict(finished(models, digest)) for digest in archs}

        times = dict.fromkeys(archs, seconds)
        clock = Clock(run, timeout)
        return measured, Repeats(setup, clock, SILENT, models, recipe, archs, times, measured)

    return make


def test_open_places_are_settled_by_other_seeds(finals):
    measured, repeats = finals(repeats=2)
    before = measured()
    repeats.run()
    assert any(metrics["accuracy_sd"] > 0 for metrics in measured().values())
    for digest, metrics in measured().items():
        assert metrics["seeds"] == 3
        assert [t["seed"] for t in metrics["trainings"]] == [0, 2**32 - 2, 2**32 - 1]
        accuracies = [t["accuracy"] for t in metrics["trainings"]]
        assert metrics["accuracy_mean"] == pytest.approx(fmean(accuracies))
        assert metrics["accuracy_sd"] == pytest.approx(stdev(accuracies))
        for name in ("accuracy", "test_accuracy", "latency_ms"):  # the exported model's own
            assert metrics[name] == before[digest][name]


@pytest.mark.parametrize(
    ("options", "seeds"),
    [
        ({}, 1),  # no time limit, and nobody asked
        ({"repeats": 0, "timeout": 600.0}, 1),
        ({"timeout": 600.0, "seconds": 1e4}, 1),  # there is no time for another one
        ({"timeout": 600.0}, 3),
    ],
)
def test_by_default_they_keep_to_the_time_limit(finals, options, seeds):
    measured, repeats = finals(**options)
    repeats.run()
    assert {metrics.get("seeds") for metrics in measured().values()} == {seeds}


def test_the_mean_decides_on_the_front_and_the_recommendation():
    columns = ["digest", "accuracy", "accuracy_mean", "latency_ms"]
    rows = [("lucky", 0.95, 0.90, 2.0), ("steady", 0.92, None, 1.0), ("quick", 0.7, 0.7, 0.5)]
    front = front_of(pd.DataFrame(rows, columns=columns))
    assert front["digest"].tolist() == ["steady", "quick"]
    assert front["accuracy_mean"].tolist() == [0.92, 0.7]
    assert front["recommended"].tolist() == [True, False]


def test_metrics_keep_each_training_once():
    once = {"accuracy": 0.8, "test_accuracy": 0.7}
    assert trainings(once, seed=5) == [{"seed": 5, "accuracy": 0.8, "test_accuracy": 0.7}]
    twice = with_training(once, 5, 6, {"accuracy": 0.9, "test_accuracy": 0.9})
    assert (twice["seeds"], twice["test_accuracy_mean"]) == (2, pytest.approx(0.8))
    assert [t["seed"] for t in with_training(twice, 5, 4, once)["trainings"]] == [4, 5, 6]
    assert json.loads(json.dumps(twice)) == twice
