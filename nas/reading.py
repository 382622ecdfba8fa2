"""The architecture that a user names, and what was meant where there is none of that name."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from pathlib import Path

from search_spaces.arch import Arch
from search_spaces.errors import SpecError
from search_spaces.networks import NETWORKS

_ALIKE = 0.8  # as a family's name and another one's beginning must be; the same is 1


def read_arch(text: str) -> Arch:
    """Return a published network, or the architecture in one line, a file, or a model's folder.

    Raises:
        SpecError: none of these.
    """
    path = Path(text)
    if text in NETWORKS:
        return NETWORKS[text].arch
    if "|" in text:
        return Arch.from_text(text)
    try:
        if path.is_dir():
            path = path / "arch.json"
        return Arch.from_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(
            f"{text!r} is neither an architecture in one line nor a readable file nor one of "
            f"`nas list networks`: {_hint(text, path, error)}"
        ) from None


def _hint(text: str, path: Path, error: OSError | UnicodeDecodeError) -> str:
    if nearest := _nearest_networks(text):
        return f"did you mean {' or '.join(map(repr, nearest))}?"
    if re.fullmatch("[0-9a-f]{12}", text):
        return f"a digest needs its folder before it: RUN/models/{text}"
    if isinstance(error, UnicodeDecodeError):
        return f"{path} is not UTF-8 text"
    if not isinstance(error, FileNotFoundError):
        return f"{path}: {error.strerror}"
    return "that folder has no arch.json" if text and Path(text).is_dir() else "no such file"


def _nearest_networks(text: str) -> list[str]:
    """Return the networks whose names begin with `text`, else what the nearest family has of it."""
    asked = _plain(text)
    begun = [name for name in NETWORKS if asked and _plain(name).startswith(asked)]
    families = {name.partition("-")[0] for name in NETWORKS}
    likeness, family = max((_likeness(family, text), family) for family in families)
    if begun or likeness < _ALIKE:
        return begun
    names = [name for name in NETWORKS if name.partition("-")[0] == family]
    return [n for n in names if asked.endswith(_plain(n.partition("-")[2]))] or names


def _plain(name: str) -> str:
    return re.sub("[-_ ]", "", name.lower())


def _likeness(family: str, text: str) -> float:
    """Compare a family with the beginning of `text`, up to its hyphen or of the family's length."""
    beginnings = text.lower().partition("-")[0], _plain(text)[: len(family)]
    return max(SequenceMatcher(None, family, part).ratio() for part in beginnings)
