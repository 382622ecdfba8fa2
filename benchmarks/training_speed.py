"""How fast our training loop is, next to a textbook one: python -m benchmarks.training_speed.

The textbook loop draws image after image through a DataLoader, augments each by itself and reads
the loss after every step. Both train the same network on one thread, by turns, each time in a fresh
process; seconds are CPU seconds, so that other programs disturb little. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from multiprocessing import get_context
from statistics import median
from time import process_time
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from evaluators.data import DataSpec, Images, Split, load
from evaluators.training import Recipe, train
from search_spaces.arch import Arch, Task
from search_spaces.network import build

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

ARCH = Arch.from_text(
    "stem(width=16,stride=1) | stage(width=24,stride=2): 2*mbconv(expand=3) "
    "| stage(width=48,stride=2): 2*mbconv(expand=3) "
    "| stage(width=96,stride=2): 2*mbconv(expand=3) | head(width=256)"
)
RECIPE = Recipe(epochs=1, crop=2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2_000, help="training images of a turn")
    parser.add_argument("--turns", type=int, default=3)
    args = parser.parse_args()
    rates: dict[str, list[float]] = {"textbook": [], "ours": []}
    for _ in range(args.turns):
        for name, turn in (("textbook", textbook), ("ours", ours)):
            with get_context("spawn").Pool(1) as pool:
                rates[name].append(pool.apply(timed, (turn, args.images)))
    result = {f"{name}_images_per_s": round(median(values)) for name, values in rates.items()}
    ratios = [ours / plain for plain, ours in zip(*rates.values(), strict=True)]
    print(json.dumps(result | {"ratios": [round(ratio, 2) for ratio in ratios]}))


def timed(turn: Callable[[nn.Module, Images], None], n: int) -> float:
    """Return images by CPU second of one epoch over `n` images, after a short one to warm up."""
    torch.set_num_threads(1)
    images = load(DataSpec())
    network = build(ARCH, Task(len(images.classes), images.shape))
    turn(network, first(images, 4 * RECIPE.batch))
    part = first(images, n)
    start = process_time()
    turn(network, part)
    return n / (process_time() - start)


def first(images: Images, n: int) -> Images:
    """Return `images` with `n` to train and next to none to validate."""
    train, val = images.train, images.val
    return replace(
        images,
        train=Split(train.images[:n], train.labels[:n]),
        val=Split(val.images[:8], val.labels[:8]),
    )


def ours(network: nn.Module, images: Images) -> None:
    list(train(network, images, RECIPE))


def textbook(network: nn.Module, images: Images) -> None:
    network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    loader = DataLoader(_Augmented(images), batch_size=RECIPE.batch, shuffle=True)
    optimizer = torch.optim.SGD(
        network.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4
    )
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    network.train()
    running = 0.0
    for x, labels in loader:
        optimizer.zero_grad()
        loss = criterion(network(x), labels)
        loss.backward()
        optimizer.step()
        running += loss.item()


class _Augmented(Dataset["tuple[Tensor, Tensor]"]):
    """One image at a time, normalised, moved and mirrored."""

    def __init__(self, images: Images) -> None:
        self.split = images.train
        self.mean = torch.tensor(images.mean)[:, None, None]
        self.std = torch.tensor(images.std)[:, None, None]

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        x = (self.split.images[index] / 255 - self.mean) / self.std
        height, width = x.shape[1:]
        padded = nn.functional.pad(x, (RECIPE.crop,) * 4)
        top, left = torch.randint(2 * RECIPE.crop + 1, (2,)).tolist()
        x = padded[:, top : top + height, left : left + width]
        if torch.rand(()) < 0.5:
            x = x.flip(2)
        return x, self.split.labels[index]


if __name__ == "__main__":
    main()
