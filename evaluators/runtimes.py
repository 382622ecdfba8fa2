"""What runs a model here: packages that are imported late, and how they fail."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from search_spaces.errors import NasError


class TargetUnavailable(NasError, RuntimeError):
    """A device or its runtime is missing on this machine."""


class GraphError(NasError, RuntimeError):
    """A network that an exporter or a runtime refuses."""


def runtime(module: str, extra: str | None = None) -> Any:
    """Return the module of a runtime; `extra` is that of this project that brings it.

    Raises:
        TargetUnavailable: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = f"'nas-compact[{extra}]'" if extra else module
        raise TargetUnavailable(f"{error}; install it with: pip install {package}") from error
