"""Energy of inference, where the processor counts it and lets us read (Intel's and AMD's RAPL)."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from .pairs import warm_up
from .quiet import measuring
from .target import CpuTarget

if TYPE_CHECKING:
    from .child import Child
    from .program import Prepared

POWERCAP = Path("/sys/class/powercap")
SECONDS = 1.0  # of one reading: a thousand times the counter's period
READINGS = 5


def energy(program: Prepared, child: Child, root: Path = POWERCAP) -> dict[str, float]:
    """Return `energy_mj`, an inference's energy in millijoules, with `energy_low_mj` and `_high_`.

    It is that of the whole processor packages while they do nothing else of ours: their idle power
    and other programs are in it, memory and fans are not. The median of five readings of a second,
    the lowest and the highest. Empty where no counter can be read (most systems let only root) and
    for targets that are not this processor.

    Args:
        program: the network in question.
        child: the process that runs it.
        root: folder of the counters.
    """
    if not isinstance(program.target, CpuTarget) or not packages(root):
        return {}
    return child.call(measure_energy, program, root)


def measure_energy(program: Prepared, root: Path, seconds: float = SECONDS) -> dict[str, float]:
    """Measure it in this process."""
    zones = packages(root)
    with measuring(), program() as timer:
        calls = math.ceil(1e3 * seconds / warm_up(timer))
        found = []
        for _ in range(READINGS):
            before = [microjoules(zone) for zone in zones]
            timer(calls)
            spent = sum(map(used, zones, before))
            found.append(spent / calls / 1e3)
    return {
        "energy_mj": median(found),
        "energy_low_mj": min(found),
        "energy_high_mj": max(found),
    }


def packages(root: Path) -> list[Path]:
    """Return the zones of the processor packages, if their counters can be read.

    Their parts (cores, graphics) are counted in them; zones of the whole platform would count them
    twice.
    """
    named = {_text(zone / "name"): zone for zone in sorted(root.glob("*:*"))}  # mmio is the same
    zones = [zone for name, zone in named.items() if name.startswith("package")]
    return zones if all(_text(zone / "energy_uj") for zone in zones) else []


def microjoules(zone: Path) -> int:
    """Return the counter of `zone`."""
    return int(_text(zone / "energy_uj"))


def used(zone: Path, before: int) -> int:
    """Return the microjoules since the counter was at `before`; it starts again at its range."""
    spent = microjoules(zone) - before
    return spent if spent >= 0 else spent + int(_text(zone / "max_energy_range_uj"))


def _text(file: Path) -> str:
    try:
        return file.read_text("ascii").strip()
    except OSError:
        return ""
