"""From an architecture to a module with fresh weights."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .block import Block
from .errors import CandidateError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .arch import Arch, Part, Task


class Network(nn.Module):
    """The module of an `Arch`: its parts one after the other.

    Blocks that want the input image get it as second argument.
    """

    def __init__(self, arch: Arch, task: Task) -> None:
        super().__init__()
        self.parts = nn.ModuleDict({p.name: _module(p) for p in arch.parts(task)})
        self._wants_image = {
            p.name for p in arch.parts(task) if getattr(p.spec, "wants_image", False)
        }

    def wants_image(self, part: str) -> bool:
        """Whether the part of this name reads the image, too."""
        return part in self._wants_image

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, classes)."""
        x = image
        for name, part in self.parts.items():
            x = part(x, image) if name in self._wants_image else part(x)
        return x


def build(arch: Arch, task: Task, seed: int = 0) -> Network:
    """Return the network of `arch` for `task`, channels-last, its weights drawn from `seed`.

    Convolutions are Kaiming-normal over their fan-out, linear layers normal with deviation 0.01,
    norms 1 and 0; what a block initialises otherwise (shifts) keeps the block's own way.

    Raises:
        CandidateError: a block of the user's own cannot be built, or gives maps of another shape.
    """
    with _drawn_from(seed):
        network = Network(arch, task)
        network.apply(_initialise)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def build_part(part: Part, seed: int = 0) -> nn.Module:
    """Return the module of one part, as it is in a network.

    Raises:
        CandidateError: as in `build`.
    """
    with _drawn_from(seed):
        module = _module(part)
        module.apply(_initialise)
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _module(part: Part) -> nn.Module:
    """Return the module of `part`; one of the user's own is tried, for a bug is its alone."""
    spec, site = part.spec, part.site
    if type(spec).__module__.startswith(f"{__package__}."):
        return spec.build(site)
    try:
        module = spec.build(site)
        given = _output_shape(module.eval(), part)
        module.train()
    except CandidateError:
        raise
    except Exception as error:
        raise CandidateError(f"{part.name} {spec!r}: {type(error).__name__}: {error}") from error
    wanted = (2, site.c_out, *site.hw_out)
    if isinstance(spec, Block) and given != wanted:
        raise CandidateError(f"{part.name} {spec!r} gives {given}, but must give {wanted}")
    return module


def _output_shape(module: nn.Module, part: Part) -> tuple[int, ...]:
    inputs = [torch.zeros(2, part.site.c_in, *part.site.hw)]
    if getattr(part.spec, "wants_image", False):
        inputs.append(torch.zeros(2, *part.site.image))
    with torch.no_grad():
        return tuple(module(*inputs).shape)


@contextmanager
def _drawn_from(seed: int) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d) and module.weight.requires_grad:
        fan_out = module.weight[0].numel() * module.out_channels // module.in_channels
        nn.init.normal_(module.weight, std=math.sqrt(2.0 / max(1, fan_out)))
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.01)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
