from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from evaluators.mixing import Mixed
from evaluators.objective import objective
from evaluators.recipe import Recipe
from evaluators.training import train
from search_spaces.errors import SpecError
from tests.evaluators.toy import IMAGES, RECIPE, fingerprint, toy_network

LOGITS = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
TAUGHT = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
LABELS, OTHERS = torch.arange(6) % 3, (torch.arange(6) + 1) % 3
BATCH = Mixed(torch.zeros(6, 1, 2, 2), LABELS, OTHERS, 0.7)


def test_two_labels_cost_as_much_as_soft_targets() -> None:
    targets = 0.7 * F.one_hot(LABELS, 3) + 0.3 * F.one_hot(OTHERS, 3)
    found = objective(LOGITS, BATCH, None, Recipe(label_smoothing=0.1))
    expected = F.cross_entropy(LOGITS, targets, label_smoothing=0.1)
    torch.testing.assert_close(found, expected)


def test_distillation_by_the_formula() -> None:
    recipe = Recipe(distill=0.4, temperature=3.0)
    p, q = (TAUGHT / 3).softmax(1), (LOGITS / 3).softmax(1)
    divergence = (p * (p / q).log()).sum(1).mean() * 9
    expected = 0.6 * objective(LOGITS, BATCH, None, recipe) + 0.4 * divergence
    torch.testing.assert_close(objective(LOGITS, BATCH, TAUGHT, recipe), expected)


def test_a_student_follows_a_teacher_that_is_always_wrong() -> None:
    def teacher(pixels: torch.Tensor) -> torch.Tensor:
        assert 0 <= pixels.min() <= pixels.max() <= 1
        upright = pixels[:, 0, :, 3:5].mean((1, 2)) > pixels[:, 0, 3:5].mean((1, 2))
        return torch.stack([~upright, upright], 1) * 8.0

    recipe = replace(RECIPE, epochs=8, distill=1.0)
    *_, last = train(toy_network(), IMAGES, recipe, teacher=teacher)
    assert last.accuracy < 0.1


def test_a_teacher_and_its_share_go_together() -> None:
    with pytest.raises(SpecError, match=r"`distill` \(=0.5\) and a teacher go together: name"):
        next(train(toy_network(), IMAGES, replace(RECIPE, distill=0.5)))
    with pytest.raises(SpecError, match="go together: it weighs what"):
        next(train(toy_network(), IMAGES, RECIPE, teacher=lambda pixels: pixels))


@pytest.mark.parametrize("change", [{"mixup": 0.2, "cutmix": 1.0}, {"randaugment": 2}])
def test_training_with_everything_repeats_itself(change: dict[str, float]) -> None:
    prints = set()
    for _ in range(2):
        results = list(train(network := toy_network(), IMAGES, replace(RECIPE, **change)))
        assert 0.3 < results[-1].train_accuracy <= 1
        prints.add(fingerprint(network))
    assert len(prints) == 1


def test_bfloat16_trains() -> None:
    *_, last = train(toy_network(), IMAGES, replace(RECIPE, epochs=8, amp=True))
    assert last.accuracy >= 0.95
