"""The contract of a training-free score: what fresh weights and one batch say of a network."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from search_spaces.errors import CandidateError
from search_spaces.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .data import Images

SIZE = 32  # images of a batch, by default


@dataclass(frozen=True, eq=False)
class Batch:
    """What a score looks at: images (B, C, H, W), as training sees them, and labels (B,)."""

    images: Tensor
    labels: Tensor


# More is better. A proxy gets a network of its own, in evaluation mode, to do with as it likes, and
# may draw from PyTorch's generator, which is seeded.
Proxy = Callable[[nn.Module, Batch], float]
PROXIES: Registry[Proxy] = Registry("proxy", "evaluators.proxies")


def score(name: str, network: nn.Module, batch: Batch, seed: int = 0) -> float:
    """Return the score called `name` of `network`, which stays as it is; more is better.

    Args:
        name: registered.
        network: with fresh weights; they decide the score, too.
        batch: images of the shape that the network takes.
        seed: of what the score draws by itself, dropout included.

    Raises:
        UnknownName: no proxy has this name.
        CandidateError: the score is not finite.
    """
    proxy = PROXIES[name]
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        value = float(proxy(deepcopy(network).eval(), batch))
    if not math.isfinite(value):
        raise CandidateError(f"the training-free score {name} is {value:g}")
    return value


def first_batch(images: Images, size: int = SIZE) -> Batch:
    """Return the first `size` training images, normalised as for training."""
    part = images.train.taken(size)
    mean, std = (torch.tensor(v)[:, None, None] for v in (images.mean, images.std))
    return Batch((part.images.float() / 255 - mean) / std, part.labels)


def weights(network: nn.Module) -> Iterator[Tensor]:
    """Iterate over the learned weights of convolutions and linear layers, which most scores sum."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)) and module.weight.requires_grad:
            yield module.weight
