"""Where spaces come from: presets by name or by image size, and files in YAML or JSON."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from .codec import block_named, check_keys, from_plain, placed, to_plain
from .errors import SpecError, UnknownName
from .heads import Head
from .registry import Registry
from .space import Space, StageSpace
from .stems import Stem
from .strict_json import parse_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .block import Menu, Value

SCHEMA = 1
SPACES: Registry[Space] = Registry("space", "search_spaces.presets")
SMALL_IMAGE = 96  # below this side the preset for small images downsamples less


def space_for(shape: tuple[int, int, int]) -> Space:
    """Return the preset that suits images of `shape` (C, H, W)."""
    return SPACES["small" if min(shape[1:]) < SMALL_IMAGE else "mobile"]


def find_space(name: str) -> Space:
    """Return the preset called `name`, or the space in the file of that path.

    Raises:
        UnknownName: neither a preset nor a file.
        SpecError: the file breaks a rule; the message has the path of the fault.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml", ".json"):
        if not path.is_file():
            raise UnknownName(f"space file {name!r} does not exist")
        return read_space(path)
    return SPACES[name]


def read_space(path: Path) -> Space:
    """Read a space from a YAML or JSON file; `docs/spaces.md` documents the schema.

    Raises:
        SpecError: not readable, not YAML, or a rule broken; the message has file and path.
    """
    data = read_plain(path)
    try:
        return space_from_plain(data, name=path.stem)
    except SpecError as error:
        raise SpecError(f"{path}: {error}") from None


def read_plain(path: Path) -> Any:
    """Return the plain values in a YAML or JSON file, which is JSON if its suffix says so.

    Raises:
        SpecError: not readable, or not YAML; the message has the file and the place in it.
    """
    try:
        text = path.read_text(encoding="utf-8")
        return parse_json(text) if path.suffix == ".json" else yaml.load(text, _SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise SpecError(f"{path}: {place}{error.problem}") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SpecError(f"{path}: {' '.join(str(error).split())}") from None


class _SafeLoader(yaml.SafeLoader):
    """Refuses a key that is there twice, of which PyYAML would keep the last without a word."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Return the mapping, as the base class does, unless two keys are the same."""
        keys: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in keys:
                problem = f"key {key.value!r} is there twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            keys |= {key.value} if isinstance(key, yaml.ScalarNode) else set()
        return super().construct_mapping(node, deep)


def space_from_plain(data: Any, name: str = "unnamed") -> Space:
    """Build a space from plain values: every field may hold one value or a list of choices.

    Raises:
        SpecError: an unknown or missing key, or a rule broken; the message has the path.
    """
    data = _mapping(data, "$", ("schema", "name", "resolution", "stem", "stages", "head"))
    if data.get("schema") != SCHEMA:
        raise SpecError(f"$.schema: expected {SCHEMA}, but got {data.get('schema')!r}")
    stem = _mapping(data.get("stem", {}), "$.stem", (f.name for f in fields(Stem)))
    head = _mapping(data.get("head", {}), "$.head", (f.name for f in fields(Head)))
    stem_width = _choices(stem.pop("width", None), "$.stem.width")
    head_width = _choices(head.pop("width", 0), "$.head.width")
    stages = data.get("stages")
    if not isinstance(stages, list):
        raise SpecError(f"$.stages: expected a list of stages, but got {stages!r}")
    try:
        return Space(
            name=str(data.get("name", name)),
            stem=from_plain(Stem, stem | {"width": stem_width[0]}, "$.stem"),
            stem_width=stem_width,
            stages=tuple(_stage(stage, f"$.stages[{i}]") for i, stage in enumerate(stages)),
            head=from_plain(Head, head | {"width": head_width[0]}, "$.head"),
            head_width=head_width,
            resolution=_choices(data["resolution"], "$.resolution") if "resolution" in data else (),
        )
    except SpecError as error:
        raise placed(error, "$") from None


def space_to_plain(space: Space) -> dict[str, Any]:
    """Return the plain values from which `space_from_plain` builds `space` again."""
    return {
        "schema": SCHEMA,
        "name": space.name,
        **({"resolution": list(space.resolution)} if space.resolution else {}),
        "stem": to_plain(space.stem) | {"width": list(space.stem_width)},
        "stages": [
            {
                "width": list(stage.width),
                "depth": list(stage.depth),
                "stride": stage.stride,
                "blocks": [
                    {"kind": menu.kind} | {knob: list(choices) for knob, choices in menu.knobs}
                    for menu in stage.blocks
                ],
            }
            for stage in space.stages
        ],
        "head": to_plain(space.head) | {"width": list(space.head_width)},
    }


def _stage(data: Any, path: str) -> StageSpace:
    data = _mapping(data, path, (f.name for f in fields(StageSpace)))
    for key in ("width", "blocks"):
        if key not in data:
            raise SpecError(f"{path}: key {key!r} is missing")
    if not isinstance(data["blocks"], list):
        raise SpecError(f"{path}.blocks: expected a list of blocks, but got {data['blocks']!r}")
    try:
        return StageSpace(
            width=_choices(data["width"], f"{path}.width"),
            depth=_choices(data.get("depth", 1), f"{path}.depth"),
            stride=data.get("stride", 1),
            blocks=tuple(_menu(b, f"{path}.blocks[{i}]") for i, b in enumerate(data["blocks"])),
        )
    except SpecError as error:
        raise placed(error, path) from None


def _menu(data: Any, path: str) -> Menu:
    if isinstance(data, str):  # a kind alone: all its knobs are searched
        data = {"kind": data}
    if not isinstance(data, dict) or "kind" not in data:
        raise SpecError(f"{path}: expected the name of a block or a mapping with `kind`")
    knobs: dict[str, tuple[Value, ...]] = {
        str(key): tuple(value) if isinstance(value, list) else (value,)
        for key, value in data.items()
        if key != "kind"
    }
    try:
        return block_named(data["kind"], path).over(**knobs)
    except SpecError as error:
        raise placed(error, path) from None


def _mapping(data: Any, path: str, known: Iterable[str]) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise SpecError(f"{path}: expected a mapping, but got {data!r}")
    check_keys(data, known, path)
    return dict(data)


def _choices(data: Any, path: str) -> tuple[int, ...]:
    choices = tuple(data) if isinstance(data, list) else (data,)
    if not choices or any(type(choice) is not int for choice in choices):
        raise SpecError(f"{path}: expected a whole number or a list of them, but got {data!r}")
    return choices
