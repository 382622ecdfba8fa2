from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import pytest
import torch

import evaluators.accuracy
from evaluators.accuracy import Accuracy
from evaluators.data import DataSpec, Images, Split, load
from evaluators.evaluator import EVALUATORS
from evaluators.fidelity import Fidelity
from evaluators.recipe import Recipe
from search_spaces.arch import Arch, Task
from search_spaces.errors import CandidateError, SpecError

TASK = Task(2, (3, 8, 8))
ARCH = Arch.from_text("stem(width=8,stride=2) | stage(width=8,stride=2): mbconv(expand=3) | head()")
ACCURACY = Accuracy(recipe=Recipe(epochs=2, batch=16, lr=0.4))


class _Untouchable:
    """A test split that complains when it is looked at."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError("the test images were looked at")


def _split(n: int) -> Split:
    labels = torch.arange(n) % 2
    images = torch.randint(100, (n, 3, 8, 8), generator=torch.Generator().manual_seed(n)).byte()
    images[labels == 1, 0] += 100
    return Split(images.contiguous(memory_format=torch.channels_last), labels)


@pytest.fixture(autouse=True)
def _toy_images(monkeypatch: pytest.MonkeyPatch) -> None:
    test: Any = _Untouchable()
    images = Images("toy", ("blue", "red"), _split(96), _split(40), test, (0.3,) * 3, (0.2,) * 3)
    monkeypatch.setattr(evaluators.accuracy, "load", lambda _: images)


def test_reports_every_epoch() -> None:
    reports = list(ACCURACY(ARCH, TASK))
    assert [report.step for report in reports] == [1, 2]
    for report in reports:
        assert report.metrics.keys() == {"accuracy", "loss", "images_per_s"}
        assert 0 <= report.metrics["accuracy"] <= 1


def test_unshifted_channels_are_reported_over_all_sparse_shifts() -> None:
    arch = Arch.from_text(
        "stem(width=8,stride=2) | stage(width=8,stride=1): fe(units=1,expand=1), "
        "fe(units=1,expand=3) | head()"
    )
    *_, last = Accuracy(recipe=Recipe(epochs=1, batch=96, lr=1e-6, shift_penalty=0))(arch, TASK)
    # 8 channels start unmoved, and so do 6 of 24: two groups that do not move, and the remainder.
    still = 8 + (24 // 9 + 24 % 9)
    assert last.metrics["unshifted_share"] == pytest.approx(still / (8 + 24))


def test_same_evaluator_same_figures() -> None:
    first, second = (
        [(report.metrics["accuracy"], report.metrics["loss"]) for report in ACCURACY(ARCH, TASK)]
        for _ in range(2)
    )
    assert first == second


def test_seed_decides_the_first_weights() -> None:
    losses = {
        next(replace(ACCURACY, recipe=replace(ACCURACY.recipe, seed=seed))(ARCH, TASK)).metrics[
            "loss"
        ]
        for seed in (0, 1)
    }
    assert len(losses) == 2


def test_divergence_is_the_candidates_failure() -> None:
    wild = replace(ACCURACY, recipe=Recipe(epochs=2, batch=16, lr=1e30))
    with pytest.raises(CandidateError, match="training diverged in epoch"):
        list(wild(ARCH, TASK))


def test_refuses_another_task() -> None:
    with pytest.raises(
        SpecError, match=r"'bundled' are 3x8x8, 2 classes, but the task is 1x8x8, 2"
    ):
        next(ACCURACY(ARCH, Task(2, (1, 8, 8))))


def test_is_registered_hashable_printable_and_picklable() -> None:
    assert EVALUATORS["accuracy"] is Accuracy
    assert pickle.loads(pickle.dumps(ACCURACY)) == ACCURACY
    assert hash(Accuracy()) == hash(Accuracy(DataSpec(), Recipe()))
    assert "epochs=2" in repr(ACCURACY)
    assert [(metric.name, metric.goal) for metric in Accuracy.metrics] == [("accuracy", "max")]


def test_an_architecture_with_a_resolution_sees_the_images_at_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(evaluators.accuracy, "load", load)
    sized, task = replace(ARCH, resolution=20), Task(10, (1, 28, 28))
    recipe = Recipe(epochs=1, batch=512)
    (found,) = Accuracy(recipe=recipe)(sized, task)
    at = Accuracy(DataSpec(image_size=20), recipe)
    (plain,) = at(ARCH, Task(10, (1, 20, 20)))
    for name in ("accuracy", "loss"):
        assert found.metrics[name] == plain.metrics[name]


def test_a_rung_takes_a_share_of_an_architectures_resolution(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []
    monkeypatch.setattr(evaluators.accuracy, "load", load)
    monkeypatch.setattr(
        evaluators.accuracy, "train_to_rung", lambda *args, **_: seen.append(args[3]) or iter(())
    )
    rungs = Fidelity(1, resolution=16), Fidelity(2)
    list(Accuracy(rungs=rungs)(replace(ARCH, resolution=24), Task(10, (1, 28, 28))))
    list(Accuracy(rungs=rungs)(ARCH, Task(10, (1, 28, 28))))
    assert seen == [(Fidelity(1, resolution=14), Fidelity(2)), rungs]
