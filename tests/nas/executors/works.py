"""Work that costs nothing, as a plugin brings it: workers load it from its contents."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evaluators.child import Child
from evaluators.data import DataSpec, load
from evaluators.evaluator import Report
from search_spaces.errors import CandidateError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nas.executors.local import Work


@dataclass(frozen=True)
class Count:
    """Reports 1, 2, ..., and may end badly after `good` reports."""

    good: int
    end: str = "well"
    seconds: float = 0.0

    def __call__(self) -> Iterator[Report]:
        for step in range(1, self.good + 1):
            time.sleep(self.seconds)
            yield Report(step, {"pid": float(os.getpid()), "node": float(os.getppid())})
        if self.end == "candidate":
            raise CandidateError("the loss is nan")
        if self.end == "bug":
            raise ZeroDivisionError("a bug")
        if self.end == "killed":
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class KilledOnce:
    """Reports 1, 2 and 3; its process is killed after the second, the first time."""

    mark: Path

    def __call__(self) -> Iterator[Report]:
        for step in (1, 2, 3):
            yield Report(step, {"pid": float(os.getpid()), "node": float(os.getppid())})
            if step == 2 and not self.mark.exists():
                self.mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Shares:
    """Reports whether the images lie in memory that nobody may write to: an object store's."""

    spec: DataSpec

    def __call__(self) -> Iterator[Report]:
        address = load(self.spec).train.images.data_ptr()
        mapped = ""
        for line in Path("/proc/self/maps").read_text().splitlines():
            low, high = (int(end, 16) for end in line.split()[0].split("-"))
            mapped += line if low <= address < high else ""
        yield Report(1, {"mapped": float("plasma" in mapped or "/dev/shm" in mapped)})


@dataclass(frozen=True)
class KilledInTraining:
    """Does `work`; its process is killed after the epoch `last`, the first time.

    `log` gets a line for each epoch, whoever trained it.
    """

    work: Work
    last: int
    log: Path

    def __call__(self) -> Iterator[Report]:
        for report in self.work():
            before = self.log.read_text() if self.log.exists() else ""
            self.log.write_text(f"{before}{report.step}\n")
            yield report
            if report.step == self.last and str(self.last) not in before.split():
                os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Writes:
    """Writes files in its copy of a run folder, which it must not share with the driver."""

    folder: Path

    def __call__(self) -> Iterator[Report]:
        given = (self.folder / "given").read_text()
        models = self.folder / "models"
        for step in (1, 2):
            models.mkdir(exist_ok=True)
            (models / f"{step}.txt").write_text(given)
            if step == 2:
                (models / "1.txt").unlink()
                (models / "new").mkdir()
                (models / "new" / "2.txt").write_text(given)
            yield Report(step, {})
        (self.folder / "given").unlink()


def lock_folder() -> str:
    """Return, in a while, what tells the nodes of a test apart."""
    time.sleep(0.5)
    return os.environ["XDG_RUNTIME_DIR"]


def node(*_: object) -> dict[str, float]:
    """Return what tells the nodes of a cluster apart, as a process that this one starts sees it."""
    child = Child()
    found = child.call(os.getppid) == os.getpid() and os.getppid()
    child.end()
    return {"memory_bytes": float(found)}


def killed(mark: Path, times: int) -> str:
    """Return how often this was begun; the process is killed the first `times` times."""
    begun = mark.read_text() + "x" if mark.exists() else "x"
    mark.write_text(begun)
    if len(begun) <= times:
        os.kill(os.getpid(), signal.SIGKILL)
    return begun
