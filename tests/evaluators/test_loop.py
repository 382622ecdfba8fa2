"""An epoch against one as a textbook has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F

from evaluators.recipe import Recipe, steps_per_epoch
from evaluators.training import train
from search_spaces.arch import Arch
from search_spaces.network import build
from tests.evaluators.toy import ARCH, IMAGES, TASK

if TYPE_CHECKING:
    import pytest


def slow_epoch(network: nn.Module, recipe: Recipe) -> dict[str, torch.Tensor]:
    """One epoch as a textbook has it, without dropout or augmentation; return the average."""
    average = {name: value.clone() for name, value in network.state_dict().items()}
    decays = [p for p in network.parameters() if p.ndim > 1]
    rest = [p for p in network.parameters() if p.ndim == 1]
    groups: list[dict[str, Any]] = [
        {"params": decays, "weight_decay": recipe.weight_decay},
        {"params": rest},
    ]
    optimizer = torch.optim.SGD(groups, lr=1.0, momentum=recipe.momentum, nesterov=True)
    order = torch.randperm(len(IMAGES.train), generator=torch.Generator().manual_seed(0))
    steps = steps_per_epoch(len(order), recipe.batch)
    network.train()
    for step, index in enumerate(order.tensor_split(steps)):
        x = (IMAGES.train.images[index] / 255 - IMAGES.mean[0]) / IMAGES.std[0]
        scores = network(x)
        target = F.one_hot(IMAGES.train.labels[index], 2) * 0.9 + 0.05
        loss = -(target * scores.log_softmax(1)).sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr_at(step, steps * recipe.epochs)
        optimizer.step()
        keep = recipe.ema_decay_at(step)
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                average[name] = keep * average[name] + (1 - keep) * value
    return average


def test_an_epoch_equals_the_textbook(monkeypatch: pytest.MonkeyPatch) -> None:
    arch = Arch.from_text(str(ARCH).replace("dropout=0.1", "dropout=0"))
    recipe = Recipe(epochs=4, batch=64, lr=0.1, crop=0, flip=False)
    order = torch.randperm(len(IMAGES.train), generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(torch, "randperm", lambda *_, **__: order)
    next(train(network := build(arch, TASK), IMAGES, recipe))
    for name, value in slow_epoch(build(arch, TASK), recipe).items():
        if value.is_floating_point():
            torch.testing.assert_close(network.state_dict()[name], value, rtol=1e-3, atol=1e-4)
