"""Which parameter learns how fast, and what keeps it small."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from search_spaces.shift import ActiveShift, Shift

if TYPE_CHECKING:
    from .recipe import Recipe

Group = dict[str, Any]


@runtime_checkable
class Penalised(Protocol):
    """A module, such as a sparse shift, that adds to the loss and is frozen half-way."""

    def penalty(self, norm: str) -> Tensor:
        """Return what it adds to the loss: a norm, "l1" or "l2", before its factor."""

    def shift_parameters(self) -> tuple[nn.Parameter, ...]:
        """Return what is penalised."""

    def freeze(self) -> None:
        """Stop learning."""


def sgd(network: nn.Module, recipe: Recipe) -> torch.optim.SGD:
    """Return the optimizer of `network`; `set_lr` gives it a learning rate before each step."""
    return torch.optim.SGD(
        parameter_groups(network, recipe),
        lr=recipe.peak_lr,
        momentum=recipe.momentum,
        nesterov=recipe.momentum > 0,
        fused=True,
    )


def parameter_groups(network: nn.Module, recipe: Recipe) -> list[Group]:
    """Return the parameters by learning rate (`lr_scale`) and weight decay.

    Weights of convolutions and linear layers decay; norms, biases, slopes and the offsets of shifts
    do not. Shifts say for themselves how fast their offsets learn.
    """
    scales = {
        id(parameter): shift.lr_multiplier
        for shift in network.modules()
        if isinstance(shift, Shift)
        for parameter in shift.shift_parameters()
    }
    groups: dict[tuple[float, bool], Group] = {}
    for parameter in network.parameters():
        scale, decays = key = scales.get(id(parameter), 1.0), parameter.ndim > 1
        decay = recipe.weight_decay if decays else 0.0
        group = groups.setdefault(key, {"params": [], "lr_scale": scale, "weight_decay": decay})
        group["params"].append(parameter)
    return list(groups.values())


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every group its share of the learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]


def clipped(network: nn.Module) -> list[nn.Parameter]:
    """Return the parameters whose gradients are clipped: all but normalised shifts.

    Those have a gradient of norm 1 a channel whatever the loss, which would make up most of the
    whole and shorten all others.
    """
    normalised = {
        id(parameter)
        for shift in network.modules()
        if isinstance(shift, ActiveShift) and shift.normalise
        for parameter in shift.shift_parameters()
    }
    return [p for p in network.parameters() if id(p) not in normalised]


def penalised(network: nn.Module) -> list[Penalised]:
    """Return the modules that add a penalty to the loss."""
    return [module for module in network.modules() if isinstance(module, Penalised)]
