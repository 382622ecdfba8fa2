"""The latencies in a model card, each with where and how it was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .agreement import NOISY, noisy
from .columns import LATENCY, prefixes, target_name
from .markdown import interval, plain, table, when_known

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .card_facts import Facts
_TIMES = (LATENCY, "latency_low_ms", "latency_high_ms")


def latency_section(facts: Facts) -> Iterator[str]:
    """Yield the paragraphs on latency."""
    if LATENCY in facts.metrics:
        yield from _of_targets(facts.metrics)
    if facts.timed:
        yield (
            "Each file in its own runtime when it was written: one image on one thread, the median "
            "of 30 runs with its 95 % bootstrap interval; the machine may have had other work."
        )
        rows = (
            (
                plain(name) + (" !" if noisy(figures) else ""),
                *(f"{figures[key]:.3g}" for key in _TIMES),
                plain(figures["device"]),
            )
            for name, figures in facts.timed.items()
        )
        yield table(("format", "ms", "from", "to", "device"), rows)
        if any(map(noisy, facts.timed.values())):
            yield f"! {NOISY}"


def _of_targets(found: Mapping[str, Any]) -> Iterator[str]:
    yield _measured(found)
    beside = [
        when_known(found, "memory_bytes", "{:,.0f} bytes of memory"),
        when_known(found, "energy_mj", "{:.3g} mJ"),
    ]
    if any(beside):
        yield f"An inference takes {' and '.join(filter(None, beside))}."
    for prefix in prefixes(found):
        there = {k.removeprefix(prefix): v for k, v in found.items() if k.startswith(prefix)}
        yield f"On {plain(target_name(prefix))}: {_measured(there)}"


def _measured(found: Mapping[str, Any]) -> str:
    """Return a latency with its interval, and on what it was measured."""
    threads, batch = found.get("threads"), found.get("batch")
    where = [found.get("device"), found.get("runtime"), found.get("target")]
    parts = [plain(part) for part in where[:2] if part]
    if threads:
        parts.append(f"{threads} thread{'' if threads == 1 else 's'}")
    if batch:
        parts.append(f"batch {batch}")
    if where[2]:
        parts.append(f"target {plain(where[2])}")
    return (
        f"**{found[LATENCY]:.3g} ms**"
        + interval(found, "latency", " (95 % interval {:.3g} to {:.3g})", "_ms")
        + (f": {', '.join(parts)}." if parts else ".")
        + (" The machine was noisy." if found.get("latency_flagged") else "")
    )
