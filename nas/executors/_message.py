"""Work as one JSON string: what is to be evaluated, and by what, without pickled classes.

Paths within a folder, that of the run, are sent as such, and lead into the reader's own copy of it.
"""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search_spaces.arch import Arch

if TYPE_CHECKING:
    from .local import Work

_TYPE = "$type"


def work_to_json(work: Work, folder: Path | None = None) -> str:
    """Return `work`, a frozen dataclass or a `partial` of one, as JSON.

    Raises:
        TypeError: it holds something else than plain values, paths, tuples and dataclasses.
    """
    return json.dumps(_plain(work, folder), separators=(",", ":"))


def work_from_json(text: str, folder: Path | None = None) -> Work:
    """Return what `work_to_json` wrote; plugins that it needs must have been loaded."""
    return _value(json.loads(text), folder)  # type: ignore[no-any-return]


def _plain(value: Any, folder: Path | None) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (tuple, list)):
        return [_plain(item, folder) for item in value]
    if isinstance(value, Path):
        if folder and value.is_relative_to(folder):
            return {_TYPE: "path within", "path": value.relative_to(folder).as_posix()}
        return {_TYPE: "path", "path": str(value)}
    if isinstance(value, Arch):
        return {_TYPE: "arch", "arch": json.loads(value.to_json())}
    if isinstance(value, partial) and not value.keywords:
        return {_TYPE: "call", "of": _plain(value.func, folder), "on": _plain(value.args, folder)}
    if is_dataclass(value) and not isinstance(value, type):
        kind = type(value)
        named = {f.name: _plain(getattr(value, f.name), folder) for f in fields(value) if f.init}
        return {_TYPE: f"{kind.__module__}:{kind.__qualname__}", **named}
    raise TypeError(f"{value!r} cannot be sent to a worker as JSON")


def _value(data: Any, folder: Path | None) -> Any:
    if isinstance(data, list):
        return tuple(_value(item, folder) for item in data)
    if not isinstance(data, dict):
        return data
    named = {name: item for name, item in data.items() if name not in (_TYPE, "arch")}
    values = {name: _value(item, folder) for name, item in named.items()}
    match data[_TYPE]:
        case "path":
            return Path(values["path"])
        case "path within" if folder:
            return folder / values["path"]
        case "arch":
            return Arch.from_json(json.dumps(data["arch"]))
        case "call":
            return partial(values["of"], *values["on"])
        case name:
            module, _, kind = name.partition(":")
            return getattr(import_module(module), kind)(**values)
