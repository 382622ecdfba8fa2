"""Of which finalists another training could change the place on the front."""

from __future__ import annotations

from math import sqrt
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

_PRIOR = 2  # repeats that the images' share of the spread counts for
_WIDE = 2.0  # standard errors to either side


class Member(NamedTuple):
    """A finalist, its validation accuracies with different seeds, its latency on each target."""

    digest: str
    accuracies: tuple[float, ...]
    latencies: tuple[float, ...]


def undecided(members: Sequence[Member], images: int) -> list[str]:
    """Return digests of those whose place is not settled, the most accurate first.

    Whoever is slower and clearly less accurate than another one is out. Of those who are left, two
    are undecided if the intervals of their mean accuracies overlap. The spread of an accuracy is
    that of all repeats of all finalists; few repeats say little, so what the number of `images` to
    validate on would cause by itself counts as much as two.
    """
    if not members:
        return []
    spread = _spread(members, images)
    ends = {m: _interval(m, spread) for m in members}

    def better(one: Member, other: Member) -> bool:
        return ends[one][0] > ends[other][1]

    def beats(one: Member, other: Member) -> bool:
        pairs = zip(one.latencies, other.latencies, strict=True)
        return better(one, other) and all(a <= b for a, b in pairs)

    left = [m for m in members if not any(beats(o, m) for o in members)]
    close = [m for m in left if any(o != m and not better(o, m) and not better(m, o) for o in left)]
    return [m.digest for m in sorted(close, key=lambda m: -fmean(m.accuracies))]


def _interval(member: Member, spread: float) -> tuple[float, float]:
    middle = fmean(member.accuracies)
    half = _WIDE * spread / sqrt(len(member.accuracies))
    return middle - half, middle + half


def _spread(members: Sequence[Member], images: int) -> float:
    """Return the standard deviation of a training's accuracy."""
    means = [fmean(m.accuracies) for m in members]
    prior = fmean([mean * (1 - mean) / images for mean in means])
    squares = [
        (a - mean) ** 2 for m, mean in zip(members, means, strict=True) for a in m.accuracies
    ]
    freedom = sum(len(m.accuracies) - 1 for m in members)
    return sqrt((_PRIOR * prior + sum(squares)) / (_PRIOR + freedom))
