"""Processes that train one network together, as torchrun starts them; alone, nothing of it happens.

Each takes its part of every batch, so the recipe's batch is that of all of them, and gradients are
averaged by DistributedDataParallel. Norms see their own part; the first process' statistics count.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True)
class Ranks:
    """One of `size` processes.

    Args:
        rank: its number, from 0.
        size: how many there are.
        local: its number on this machine, which is that of its GPU.
    """

    rank: int = 0
    size: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        """Whether it is the one that writes."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """Where it trains: on its GPU, if there are any."""
        return (
            torch.device("cuda", self.local) if torch.cuda.is_available() else torch.device("cpu")
        )

    def part(self, index: Tensor) -> Tensor:
        """Return its part of an index of images; parts differ by one in length at most."""
        return index.tensor_split(self.size)[self.rank]

    def total(self, value: Tensor) -> Tensor:
        """Return the sum of all processes' values."""
        if self.size > 1:
            distributed.all_reduce(value)
        return value

    def share(self, tensors: Iterable[Tensor]) -> None:
        """Give `tensors` the values that they have in the first process."""
        if self.size > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, src=0)

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            distributed.barrier()

    def parallel(self, network: nn.Module, *, freezes: bool) -> nn.Module:
        """Return what runs `network` and averages its gradients over all processes.

        Args:
            network: the same in all of them.
            freezes: whether some of its parameters stop learning on the way.
        """
        if self.size == 1:
            return network
        devices = [self.local] if self.device.type == "cuda" else None
        return DistributedDataParallel(network, devices, find_unused_parameters=freezes)


ALONE = Ranks()


@contextmanager
def joined() -> Iterator[Ranks]:
    """Join the processes that torchrun has started, by NCCL on GPUs and by Gloo elsewhere."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    ranks = Ranks(int(os.environ["RANK"]), size, int(os.environ.get("LOCAL_RANK", "0")))
    if ranks.device.type == "cuda":
        torch.cuda.set_device(ranks.device)
    distributed.init_process_group("nccl" if ranks.device.type == "cuda" else "gloo")
    try:
        yield ranks
    finally:
        distributed.destroy_process_group()
