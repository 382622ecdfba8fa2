"""Recipes from YAML: those that are shipped, by name, and files of the user's own."""

from __future__ import annotations

from dataclasses import fields
from importlib.resources import files
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluators.recipe import Recipe
from search_spaces.codec import from_plain
from search_spaces.errors import SpecError, UnknownName
from search_spaces.spaces import read_plain

if TYPE_CHECKING:
    from collections.abc import Mapping

_SUFFIXES = (".yaml", ".yml", ".json")
_FLOATS = {f.name for f in fields(Recipe) if f.type == "float"}


def find_recipe(name: str, changes: Mapping[str, Any] | None = None) -> Recipe:
    """Return the recipe called `name`, or that in the file of this path, with `changes` by field.

    Raises:
        UnknownName: neither a recipe that is shipped nor a file.
        SpecError: the file breaks a rule, or a change does.
    """
    path = Path(name)
    if path.suffix not in _SUFFIXES:
        path = _shipped(name)
    elif not path.is_file():
        raise UnknownName(f"recipe file {name!r} does not exist")
    data = read_plain(path)
    if data is None:  # nothing but comments
        data = {}
    if not isinstance(data, dict):
        raise SpecError(f"{path}: expected fields of a recipe, but got {data!r}")
    try:
        return from_plain(Recipe, {**_numbers(data), **(changes or {})})
    except SpecError as error:
        raise SpecError(f"{name}: {error}") from None


def recipes() -> list[str]:
    """Return the names of the recipes that are shipped."""
    return sorted(path.stem for path in _folder().glob("*.yaml"))


def about(name: str) -> tuple[str, dict[str, Any]]:
    """Return what a shipped recipe says of itself, and the fields that it sets."""
    path = _shipped(name)
    lines = path.read_text("utf-8").splitlines()
    head = takewhile(lambda line: line.startswith("#"), lines)
    what = " ".join(line.removeprefix("#").strip() for line in head)
    return what.partition(". ")[0].rstrip(".") + ".", read_plain(path)


def _folder() -> Path:
    return Path(str(files("evaluators") / "recipes"))


def _shipped(name: str) -> Path:
    if name not in recipes():
        raise UnknownName(
            f"{name!r} is neither a recipe ({', '.join(recipes())}) nor a file "
            f"({', '.join(_SUFFIXES)})"
        )
    return _folder() / f"{name}.yaml"


def _numbers(data: dict[str, Any]) -> dict[str, Any]:
    """Return fields with 5e-4 as a number, which YAML 1.1 takes for a text."""
    return {key: _number(value) if key in _FLOATS else value for key, value in data.items()}


def _number(value: Any) -> Any:
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value
