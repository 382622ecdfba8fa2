"""Where the commands print their tables."""

from __future__ import annotations

from rich.console import Console


def console_for(stderr: bool = False) -> Console:
    """Return a console as wide as the terminal, or wide enough that `grep` finds whole words."""
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=250)
