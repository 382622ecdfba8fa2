"""The one-line form of an architecture, for tables and the command line.

Grammar, with every field that has its default left out and repeats counted::

    arch  := part (" | " part)*             the image, if its size is fixed; stem, stages, head
    image := "image(resolution=96)"
    stage := "stage(width=24,stride=2): " block (", " block)*
    block := [count "*"] call
    call  := name ["(" field "=" value ("," field "=" value)* ")"]

For example ``stem(width=16) | stage(width=24,stride=2): 2*mbconv(kernel=5), eesp | head``.
"""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from itertools import groupby
from typing import Any

from .block import Block, kind_of
from .errors import SpecError

_CALL = re.compile(r"(?:(\d+)\*)?([a-z][a-z0-9_-]*)(?:\(([^()]*)\))?")


def call_to_text(name: str, value: Any) -> str:
    """Return `name(field=value,...)` with the fields of a dataclass that differ from defaults."""
    given = [
        f"{f.name}={_atom(getattr(value, f.name))}"
        for f in fields(value)
        if f.default is MISSING or getattr(value, f.name) != f.default
    ]
    return f"{name}({','.join(given)})" if given else name


def blocks_to_text(blocks: tuple[Block, ...]) -> str:
    """Return the blocks of a stage, equal neighbours counted."""
    words = []
    for text, run in groupby(call_to_text(kind_of(type(b)), b) for b in blocks):
        count = len(list(run))
        words.append(f"{count}*{text}" if count > 1 else text)
    return ", ".join(words)


def text_to_plain(text: str) -> dict[str, Any]:
    """Read the one-line form into the plain values that `codec.from_plain` takes.

    Raises:
        SpecError: a part does not follow the grammar.
    """
    parts = [part.strip() for part in text.split("|")] if "|" in text else ["", ""]
    image = _named("image", parts.pop(0)) if parts[0].startswith("image") else {}
    first, *middle, last = parts if len(parts) > 1 else ["", ""]
    stages = []
    for i, part in enumerate(middle):
        opening, colon, rest = part.partition(":")
        if not colon:
            raise SpecError(f"stage {i}: expected 'stage(...): blocks', but got {part!r}")
        blocks = [
            {"kind": kind} | values
            for word in re.split(r",\s*(?![^()]*\))", rest.strip())
            for count, kind, values in [_parse_call(word)]
            for _ in range(count)
        ]
        stages.append(_named("stage", opening) | {"blocks": blocks})
    return image | {"stem": _named("stem", first), "stages": stages, "head": _named("head", last)}


def _named(name: str, word: str) -> dict[str, Any]:
    _, found, values = _parse_call(word)
    if found != name:
        raise SpecError(f"expected {name!r}, but got {word.strip()!r}")
    return values


def _parse_call(word: str) -> tuple[int, str, dict[str, Any]]:
    match = _CALL.fullmatch(word.strip())
    if not match:
        raise SpecError(f"expected 'name(field=value,...)', but got {word.strip()!r}")
    count, name, inside = match.groups()
    pairs = [pair.partition("=") for pair in inside.split(",")] if inside else []
    return int(count or 1), name, {key.strip(): _value(text.strip()) for key, _, text in pairs}


def _atom(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _value(text: str) -> bool | int | float | str:
    if text in ("true", "false"):
        return text == "true"
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text
