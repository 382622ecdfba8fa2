"""What can be named, as tables."""

from __future__ import annotations

import inspect
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.markup import escape
from rich.table import Table

from search_spaces.block import BLOCKS
from search_spaces.networks import NETWORKS
from search_spaces.spaces import SPACES

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

Row = dict[str, Any]


def _blocks() -> list[Row]:
    return [
        {
            "name": name,
            "knobs": ", ".join(f"{k}={'|'.join(map(str, c))}" for k, c in block.knobs().items()),
            "source": _source(block),
            "file": str(Path(inspect.getfile(block)).name),
        }
        for name, block in BLOCKS.items()
    ]


def _source(entry: object) -> str:
    """Return what the entry's module says about its source."""
    text = " ".join((inspect.getdoc(inspect.getmodule(entry)) or "").split())
    return text.partition("Source: ")[2].partition(" Departures:")[0]


def _spaces() -> list[Row]:
    return [
        {
            "name": name,
            "architectures": f"{space.size():.2e}",
            "genes": len(space.genes()),
            "stages": len(space.stages),
        }
        for name, space in SPACES.items()
    ]


def _networks() -> list[Row]:
    rows = []
    for name, network in NETWORKS.items():
        cost = network.arch.cost(network.task)
        top1 = network.top1
        figures = {"params": cost.params, "macs": cost.macs, "top1": top1 and top1.value}
        by = {"top1_source": top1 and network.cite(top1)}
        rows.append({"name": name} | figures | by | {"source": network.source})
    return rows


def _targets() -> list[Row]:
    from evaluators.target import TARGETS

    return [
        {
            "name": name,
            "what": (inspect.getdoc(target) or "").split("\n")[0],
            "options": ", ".join(f"{option.name}={option.default}" for option in fields(target)),
        }
        for name, target in TARGETS.items()
    ]


def _samplers() -> list[Row]:
    from .samplers import SAMPLERS

    return [{"name": name, "what": spec.summary} for name, spec in SAMPLERS.items()]


def _schedulers() -> list[Row]:
    from .halving import SCHEDULERS

    return [{"name": name, "what": what} for name, what in SCHEDULERS.items()]


def _fidelities() -> list[Row]:
    from evaluators.fidelity import FIDELITIES

    return [{"name": name, "what": what} for name, what in FIDELITIES.items()]


def _proxies() -> list[Row]:
    from evaluators.proxy import PROXIES

    return [
        {
            "name": name,
            "what": (inspect.getdoc(proxy) or "").split("\n")[0],
            "source": _source(proxy),
        }
        for name, proxy in PROXIES.items()
    ]


def _formats() -> list[Row]:
    from .exporter import EXPORTERS

    return [
        {
            "name": name,
            "file": ", ".join(exporter.files()),
            "here": f"no: pip install 'nas-compact[{extra}]'"
            if (extra := exporter.missing())
            else "yes",
            "what": (inspect.getdoc(exporter) or "").split("\n")[0],
        }
        for name, exporter in EXPORTERS.items()
    ]


def _data() -> list[Row]:
    from evaluators.data import known_data

    return [
        {
            "name": data.name,
            "classes": len(data.classes),
            "shape": "x".join(map(str, data.shape)),
            "train, val, test": ", ".join(f"{size:,}" for size in data.sizes),
            "licence": data.licence,
            "source": data.source,
        }
        for data in known_data()
    ]


def _recipes() -> list[Row]:
    from .recipe_files import about, recipes

    told = {name: about(name) for name in recipes()}
    return [
        {"name": name, "what": what, "fields": ", ".join(f"{k}={v}" for k, v in set_.items())}
        for name, (what, set_) in told.items()
    ]


def list_models(hub: str) -> list[Row]:
    """Return a row for each version of each model of a hub."""
    from .hub import Hub

    return Hub(hub).rows()


LISTS: dict[str, Callable[[], list[Row]]] = {
    "blocks": _blocks,
    "spaces": _spaces,
    "networks": _networks,
    "targets": _targets,
    "samplers": _samplers,
    "schedulers": _schedulers,
    "fidelities": _fidelities,
    "proxies": _proxies,
    "formats": _formats,
    "data": _data,
    "recipes": _recipes,
}


def print_list(rows: list[Row], console: Console) -> None:
    """Print rows with the same keys as a table."""
    table = Table(box=box.SIMPLE_HEAD)
    for column in rows[0] if rows else ():
        table.add_column(column, overflow="fold", no_wrap=column == "name")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    console.print(table)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else escape(str(value))
