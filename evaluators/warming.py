"""Filling the latency cache ahead with what predictions for a space need."""

from __future__ import annotations

import logging
from contextlib import suppress
from functools import cache
from math import inf
from random import Random
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

import torch

from search_spaces.errors import CandidateError

from .child import ChildDied
from .latency_model import LatencyModel, parts_of
from .latency_predictor import FEWEST
from .part_latency import part_key
from .quiet import measuring
from .runtimes import GraphError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from search_spaces.arch import Arch, Part, Task
    from search_spaces.space import Space

    from .isolated import Caller
    from .latency import Latency

log = logging.getLogger(__name__)

NETWORKS = 150  # measured end to end: enough that the interval's coverage is right within 3 %
TURN_SECONDS = 1.0  # that training waits for measurements in a row
TURN_JOBS = 200  # handed over for it: more than it ever suffices for, unless they are known


class Progress(NamedTuple):
    """How far `warm` is: so many of all "networks" or "parts"."""

    kind: str
    done: int
    total: int


def warm(
    model: LatencyModel,
    space: Space,
    child: Caller,
    *,
    networks: int = NETWORKS,
    seconds: float = inf,
    seed: int = 0,
) -> Iterator[Progress]:
    """Fill the cache with what predictions for `space` need, as far as the time suffices.

    First come as many random networks as a prediction needs, measured end to end, and their parts;
    then further networks, for at most half of the time, and all parts, those of networks before the
    others, the most frequent first; then the networks that are left. What the runtime refuses, or
    dies of, is left out.

    Args:
        model: of the target and the task.
        space: whose networks are to be predicted.
        child: the process that measures.
        networks: how many are measured end to end.
        seconds: no measurement begins after this time.
        seed: of the random networks.

    Yields:
        What is done and what there is to do, after each second of measuring.
    """
    rng, start = Random(seed), perf_counter()
    wholes = list(dict.fromkeys(space.sample(rng) for _ in range(networks)))
    first, needed = (_keys(model, some) for some in (wholes[:FEWEST], wholes))
    parts = sorted(
        parts_of(space, model.task, seed),
        key=lambda part: (part_key(part) not in first, part_key(part) not in needed),
    )
    jobs: dict[str, Sequence[Arch | Part]] = {"networks": wholes, "parts": parts}
    done = dict.fromkeys(jobs, 0)
    for kind, count, share in (
        ("networks", len(wholes[:FEWEST]), 0.5),
        ("parts", len(first), 1),
        ("networks", len(wholes), 0.5),
        ("parts", len(parts), 1),
        ("networks", len(wholes), 1),
    ):
        while done[kind] < count and perf_counter() - start <= share * seconds:
            left = jobs[kind][done[kind] : count][:TURN_JOBS]
            done[kind] += _survived(child, model, left)
            yield Progress(kind, done[kind], len(jobs[kind]))


def _keys(model: LatencyModel, archs: Iterable[Arch]) -> set[str]:
    """Return the keys of all parts of `archs`."""
    return {part_key(part) for arch in archs for part in arch.parts(model.task)}


def _survived(child: Caller, model: LatencyModel, jobs: Sequence[Arch | Part]) -> int:
    """Do some of `jobs` in the child, but none that it dies of; return how many are over."""
    try:
        return child.call(_turn, model.latency, model.task, tuple(jobs))
    except ChildDied:
        first = next((i for i, job in enumerate(jobs) if not model.stored(job)), len(jobs) - 1)
    try:
        child.call(_turn, model.latency, model.task, (jobs[first],))
    except ChildDied as error:
        log.warning("%s: %s is left out: %s", model.latency.target, model.key(jobs[first]), error)
    return first + 1


def _turn(latency: Latency, task: Task, jobs: Sequence[Arch | Part]) -> int:
    """Do some of `jobs`; return how many.

    Whoever trains meanwhile is waited for once in a turn, not once for each part, which takes a
    fraction of a batch.
    """
    model = _model(latency, task)
    with measuring():
        start, done = perf_counter(), 0
        for job in jobs:
            with suppress(CandidateError, GraphError):
                model.measure(job)
            done += 1
            if perf_counter() - start >= TURN_SECONDS:
                break
    return done


@cache
def _model(latency: Latency, task: Task) -> LatencyModel:
    torch.set_num_threads(1)  # for the exporter's tracing: the measurement has its own
    return LatencyModel(latency, task)
