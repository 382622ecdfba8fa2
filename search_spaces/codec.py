"""Frozen dataclasses to plain JSON values and back; errors carry the path of the fault."""

from __future__ import annotations

from dataclasses import MISSING, fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from .block import BLOCKS, Block, kind_of
from .errors import NasError, SpecError, UnknownName

if TYPE_CHECKING:
    from collections.abc import Iterable

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """Return `value` as JSON holds it: dataclasses as dicts, blocks with a `kind`, no tuples.

    Fields that are None are left out.
    """
    if is_dataclass(value) and not isinstance(value, type):
        tag = {"kind": kind_of(type(value))} if isinstance(value, Block) else {}
        known = {f.name: getattr(value, f.name) for f in fields(value)}
        return tag | {name: to_plain(v) for name, v in known.items() if v is not None}
    return [to_plain(item) for item in value] if isinstance(value, (tuple, list)) else value


def from_plain(hint: type[T], data: Any, path: str = "$") -> T:
    """Build a value of type `hint` from what `to_plain` made; fields left out take their defaults.

    Raises:
        SpecError: a value of another type, an unknown or missing key, or a rule broken at `path`.
    """
    if get_origin(hint) is tuple:
        return _tuple(get_args(hint), data, path)  # type: ignore[return-value]
    if get_origin(hint) is Literal:
        if data not in get_args(hint):
            known = ", ".join(map(str, get_args(hint)))
            raise SpecError(f"{path}: {data!r} is none of: {known}")
        return data  # type: ignore[no-any-return]
    if isinstance(hint, UnionType):  # with None, which is written by leaving the key out
        hint = get_args(hint)[0]
    if hint is Block or is_dataclass(hint):
        return _record(hint, data, path)  # type: ignore[no-any-return]
    if hint is float and type(data) is int:
        return float(data)  # type: ignore[return-value]
    if type(data) is not hint:
        raise SpecError(f"{path}: expected {hint.__name__}, but got {data!r}")
    return data


def check_keys(given: Iterable[str], known: Iterable[str], path: str) -> None:
    """Refuse keys that mean nothing: the commonest bug in hand-written files.

    Raises:
        SpecError: a key of `given` is not among `known`; the nearest one is suggested.
    """
    known = list(known)
    for key in given:
        if key not in known:
            nearest = get_close_matches(str(key), known, n=1)
            hint = f"did you mean {nearest[0]!r}? " if nearest else ""
            raise SpecError(f"{path}: unknown key {key!r}; {hint}known: {', '.join(known)}")


def placed(error: SpecError, path: str) -> SpecError:
    """Return `error` with the `path` of the fault, unless it already has a nearer one."""
    return SpecError(error if str(error).startswith("$") else f"{path}: {error}")


def _tuple(args: tuple[Any, ...], data: Any, path: str) -> tuple[Any, ...]:
    if not isinstance(data, (list, tuple)):
        raise SpecError(f"{path}: expected a list, but got {data!r}")
    hints = [args[0]] * len(data) if args[1:] == (...,) else list(args)
    if len(hints) != len(data):
        raise SpecError(f"{path}: expected {len(hints)} values, but got {len(data)}")
    pairs = enumerate(zip(hints, data, strict=True))
    return tuple(from_plain(h, item, f"{path}[{i}]") for i, (h, item) in pairs)


def _record(hint: type[Any], data: Any, path: str) -> Any:
    if not isinstance(data, dict):
        raise SpecError(f"{path}: expected a mapping, but got {data!r}")
    data = dict(data)
    if hint is Block:
        if "kind" not in data:
            raise SpecError(f"{path}: a block needs a `kind`; known: {', '.join(BLOCKS)}")
        hint = block_named(data.pop("kind"), path)
    specs = fields(hint)
    check_keys(data, [f.name for f in specs], path)
    for f in specs:
        if f.name not in data and f.default is MISSING:
            raise SpecError(f"{path}: key {f.name!r} is missing")
    hints = _hints(hint)  # type: ignore[arg-type]  # mypy takes classes for unhashable
    values = {key: from_plain(hints[key], value, f"{path}.{key}") for key, value in data.items()}
    try:
        return hint(**values)
    except SpecError as error:
        raise placed(error, path) from None


def block_named(kind: Any, path: str) -> type[Block]:
    """Return the block registered as `kind`, or say at which `path` an unknown one stands."""
    try:
        return BLOCKS[kind]
    except UnknownName as error:
        hint = "one of your own comes with --plugin FILE, or `read_plugin(...).load()`"
        raise SpecError(f"{path}.kind: {error}; {hint}") from None
    except (NasError, TypeError) as error:
        raise SpecError(f"{path}.kind: {error}") from None


@cache
def _hints(record: type[Any]) -> dict[str, Any]:
    return get_type_hints(record)
