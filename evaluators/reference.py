"""The reference network, which every latency is measured against, and its own latency here.

It never changes, so that ratios keep their meaning. Its latency on a device is measured once and
kept in the latency cache.
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import cache
from itertools import cycle, islice
from time import sleep
from typing import TYPE_CHECKING

import numpy as np

from search_spaces.arch import Arch, Task

from .cores import cores, pinned
from .latency_cache import Timing
from .pairs import TURNS, settled, warm_up
from .program import program_of
from .quiet import measuring

if TYPE_CHECKING:
    from .latency_cache import LatencyCache
    from .pairs import Program
    from .target import Target, Timer

TASK = Task(10, (3, 32, 32))
REFERENCE = Arch.from_text(
    "stem(width=16) | stage(width=24,stride=2): 2*mbconv(expand=3)"
    " | stage(width=48,stride=2): 2*mbconv(expand=3)"
    " | stage(width=96,stride=2): 2*mbconv(expand=3) | head"
)
ROUNDS = 40
PAUSE_S = 0.05  # between them, so that some find the machine quiet
KEY = f"reference {REFERENCE.digest}"


@cache
def reference_program(target: Target) -> Program:
    """Return the reference network, ready for `target`."""
    return program_of(REFERENCE, TASK, target)


def calibrated(program: Program, known: LatencyCache) -> Timing:
    """Return the reference's own latency on the quiet machine, measured if it is not known yet.

    A round's time is the quickest of its timings, as in `pairs`; the latency is the lower quartile
    of the rounds, between the lowest and the median one. By the median of the timings a busy
    machine gave a fifth more.
    """
    if timing := known.get(KEY):
        return timing
    target = known.target
    times = []
    for core in islice(cycle(cores()), ROUNDS if target.repeats else 5):
        with measuring(), pinned(core) if target.pins else nullcontext(), program() as timer:
            times.append(_quickest(timer) if target.repeats else timer(1))
        sleep(PAUSE_S)
    low, ms, high = np.quantile(times, [0, 0.25, 0.5])
    known.put(KEY, Timing(float(ms), float(low), float(high)))
    return known.get(KEY) or Timing(float(ms), float(low), float(high))


def _quickest(timer: Timer) -> float:
    once = warm_up(timer)
    return min(settled(timer, once) for _ in range(TURNS))
