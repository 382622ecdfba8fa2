"""Multiply-adds as fvcore counts them on the built network: a second opinion on our formulas.

Only convolutions and linear layers are counted. Shifts are convolutions to fvcore, because that is
how they run, but not to the papers nor to us: see the conventions in `search_spaces/cost.py`.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from search_spaces.shift import Shift

if TYPE_CHECKING:
    from collections.abc import Callable

    from search_spaces.arch import Task
    from search_spaces.network import Network


class Layer(NamedTuple):
    """A module that has no parts of its own.

    Attributes:
        name: its path in the network.
        operator: its class.
        weight: shape of its first parameter, if it has any.
        output: shape of what it returns for one image.
        params: learned numbers.
        macs_fvcore: multiply-adds for one image.
    """

    name: str
    operator: str
    weight: tuple[int, ...]
    output: tuple[int, ...]
    params: int
    macs_fvcore: int


def fvcore_macs(network: Network, task: Task) -> dict[str, int]:
    """Return the multiply-adds of each part of `network` at batch 1, shifts left out.

    fvcore traces one pass, which takes about as long as an inference and a half second more. The
    network is put in evaluation mode.
    """
    macs = _by_module(network, task)
    return {name: macs[f"parts.{name}"] for name in network.parts}


def fvcore_layers(network: Network, task: Task) -> list[Layer]:
    """Return what `network` runs that has parameters, and its shifts, in order of execution.

    They are counted as `fvcore_macs` counts parts.
    """
    layers, outputs = {}, {}
    for name, module in network.named_modules():
        simple = not list(module.children()) and list(module.parameters())
        if simple or isinstance(module, Shift):
            layers[name] = module

    def keep(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
            outputs[name] = tuple(int(side) for side in output.shape[1:])

        return hook

    hooks = [layer.register_forward_hook(keep(name)) for name, layer in layers.items()]
    try:
        macs = _by_module(network, task)
    finally:
        for hook in hooks:
            hook.remove()
    return [_layer(name, layers[name], output, macs[name]) for name, output in outputs.items()]


def _layer(name: str, module: nn.Module, output: tuple[int, ...], macs: int) -> Layer:
    shapes = [parameter.shape for parameter in module.parameters()]
    return Layer(
        name=name.removeprefix("parts."),
        operator=type(module).__name__,
        weight=tuple(shapes[0]) if shapes else (),
        output=output,
        params=sum(shape.numel() for shape in shapes),
        macs_fvcore=macs,
    )


def _by_module(network: Network, task: Task) -> dict[str, int]:
    """Return the multiply-adds of each module by its path, without those of shifts in it."""
    with warnings.catch_warnings():
        # fvcore scripts a function when it is imported, and then traces, by PyTorch's old ways.
        warnings.simplefilter("ignore", DeprecationWarning)
        # Sizes of maps become constants, as they should.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        from fvcore.nn import FlopCountAnalysis

        analysis = FlopCountAnalysis(network.eval(), torch.zeros(1, *task.shape))
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        counts = analysis.by_module_and_operator()
    macs = {name: int(count["conv"] + count["linear"]) for name, count in counts.items()}
    for name, module in network.named_modules():
        if isinstance(module, Shift):
            path, moves = name.split("."), macs[name]
            for end in range(1, len(path) + 1):
                macs[".".join(path[:end])] -= moves
    return macs
