"""Which parameter learns how: every kind that is treated in a way of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from evaluators.loop import Training
from evaluators.optimizer import parameter_groups, penalised
from evaluators.recipe import Recipe
from evaluators.training import train
from search_spaces.shift import ActiveShift, SparseShift
from tests.evaluators.toy import IMAGES, RECIPE

if TYPE_CHECKING:
    from pathlib import Path


class ShiftNet(nn.Module):
    """Every kind of parameter that is treated in a way of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 18, 3, padding=1)
        self.norm = nn.BatchNorm2d(18)
        self.slope = nn.PReLU(18)
        self.active, self.sparse = ActiveShift(18), SparseShift(18)
        self.classify = nn.Linear(18, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.sparse(self.active(self.slope(self.norm(self.conv(x)))))
        return self.classify(y.mean((2, 3)))  # type: ignore[no-any-return]


def test_parameter_groups() -> None:
    network, recipe = ShiftNet(), Recipe(weight_decay=0.01)
    found = {
        id(parameter): (group["lr_scale"], group["weight_decay"])
        for group in parameter_groups(network, recipe)
        for parameter in group["params"]
    }
    expected = dict.fromkeys(dict(network.named_parameters()), (1.0, 0.0))
    expected |= dict.fromkeys(("conv.weight", "classify.weight"), (1.0, 0.01))
    expected |= dict.fromkeys(("active.alpha", "active.beta"), (0.01, 0.0))
    assert {n: found[id(p)] for n, p in network.named_parameters()} == expected


def test_clipping_leaves_normalised_shifts_out() -> None:
    """Their gradients neither count towards the longest one nor become shorter."""
    steps = []
    for clip in (0.0, 1e-3):
        torch.manual_seed(0)
        recipe = replace(RECIPE, batch=250, warmup=0, momentum=0, weight_decay=0, clip=clip)
        training = Training(ShiftNet(), IMAGES, replace(recipe, shift_penalty=0))
        before = {n: p.detach().clone() for n, p in training.network.named_parameters()}
        training.run_epoch()
        after = training.network.named_parameters()
        steps.append({n: (p.detach() - before[n]) / recipe.lr_at(0, 3) for n, p in after})
    free, clipped = steps
    for name in ("active.alpha", "active.beta"):
        torch.testing.assert_close(clipped.pop(name), free.pop(name))
    assert torch.stack([s.norm() for s in clipped.values()]).norm() == pytest.approx(1e-3, rel=0.01)
    assert torch.stack([s.norm() for s in free.values()]).norm() > 1e-2


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_the_penalty_is_part_of_the_loss(norm: str) -> None:
    """The first step moves the offsets by the penalty's gradient further than without it."""
    recipe = replace(RECIPE, batch=250, epochs=9, warmup=0, momentum=0, shift_norm=norm)
    offsets = []
    for factor in (0.0, 0.02):
        torch.manual_seed(0)
        network = ShiftNet()
        begun = network.sparse.a.data.mul_(0.6).clone()
        training = Training(network, IMAGES, replace(recipe, shift_penalty=factor))
        training.run_epoch()
        offsets.append(training.network.sparse.a.detach())
    pull = recipe.lr_at(0, 9) * 0.02 * (begun.sign() if norm == "l1" else begun)
    torch.testing.assert_close(offsets[0] - offsets[1], pull, atol=1e-6, rtol=0)


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_sparse_shifts_are_penalised_and_freeze_half_way(norm: str) -> None:
    torch.manual_seed(0)
    network = ShiftNet()
    assert penalised(network) == [network.sparse]
    recipe = replace(RECIPE, epochs=4, shift_penalty=0.1, shift_norm=norm)
    training = Training(network, IMAGES, recipe)
    (moving,) = penalised(training.network)
    sizes = [moving.penalty(norm).item()]
    for _ in range(4):
        training.run_epoch()
        sizes.append(moving.penalty(norm).item())
    assert sizes[0] > sizes[1] > sizes[2] == sizes[3] == sizes[4]


def test_the_loss_has_no_penalty_once_the_shifts_are_frozen() -> None:
    asked_frozen = []

    class Watched(SparseShift):
        def penalty(self, norm: str = "l1") -> torch.Tensor:
            asked_frozen.append(not self.a.requires_grad)
            return super().penalty(norm)

    network = ShiftNet()
    network.sparse = Watched(18)
    training = Training(network, IMAGES, replace(RECIPE, epochs=2))
    training.run_epoch()
    assert asked_frozen
    training.run_epoch()
    assert not any(asked_frozen)


@pytest.mark.parametrize("stop", [1, 2, 3])
@pytest.mark.parametrize("compiled", ["0", "1"])
def test_going_on_across_the_freeze_equals_not_having_stopped(
    compiled: str, stop: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAS_COMPILE", compiled)
    torch.manual_seed(0)
    whole, stopped, recipe = ShiftNet(), ShiftNet(), replace(RECIPE, epochs=4)
    stopped.load_state_dict(whole.state_dict())
    resumed, path = ShiftNet(), tmp_path / "shifts.ckpt"
    list(train(whole, IMAGES, recipe))
    epochs = train(stopped, IMAGES, recipe, checkpoint=path)
    assert [next(epochs).epoch for _ in range(stop)][-1] == stop
    list(train(resumed, IMAGES, recipe, checkpoint=path))
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
