"""What is known of a target's latencies for one task: parts, whole networks, and predictions.

Everything is in the latency cache. Parts that are missing are measured when they are met; whole
networks are measured by `warm` only, and the correction is fitted on them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cached_property
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from search_spaces.arch import Arch
from search_spaces.errors import SpecError

from .latency_cache import LatencyCache, Timing
from .latency_predictor import FEWEST, Predictor, Sample, features, fit, kinds_of
from .part_latency import measured_part, part_key
from .program import program_of
from .target import parse_target

if TYPE_CHECKING:
    from search_spaces.arch import Part, Task
    from search_spaces.block import Site
    from search_spaces.space import Space

    from .latency import Latency

NETWORK_SECONDS = 2.0  # for one of them: many known roughly tell more than few known well
SAMPLES = 8000  # networks that show which parts a space has


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

    def stored(self, what: Arch | Part) -> bool:
        """Return whether the cache has the latency of a network or a part by now."""
        return self._cache.get(self.key(what)) is not None

    def measure(self, what: Arch | Part) -> Timing:
        """Return the latency of a whole network or of a part, measured if it is not stored.

        Raises:
            CandidateError: the runtime refuses the part.
            GraphError: the runtime refuses the network.
        """
        return self.measure_network(what) if isinstance(what, Arch) else self.measure_part(what)

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
        key = self.key(arch)
        if known := self._cache.get(key):
            return known
        program = program_of(arch, self.task, self._target)
        brief = replace(self.latency, seconds=min(self.latency.seconds, NETWORK_SECONDS))
        reading, usual = brief.read(program), self.latency.reference()
        self._cache.put(
            key, Timing(*(usual.ms * x for x in (reading.ratio, reading.low, reading.high)))
        )
        return self._cache.get(key) or usual

    def key(self, what: Arch | Part) -> str:
        """Return what the cache calls a network or a part."""
        return f"{self._kind(what)}: {what}" if isinstance(what, Arch) else part_key(what)

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
