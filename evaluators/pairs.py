"""Timing by pairs: a network beside another one, so that both see the same machine.

A **round** loads both models afresh, warms them up, and times them in turn, each settled again
after the other one; the quickest timing of each is its time in this round, and their ratio is one
sample. What disturbs the machine for a while slows both, what disturbs it for a moment misses one
of the nine, and what a session owes to luck (where its memory lies) is drawn anew each round. The
median of the ratios is reported, with a bootstrap interval. docs/latency.md has what else was
tried.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import cycle, islice
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from .cores import cores, pinned
from .quiet import measuring

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .target import Target, Timer

Program = Callable[[], AbstractContextManager["Timer"]]  # loads a model afresh, ready to be timed

LEAST_MS = 0.2  # that one timing takes: a thousand times what reading the clock does
SETTLE_MS = 2.0  # of runs before a network is timed: the other one has left it cold caches
TURNS, TIMINGS = 3, 3  # of a round, and of a turn
ROUNDS = 10  # at least, unless the time is up
FEW_ROUNDS = 5  # with fewer an interval means nothing
POLLUTED = 1.1  # a round in which the other network took this many times its usual is repeated
STEADY = 1.05  # the slowest turn of a steady round over its quickest one
PATIENCE = 4  # rounds of a part, if none is steady
RESAMPLES = 2000
CONFIDENCE = 0.95


class Round(NamedTuple):
    """The quickest timing of either network in one round, and how many runs that took.

    `spread` is what the slowest turn of either took over its quickest one: 1 on a steady machine.
    """

    ours_ms: float
    theirs_ms: float
    runs: int
    spread: float = 1.0

    @property
    def ratio(self) -> float:
        """Return our time over theirs."""
        return self.ours_ms / self.theirs_ms


@dataclass(frozen=True)
class Reading:
    """A ratio of latencies, as measured.

    Attributes:
        ratio: median over the rounds.
        low: lower end of its bootstrap interval, of 95 %.
        high: upper end.
        rounds: that count.
        runs: inferences of ours that were timed in them.
        rejected: rounds that were repeated because the machine was disturbed.
        flagged: the interval stayed wider than it should be.
        load_before: load average of the last minute when measuring began.
        load_after: and when it ended.
    """

    ratio: float
    low: float
    high: float
    rounds: int
    runs: int
    rejected: int
    flagged: bool
    load_before: float
    load_after: float


@dataclass(frozen=True)
class Comparison:
    """Which of two networks is faster.

    Attributes:
        verdict: of the first one; a "tie" if that could not be told.
        ratio: the first one's latency over the second one's, the median over the rounds.
        low: lower end of its interval; the error over all looks at the data is below 5 %.
        high: upper end.
        rounds: that were timed.
        undecided: the time was up before the interval lay clear of 1, or within the margin of it.
    """

    verdict: Literal["faster", "slower", "tie"]
    ratio: float
    low: float
    high: float
    rounds: int
    undecided: bool


def read(
    ours: Program,
    theirs: Program,
    target: Target,
    *,
    usual_ms: float,
    tolerance: float,
    seconds: float,
) -> Reading:
    """Measure the ratio of our latency to that of a reference whose usual latency is known.

    Args:
        ours: the network in question.
        theirs: the reference.
        target: what both run on.
        usual_ms: latency of the reference on the undisturbed machine.
        tolerance: measuring ends when the interval is narrower than this share of the ratio.
        seconds: measuring ends after this time, and the reading is flagged.
    """
    end, before = perf_counter() + seconds, load()
    clean: list[Round] = []
    disturbed: list[Round] = []
    for sample in rounds(ours, theirs, target):
        (clean if sample.theirs_ms <= POLLUTED * usual_ms else disturbed).append(sample)
        late = perf_counter() > end
        if len(clean) >= ROUNDS or late:
            used = clean if len(clean) >= FEW_ROUNDS else clean + disturbed
            low, ratio, high = interval([r.ratio for r in used])
            wide = high - low > tolerance * ratio or len(used) < FEW_ROUNDS
            if late or not wide:
                break
    return Reading(
        ratio=ratio,
        low=low,
        high=high,
        rounds=len(used),
        runs=sum(r.runs for r in used),
        rejected=len(clean) + len(disturbed) - len(used),
        flagged=wide,
        load_before=before,
        load_after=load(),
    )


def compare(
    ours: Program,
    theirs: Program,
    target: Target,
    *,
    margin: float = 0.01,
    seconds: float = 60.0,
) -> Comparison:
    """Tell which of two networks is faster, sampling until that is clear or the time is up.

    The data are looked at after 12, 18, 27... rounds; the error of 5 % is shared among the looks.
    A difference surely smaller than `margin` is a tie.
    """
    end, ratios, look = perf_counter() + seconds, [], ROUNDS + 2
    spent = 0
    for sample in rounds(ours, theirs, target):
        ratios.append(sample.ratio)
        late = perf_counter() > end
        if len(ratios) < look and not late:
            continue
        spent, look = spent + 1, look + look // 2
        # 1/4 + 1/8 + ... of the error, half of it in all: the bootstrap of few rounds is too sure.
        low, ratio, high = interval(ratios, 1 - (1 - CONFIDENCE) / 2 ** (spent + 1))
        clear = low > 1 or high < 1
        tied = low > 1 - margin and high < 1 + margin
        if clear or tied or late:
            break
    verdict: Literal["faster", "slower", "tie"] = "tie"
    if clear and not tied:
        verdict = "faster" if high < 1 else "slower"
    return Comparison(verdict, ratio, low, high, len(ratios), undecided=not (clear or tied))


def quick_ratio(ours: Program, theirs: Program, target: Target, *, usual_ms: float) -> float:
    """Return our latency over that of a reference, from the first round in which all was quiet.

    Args:
        ours: the network in question.
        theirs: the reference.
        target: what both run on.
        usual_ms: latency of the reference on the undisturbed machine.

    Returns:
        The median of a few rounds if none was quiet.
    """
    ratios = []
    for sample in islice(rounds(ours, theirs, target), PATIENCE):
        if sample.theirs_ms <= POLLUTED * usual_ms and sample.spread <= STEADY:
            return sample.ratio
        ratios.append(sample.ratio)
    return median(ratios)


def rounds(ours: Program, theirs: Program, target: Target) -> Iterator[Round]:
    """Yield rounds without end, on one core after the other; nothing of ours runs beside them."""
    for core in cycle(cores()):
        with (
            measuring(),
            pinned(core) if target.pins else nullcontext(),
            ours() as a,
            theirs() as b,
        ):
            yield _round(a, b) if target.repeats else Round(a(1), b(1), 1)


def _round(ours: Timer, theirs: Timer) -> Round:
    once = warm_up(ours), warm_up(theirs)
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(TURNS):
        for which in (0, 1) if turn % 2 else (1, 0):
            times[which].append(settled((ours, theirs)[which], once[which]))
    spread = max(max(turns) / min(turns) for turns in times)
    return Round(min(times[0]), min(times[1]), TURNS * TIMINGS * _calls(once[0]), spread)


def settled(timer: Timer, once_ms: float) -> float:
    """Return the quickest of a few timings in a row, in ms, after the runs that it takes to settle.

    Args:
        timer: of a network.
        once_ms: what one run takes, roughly.
    """
    if settling := int(SETTLE_MS / once_ms):
        timer(settling)
    return min(timer(_calls(once_ms)) for _ in range(TIMINGS))


def _calls(once_ms: float) -> int:
    return max(1, round(LEAST_MS / once_ms))


def warm_up(timer: Timer) -> float:
    """Run until three runs in a row were no faster than before; return the quickest, in ms."""
    best, calm = timer(1), 0
    while calm < 3:
        once = timer(1)
        calm = 0 if once < 0.98 * best else calm + 1
        best = min(best, once)
    return best


def interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float, float]:
    """Return the median of `values` between the ends of its percentile bootstrap interval."""
    sample = np.asarray(values)
    picks = np.random.default_rng(0).integers(0, len(sample), (RESAMPLES, len(sample)))
    medians = np.median(sample[picks], axis=1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(medians, [tail, 1 - tail])
    return float(low), float(np.median(sample)), float(high)


def load() -> float:
    """Return the load average of the last minute; not a number where there is none (Windows)."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
