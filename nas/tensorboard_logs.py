"""Logs of a training for TensorBoard, where its package is installed."""

from __future__ import annotations

from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from evaluators.runtimes import TargetUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from evaluators.loop import EpochResult

    Log = Callable[[EpochResult], None]


def has_tensorboard() -> bool:
    """Return whether the package is installed."""
    return find_spec("tensorboard") is not None


def need_tensorboard() -> None:
    """Refuse to go on without the package.

    Raises:
        TargetUnavailable: it is not installed; the message names the extra that brings it.
    """
    if not has_tensorboard():
        raise TargetUnavailable("logs for TensorBoard need: pip install 'nas-compact[tensorboard]'")


@contextmanager
def tensorboard_logs(directory: Path | None, done: int = 0) -> Iterator[Log]:
    """Lend what writes an epoch's result to logs in `directory`; without one it does nothing.

    Args:
        directory: made if missing.
        done: epochs that are behind the training; what the logs have of later ones is void.

    Raises:
        TargetUnavailable: the package is not installed.
    """
    if directory is None:
        yield lambda _: None
        return
    need_tensorboard()
    from torch.utils.tensorboard import SummaryWriter

    writer: Any = SummaryWriter(directory, purge_step=done + 1)

    def log(result: EpochResult) -> None:
        figures = {
            "loss/train": result.loss,
            "accuracy/train": result.train_accuracy,
            "accuracy/val": result.accuracy,
            "lr": result.lr,
            "images_per_s": result.images_per_s,
        }
        for name, value in figures.items():
            writer.add_scalar(name, value, result.epoch)
        writer.flush()

    with writer:
        yield log
