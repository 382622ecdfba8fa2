"""What became of a training from epoch to epoch: as a table, and as a picture."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

from evaluators.checkpoint import read_checkpoint
from evaluators.loop import EpochResult

from .card import CURVES
from .curves import Curve, curves
from .files import write_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TABLE = "history.csv"


@dataclass(frozen=True)
class History:
    """The results of the epochs so far."""

    results: tuple[EpochResult, ...] = ()

    @classmethod
    def of(cls, checkpoint: Path) -> History:
        """Return what the training of a checkpoint has behind it; nothing if there is none.

        Raises:
            DataError: the file is damaged.
        """
        if not checkpoint.exists():
            return cls()
        return cls(tuple(EpochResult(**r) for r in read_checkpoint(checkpoint)["history"]))

    def plus(self, result: EpochResult) -> History:
        """Return the history with one more epoch."""
        return History((*self.results, result))

    def write(self, directory: Path) -> None:
        """Write the table and the picture, each whole or not at all."""
        for name, content in self.files().items():
            write_text(directory / name, content.decode())

    def files(self) -> Mapping[str, bytes]:
        """Return the contents of both files by name."""
        return {TABLE: self._table().encode(), CURVES: self._picture().encode()}

    def _table(self) -> str:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        names = [f.name for f in fields(EpochResult)]
        writer.writerow("val_accuracy" if name == "accuracy" else name for name in names)
        writer.writerows(asdict(result).values() for result in self.results)
        return text.getvalue()

    def _picture(self) -> str:
        epochs = [result.epoch for result in self.results]
        loss = Curve("training loss", epochs, [result.loss for result in self.results])
        train = Curve("training", epochs, [result.train_accuracy for result in self.results])
        val = Curve("validation", epochs, [result.accuracy for result in self.results])
        return curves({"loss": [loss], "accuracy": [train, val]}, "epoch")
