"""The latency of each part of a network by itself, measured once and kept in the latency cache.

A part is a stem, a block or a head at its site. It is timed beside the reference network, in one
round if the machine is quiet; see `evaluators.pairs`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from search_spaces.errors import CandidateError
from search_spaces.network import build_part

from .latency_cache import Timing
from .pairs import quick_ratio
from .quiet import measuring
from .runtimes import GraphError

if TYPE_CHECKING:
    from collections.abc import Callable

    from search_spaces.arch import Part

    from .latency_cache import LatencyCache
    from .pairs import Program
    from .target import Target


def part_key(part: Part) -> str:
    """Return what `part` is called in the cache: all that its latency depends on."""
    spec, site = part.spec, part.site
    height, width = site.hw
    image = f" image {'x'.join(map(str, site.image))}" if _takes_image(part) else ""
    sizes = f"{site.c_in}x{height}x{width} to {site.c_out}, stride {site.stride}"
    return f"{spec!r} {sizes}{image}"


def measured_part(
    part: Part, cache: LatencyCache, reference: Callable[[], tuple[Program, Timing]]
) -> Timing:
    """Return the latency of `part` at the target's batch, measured if it is not known yet.

    Args:
        part: of any network.
        cache: of the target's latencies.
        reference: returns the reference network and its own latency.

    Raises:
        TargetUnavailable: the device or its runtime is missing.
        CandidateError: the runtime refuses the part.
    """
    key = part_key(part)
    if known := cache.get(key):
        return known
    program, (theirs, usual) = part_program(part, cache.target), reference()
    try:
        with measuring():  # one process at a time, and what it measured is there for the next
            if known := cache.get(key):
                return known
            ratio = quick_ratio(program, theirs, cache.target, usual_ms=usual.ms)
            ms = ratio * usual.ms
            cache.put(key, Timing(ms, ms, ms))
    except GraphError as error:
        raise CandidateError(f"{part.name} {key}: {cache.target}: {error}") from error
    return Timing(ms, ms, ms)


def part_program(part: Part, target: Target) -> Program:
    """Return `part` with random weights, ready to be loaded on `target`.

    Raises:
        CandidateError: it cannot be exported.
    """
    site = part.site
    shapes = [(site.c_in, *site.hw)] + ([site.image] if _takes_image(part) else [])
    generator = torch.Generator().manual_seed(0)
    examples = [torch.rand(target.batch, *shape, generator=generator) for shape in shapes]
    try:
        model = target.export(build_part(part), *shapes)
    except GraphError as error:
        raise CandidateError(f"{part.name} {part_key(part)}: {target}: {error}") from error
    return lambda: target.load_part(model, *examples)


def _takes_image(part: Part) -> bool:
    return bool(getattr(part.spec, "wants_image", False))
