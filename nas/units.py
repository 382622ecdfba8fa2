"""Quantities as people type them: "3.6M" parameters, "4MB", "5ms", "10m"."""

from __future__ import annotations

import re

from search_spaces.errors import NasError

_COUNTS = {"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "B": 1e9}
_BYTES: dict[str, float] = {
    "B": 1,
    "KB": 1e3,
    "MB": 1e6,
    "GB": 1e9,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
}
_MILLISECONDS = {"US": 1e-3, "MS": 1, "S": 1e3}
_SECONDS: dict[str, float] = {"": 1, "S": 1, "M": 60, "MIN": 60, "H": 3600}
_SHARES = {"": 1, "%": 0.01}
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+)\s*([a-zA-Z]*|%)")


class QuantityError(NasError, ValueError):
    """A quantity that cannot be read."""


def parse_count(text: str) -> int:
    """Return a number of things: "3.6M" -> 3_600_000.

    Raises:
        QuantityError: not a positive number with one of the known units.
    """
    return round(_parse(text, _COUNTS, "3.6M, 300K or 3600000"))


def parse_bytes(text: str) -> int:
    """Return bytes: "4MB" -> 4_000_000, "4MiB" -> 4_194_304.

    Raises:
        QuantityError: not a positive number with one of the known units.
    """
    return round(_parse(text, _BYTES, "4MB, 500KB or 2MiB"))


def parse_ms(text: str) -> float:
    """Return milliseconds: "5ms" -> 5.0, "800us" -> 0.8.

    Raises:
        QuantityError: not a positive number with one of the known units.
    """
    return _parse(text, _MILLISECONDS, "5ms, 800us or 0.1s")


def parse_seconds(text: str) -> float:
    """Return seconds: "10m" -> 600.0, "90" -> 90.0.

    Raises:
        QuantityError: not a positive number with one of the known units.
    """
    return _parse(text, _SECONDS, "10m, 90s or 1.5h")


def parse_share(text: str) -> float:
    """Return a share: "3%" -> 0.03.

    Raises:
        QuantityError: not a positive number, with or without a percent sign.
    """
    return _parse(text, _SHARES, "3% or 0.03")


def format_count(value: float) -> str:
    """Return a count in three digits and a unit: 3_504_872 -> "3.50M"."""
    for unit in ("", "K", "M"):
        if value < 999.5:
            return f"{value:.3g}{unit}" if unit else f"{value:.0f}"
        value /= 1000
    return f"{value:.3g}G"


def format_seconds(value: float) -> str:
    """Return a duration as minutes and seconds: 95 -> "1:35"."""
    minutes, seconds = divmod(round(max(0.0, value)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _parse(text: str, units: dict[str, float], examples: str) -> float:
    match = _QUANTITY.fullmatch(text.strip())
    if match and match[2].upper() in units and float(match[1]) > 0:
        value = float(match[1]) * units[match[2].upper()]
        if value < float("inf") and (units is not _COUNTS or value >= 1):
            return value
    raise QuantityError(f"{text!r} is not a positive quantity; write it like {examples}")
