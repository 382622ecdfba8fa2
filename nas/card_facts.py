"""What a model card is written from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from search_spaces.arch import Arch, Task


@dataclass(frozen=True)
class Facts:
    """What a card is written from.

    Args:
        arch: the architecture.
        task: its classes and image shape.
        classes: their names, by label.
        files: bytes of each file beside the card, by name.
        formats: names of the files that can be loaded, by format, and the Python that does.
        metrics: accuracy and latency, as in metrics.json.
        provenance: as `nas.provenance` says.
    """

    arch: Arch
    task: Task
    classes: tuple[str, ...]
    files: Mapping[str, int]
    formats: Mapping[str, tuple[tuple[str, ...], str]]
    metrics: Mapping[str, Any]
    provenance: Mapping[str, Any]

    @property
    def timed(self) -> dict[str, Mapping[str, Any]]:
        """Figures of the files beside the card that were timed when written, by format."""
        found = self.metrics.get("formats", {})
        return {n: found[n] for n in found if n in self.formats and "device" in found[n]}
