"""Which part of a network a format cannot hold."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from evaluators.data import Images, Split
from evaluators.runtimes import GraphError
from search_spaces.arch import Part, Task
from search_spaces.block import Block, kind_of

from .exporter import Model

if TYPE_CHECKING:
    from collections.abc import Mapping

    from search_spaces.network import Network

    from .exporter import Exporter


def encoded(exporter: Exporter, model: Model) -> Mapping[str, bytes]:
    """Return the files of a format.

    Raises:
        GraphError: it lacks an operator; the message names the first part that has it.
        NasError: whatever else `Exporter.encode` raises.
    """
    try:
        return exporter.encode(model)
    except GraphError as error:
        for part in model.arch.parts(model.task):
            try:
                exporter.encode(_alone(part, model))
            except GraphError as cause:
                spec = part.spec
                kind = f" ({kind_of(type(spec))})" if isinstance(spec, Block) else ""
                raise GraphError(f"{exporter.file}: {part.name}{kind}: {cause}") from error
        raise GraphError(f"{exporter.file}: {error}") from error


def _alone(part: Part, model: Model) -> Model:
    """Return a model of one part: from its own input to its output, one number after another."""
    site = part.site
    height, width = (site.hw, site.hw) if isinstance(site.hw, int) else site.hw
    task = Task(2, (site.c_in, height, width))  # no fewer classes are a task
    image = site.image if model.network.wants_image(part.name) else None
    network = cast("Network", _Part(model.network.parts[part.name], image))
    names, mean, std = ("", ""), (0.0,) * site.c_in, (1.0,) * site.c_in
    noise = Split(torch.randint(0, 256, (1, *task.shape), dtype=torch.uint8), torch.zeros(1).long())
    images = Images("noise", names, noise, noise, noise, mean, std)
    arch = replace(model.arch, resolution=None)  # its map is of any size
    return Model(arch, task, network, names, mean, std, images)


class _Part(nn.Module):
    def __init__(self, part: nn.Module, image: tuple[int, ...] | None) -> None:
        super().__init__()
        self.part, self.image = part, image

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, outputs)."""
        images = [x.new_zeros(len(x), *self.image)] if self.image else []
        return torch.flatten(self.part(x, *images), 1)
