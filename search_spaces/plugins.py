"""Blocks and more from a Python file of the user's own, loaded by its path.

The file registers what it brings, as a file in `search_spaces/blocks/` does. Its module is named
after its contents, and worker processes get these contents rather than the path: what it defines
passes between processes, whatever becomes of the file meanwhile.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from traceback import walk_tb
from types import ModuleType
from typing import TYPE_CHECKING

from .errors import NasError

if TYPE_CHECKING:
    from pathlib import Path


class PluginError(NasError, ImportError):
    """A plugin that is missing, broken, or not the one that a run began with."""


@dataclass(frozen=True)
class Plugin:
    """A Python file as it was read.

    Attributes:
        path: where it was.
        source: its contents.
    """

    path: Path
    source: bytes

    @property
    def digest(self) -> str:
        """SHA-256 of the contents."""
        return hashlib.sha256(self.source).hexdigest()

    def load(self) -> None:
        """Run the file as a module, once in a process.

        Raises:
            PluginError: it raises something; the message has the line.
        """
        name = f"nas_plugin_{self.digest[:12]}"
        if name in sys.modules:
            return
        module = sys.modules[name] = ModuleType(name)  # dataclasses and pickle look it up there
        module.__file__ = str(self.path)
        try:
            exec(compile(self.source, self.path, "exec"), vars(module))
        except (Exception, SystemExit) as error:
            del sys.modules[name]
            raise PluginError(self.explain(error)) from None
        _LOADED.append(self)

    def line_of(self, error: BaseException) -> int | None:
        """Return the last line of the file through which `error` passed; None if it did not."""
        if isinstance(error, SyntaxError) and error.filename == str(self.path):
            return error.lineno
        frames = walk_tb(error.__traceback__)
        lines = [line for frame, line in frames if frame.f_code.co_filename == str(self.path)]
        return lines[-1] if lines else None

    def explain(self, error: BaseException) -> str:
        """Return where in the file `error` was raised, and what it says."""
        line = self.line_of(error)
        place = f"{self.path}: line {line}" if line else str(self.path)
        kind = "" if isinstance(error, NasError) else f"{type(error).__name__}: "
        text = " ".join(str(error).split())
        if isinstance(error, SyntaxError) and error.filename == str(self.path):
            text = error.msg
        return f"plugin {place}: {kind}{text}"


_LOADED: list[Plugin] = []


def read_plugin(path: Path) -> Plugin:
    """Return the Python file at `path`, not yet run.

    Raises:
        PluginError: it cannot be read.
    """
    try:
        return Plugin(path.absolute(), path.read_bytes())
    except OSError as error:
        raise PluginError(f"plugin {path}: {error.strerror}") from None


def blame(error: BaseException) -> str | None:
    """Return where in a plugin `error` was raised, and what it says; None if it was elsewhere."""
    for plugin in _LOADED:
        if plugin.line_of(error):
            return plugin.explain(error)
    return None


def loaded_plugins() -> tuple[Plugin, ...]:
    """Return the plugins that run in this process, in the order in which they were loaded."""
    return tuple(_LOADED)
