"""What is known of a target's latencies for one task: parts, whole networks, and predictions.

Everything is in the latency cache. Parts that are missing are measured when they are met; whole
networks are measured by `warm` only, and the correction is fitted on them.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, partial
from math import inf
from random import Random
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

from search_spaces.arch import Arch
from search_spaces.errors import CandidateError, SpecError

from .latency_cache import LatencyCache, Timing
from .latency_predictor import FEWEST, Predictor, Sample, features, fit, kinds_of
from .part_latency import measured_part, part_key
from .program import program_of
from .quiet import measuring
from .runtimes import GraphError
from .target import parse_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from search_spaces.arch import Part, Task
    from search_spaces.block import Site
    from search_spaces.space import Space

    from .latency import Latency

NETWORKS = 150  # measured end to end: enough that the interval's coverage is right within 3 %
NETWORK_SECONDS = 2.0  # for one of them: many known roughly tell more than few known well
TURN_SECONDS = 1.0  # that training waits for measurements in a row
SAMPLES = 8000  # networks that show which parts a space has


class Progress(NamedTuple):
    """How far `warm` is: so many of all "networks" or "parts"."""

    kind: str
    done: int
    total: int


class Network(NamedTuple):
    """A network that was measured end to end."""

    arch: Arch
    timing: Timing


class LatencyModel:
    """Latencies of networks for `task`, as `latency` measures them.

    Args:
        latency: the target, how exactly whole networks are measured, and the cache.
        task: of all networks; its size of the images is that of those without a resolution.
    """

    def __init__(self, latency: Latency, task: Task) -> None:
        self.latency, self.task = latency, task
        self._target = parse_target(latency.target)
        self._cache = LatencyCache(self._target, latency.cache)
        self._stored = self._cache.all()
        self._parts: dict[tuple[object, Site], float] = {}

    @cached_property
    def networks(self) -> tuple[Network, ...]:
        """The networks that were measured end to end, those with blocks unknown here left out."""
        found = []
        for what, timing in sorted(self._stored.items()):
            kind, _, text = what.partition(": ")
            if kind.startswith("network for "):
                try:
                    arch = Arch.from_text(text)
                except SpecError:
                    continue
                if kind == self._kind(arch):
                    found.append(Network(arch, timing))
        return tuple(found)

    @cached_property
    def fitted(self) -> tuple[Network, ...]:
        """Those of `networks` whose parts were all known: what the correction is fitted on."""
        return tuple(n for n in self.networks if all(map(self.knows, n.arch.parts(self.task))))

    @cached_property
    def predictor(self) -> Predictor | None:
        """The correction, or None while it could be fitted on fewer than `FEWEST` networks.

        Nothing is measured for it: a search with a cache that is half warm would wait for minutes.
        """
        if len(self.fitted) < FEWEST:
            return None
        kinds = kinds_of((network.arch for network in self.fitted), self.task)
        return fit([self._sample(network, kinds) for network in self.fitted], kinds)

    def predict(self, arch: Arch) -> Timing | None:
        """Return the predicted latency with its interval, or None if nothing is known of its kind.

        Raises:
            CandidateError: a part that was never measured is refused by the runtime.
        """
        if self.predictor is None or not set(kinds_of([arch], self.task)) <= set(
            self.predictor.kinds
        ):
            return None
        return self.predictor(arch, self.task, self.part_ms)

    def part_ms(self, part: Part) -> float:
        """Return the latency of a part by itself, measured if it is not known.

        Raises:
            CandidateError: the runtime refuses it.
        """
        key = part.spec, part.site
        if key not in self._parts:
            known = self._stored.get(part_key(part))
            self._parts[key] = (known or self.measure_part(part)).ms
        return self._parts[key]

    def knows(self, part: Part) -> bool:
        """Return whether the latency of `part` was there, or has been measured since."""
        return (part.spec, part.site) in self._parts or part_key(part) in self._stored

    def measure_part(self, part: Part) -> Timing:
        """Return the latency of a part, from the cache if another process has put it there.

        Raises:
            CandidateError: the runtime refuses it.
        """
        return measured_part(part, self._cache, self.latency.reference_pair)

    def measure_network(self, arch: Arch) -> Timing:
        """Return the latency of a whole network, from the cache if it is there.

        It is measured for `NETWORK_SECONDS` at most.

        Raises:
            GraphError: the runtime refuses it.
        """
        key = f"{self._kind(arch)}: {arch}"
        if known := self._cache.get(key):
            return known
        program = program_of(arch, self.task, self._target)
        brief = replace(self.latency, seconds=min(self.latency.seconds, NETWORK_SECONDS))
        reading, usual = brief.read(program), self.latency.reference()
        self._cache.put(
            key, Timing(*(usual.ms * x for x in (reading.ratio, reading.low, reading.high)))
        )
        return self._cache.get(key) or usual

    def _kind(self, arch: Arch) -> str:
        """Return what the cache calls networks like `arch`, whose resolution may be its own."""
        return f"network for {arch.on(self.task)}"

    def _sample(self, network: Network, kinds: tuple[str, ...]) -> Sample:
        row = features(network.arch, self.task, self.part_ms, kinds)
        return Sample(row, network.timing.ms)


def parts_of(space: Space, task: Task, seed: int = 0) -> list[Part]:
    """Return the distinct parts of `SAMPLES` random networks, the most frequent first."""
    rng, counts, parts = Random(seed), Counter[str](), {}
    for _ in range(SAMPLES):
        for part in space.sample(rng).parts(task):
            name = f"{part.spec!r} {part.site}"
            counts[name] += 1
            parts[name] = part
    return [parts[name] for name, _ in counts.most_common()]


def warm(
    model: LatencyModel,
    space: Space,
    *,
    networks: int = NETWORKS,
    seconds: float = inf,
    seed: int = 0,
) -> Iterator[Progress]:
    """Fill the cache with what predictions for `space` need, as far as the time suffices.

    First come random networks, measured end to end, for at most half of the time; then the parts,
    those of these networks before the others, the most frequent first; then the networks that are
    left. What the runtime refuses is left out.

    Args:
        model: of the target and the task.
        space: whose networks are to be predicted.
        networks: how many are measured end to end.
        seconds: no measurement begins after this time.
        seed: of the random networks.

    Yields:
        What is done and what there is to do, after each second of measuring.
    """
    rng, start = Random(seed), perf_counter()
    drawn = list(dict.fromkeys(space.sample(rng) for _ in range(networks)))
    wholes = [partial(model.measure_network, arch) for arch in drawn]
    needed = {part_key(part) for arch in drawn for part in arch.parts(model.task)}
    known = sorted(parts_of(space, model.task, seed), key=lambda part: part_key(part) not in needed)
    parts = [partial(model.measure_part, part) for part in known]
    totals = {"networks": len(wholes), "parts": len(parts)}
    done = dict.fromkeys(totals, 0)
    plan = (("networks", wholes, 0.5), ("parts", parts, 1), ("networks", wholes, 1))
    for kind, jobs, share in plan:
        while done[kind] < len(jobs) and perf_counter() - start <= share * seconds:
            done[kind] += _turn(jobs[done[kind] :])
            yield Progress(kind, done[kind], totals[kind])


def _turn(jobs: Sequence[Callable[[], Timing]]) -> int:
    """Do some of `jobs`; return how many.

    Whoever trains meanwhile is waited for once in a turn, not once for each part, which takes a
    fraction of a batch.
    """
    with measuring():
        start = perf_counter()
        done = 0
        for measure in jobs:
            with suppress(CandidateError, GraphError):
                measure()
            done += 1
            if perf_counter() - start >= TURN_SECONDS:
                break
    return done
