"""Images and a network that are trained in a second."""

from __future__ import annotations

import torch
from torch import nn

from evaluators.data import Images, Split
from evaluators.recipe import Recipe
from search_spaces.arch import Arch, Task
from search_spaces.network import build

SIDE = 8
TASK = Task(2, (1, SIDE, SIDE))
ARCH = Arch.from_text(
    "stem(width=8,stride=1) | stage(width=8,stride=2): mbconv(expand=3) | head(dropout=0.1)"
)
RECIPE = Recipe(epochs=3, batch=32, lr=0.4, crop=1)


def toy_split(n: int, seed: int) -> Split:
    """Noise with a bright bar, across for class 1 and upright for class 0."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(2, (n,), generator=rng)
    images = torch.randint(100, (n, SIDE, SIDE, 1), generator=rng)
    images[labels == 1, 3:5] += 120
    images[labels == 0, :, 3:5] += 120
    return Split(images.byte().permute(0, 3, 1, 2), labels)


def toy_images(n_train: int = 250, n_val: int = 100) -> Images:
    return Images(
        name="toy",
        classes=("upright", "across"),
        train=toy_split(n_train, 0),
        val=toy_split(n_val, 1),
        test=toy_split(n_val, 2),
        mean=(0.31,),
        std=(0.23,),
    )


IMAGES = toy_images()


def toy_network(seed: int = 0) -> nn.Module:
    return build(ARCH, TASK, seed)


def fingerprint(network: nn.Module) -> float:
    return sum(float(t.double().abs().sum()) for t in network.state_dict().values())
