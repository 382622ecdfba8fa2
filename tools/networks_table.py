"""Print the tables of docs/networks.md: python -m tools.networks_table."""

from __future__ import annotations

from search_spaces.networks import NETWORKS, Figure

SOURCES = {
    "paper": "p",
    "code": "c",
    "torchvision": "t",
    "Liu et al. 2024": "l",
    "Chen et al. 2018": "f",
}


def figures() -> str:
    """Return the table of what we count and what was published."""
    lines = [
        "| network | parameters | published | MACs | published | top-1 % | top-5 % |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name, network in NETWORKS.items():
        cost = network.arch.cost(network.task)
        cells = [
            f"`{name}`",
            f"{cost.params:,}",
            _cell(network.params),
            f"{cost.macs:,}",
            _cell(network.macs),
            _cell(network.top1),
            _cell(network.top5),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def departures() -> str:
    """Return the list of departures, networks with the same ones together."""
    names: dict[str, list[str]] = {}
    for name, network in NETWORKS.items():
        if network.departures:
            names.setdefault(network.departures, []).append(f"`{name}`")
    return "\n".join(f"* {', '.join(group)}: {text}" for text, group in names.items())


def _cell(figure: Figure | None) -> str:
    if figure is None:
        return ""
    value, by = figure
    if isinstance(value, int):
        text = f"{value:,}"
    elif value >= 1e9:
        text = f"{value / 1e9:g}G"
    else:
        text = f"{value / 1e6:g}M" if value > 100 else str(value)  # counts, percentages
    return f"{text} {SOURCES[by]}"


if __name__ == "__main__":
    print(figures(), departures(), sep="\n\n")
