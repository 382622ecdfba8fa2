"""Which architecture to try next, where to run it, what to keep.

The public names are imported when they are first used, so that the command line starts quickly.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import SearchConfig as SearchConfig
    from .executors.ray import to_tune as to_tune
    from .exporter import load as load
    from .searching import Result as Result
    from .searching import resume as resume
    from .searching import search as search
    from .study import Candidate as Candidate
    from .study import Study as Study

_HOMES = {
    "Candidate": "study",
    "Result": "searching",
    "SearchConfig": "config",
    "Study": "study",
    "load": "exporter",
    "resume": "searching",
    "search": "searching",
    "to_tune": "executors.ray",
}
__all__ = ["Candidate", "Result", "SearchConfig", "Study", "load", "resume", "search", "to_tune"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
