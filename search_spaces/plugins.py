"""Blocks and more from a Python file of the user's own, loaded by its path.

The file registers what it brings, as a file in `search_spaces/blocks/` does. Its module is named
after its contents, and worker processes get these contents rather than the path: what it defines
passes between processes, whatever becomes of the file meanwhile.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
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
        except Exception as error:
            del sys.modules[name]
            raise PluginError(f"plugin {self.path}: {self._explain(error)}") from None
        _LOADED.append(self)

    def _explain(self, error: Exception) -> str:
        """Return the line of the file at which `error` was raised, and what it says."""
        line, text, trace = None, str(error), error.__traceback__
        while trace:
            if trace.tb_frame.f_code.co_filename == str(self.path):
                line = trace.tb_lineno
            trace = trace.tb_next
        if isinstance(error, SyntaxError):
            line, text = error.lineno, error.msg
        kind = "" if isinstance(error, NasError) else f"{type(error).__name__}: "
        return f"line {line}: {kind}{text}" if line else f"{kind}{text}"


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


def loaded_plugins() -> tuple[Plugin, ...]:
    """Return the plugins that run in this process, in the order in which they were loaded."""
    return tuple(_LOADED)
