"""The table every search is compared with: the six published networks under the same conditions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from evaluators.data import Images, Split, load
from evaluators.recipe import Recipe, epochs_within
from evaluators.training import train
from search_spaces.budget import fill, scale
from search_spaces.errors import BudgetError, CandidateError
from search_spaces.network import build
from search_spaces.networks import NETWORKS, adapted

from .executors.local import Job, LocalExecutor, refuse_unguarded_script
from .families import FAMILIES, variant
from .finalists import Finish, finished, keep_metrics
from .mirror import mirror_of, mirrored
from .progress import SILENT, Progress
from .runs import create_run, locked, update_run, write_table
from .sealing import seal_run
from .setup import Setup

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from evaluators.evaluator import Report
    from search_spaces.arch import Arch, Task

    from .config import SearchConfig

_COUNTS = (  # columns of whole numbers
    "params", "macs", "imagenet_params", "test_images", "epochs", "seeds", "latency_runs",
    "latency_flagged",
)  # fmt: skip
_IDLE = {  # options of a search that mean nothing here
    "space", "sampler", "scheduler", "eta", "fidelity", "warm_start", "budget_latency", "trials",
    "epochs", "finalists",
}  # fmt: skip
_PROBE = 512  # images on which a network's speed is taken before its epochs are planned


@dataclass(frozen=True)
class TimedFinish:
    """Trains, tests and exports as `Finish` does, for as many epochs as the time allows.

    Attributes:
        finish: with the recipe of the most epochs.
        seconds: for each network; None is no limit.
    """

    finish: Finish
    seconds: float | None

    def __call__(self, arch: Arch, task: Task) -> Iterator[Report]:
        """Yield a report an epoch."""
        finish = self.finish
        if self.seconds is not None:
            affordable = epochs_within(self.seconds, *_speed(arch, task, load(finish.data)))
            epochs = min(affordable, finish.recipe.epochs)
            finish = replace(finish, recipe=replace(finish.recipe, epochs=epochs))
        yield from finish(arch, task)


def _speed(arch: Arch, task: Task, images: Images) -> tuple[float, int]:
    """Return images a second of a short training, and how many images there are."""
    train_split = images.train
    probe = Split(train_split.images[:_PROBE], train_split.labels[:_PROBE])
    few = replace(images, train=probe, val=Split(images.val.images[:64], images.val.labels[:64]))
    *_, last = train(build(arch, task), few, Recipe(epochs=1))
    return last.images_per_s, len(train_split)


@dataclass(frozen=True)
class Comparison:
    """What a run of baselines leaves.

    Attributes:
        directory: the run folder.
        table: a row for each network, as in `baselines.csv`; failures have their `reason`.
        status: "complete" or "interrupted".
    """

    directory: Path
    table: pd.DataFrame
    status: str


def baselines(
    config: SearchConfig, out: Path | str | None = None, progress: Progress = SILENT
) -> Comparison:
    """Train, test, measure and export six networks, a variant of each family that fills the budget.

    Conditions are those of a search with the same `config`: data, recipe, target, budgets, seed.
    Each network gets the same share of `timeout`, `final_epochs` at most.

    Args:
        config: the options; those of a search's candidates are not looked at.
        out: the run folder, or its URL on an object store; by default `runs/<time>`.
        progress: told what happens.

    Raises:
        NasError: bad options, data or folder, or a budget that no family meets, before anything is
            written.
    """
    refuse_unguarded_script()
    setup = Setup(config)
    names = [variant(name, setup.budget, setup.task) for name in FAMILIES]
    rows = {name: _row(name, setup) for name in names}
    if not any("arch" in row for row in rows.values()):
        _refuse(rows, setup)
    mirror = mirror_of(out)
    if mirror:
        mirror.begin()
    given = Path(out) if out else None
    directory = create_run(config.located(), mirror.folder if mirror else given, leave_out=_IDLE)
    progress.started(seconds=config.timeout, trials=None)
    progress.phase("baselines")
    status = "failed"
    with locked(directory), mirrored(mirror, progress.note):
        try:
            _train(rows, setup, directory, progress)
            status = "complete"
        except KeyboardInterrupt:
            status = "interrupted"
        finally:
            table = _table(rows.values())
            write_table(directory / "baselines.csv", table)
            update_run(directory, status=status)
            seal_run(directory)
    return Comparison(directory, table, status)


def _table(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return the rows as a table in which whole numbers stay whole beside missing ones."""
    plain = [{**row, "arch": str(row["arch"])} if "arch" in row else row for row in rows]
    table = pd.DataFrame(plain)
    return table.astype({name: "Int64" for name in _COUNTS if name in table})


def _train(
    rows: dict[str, dict[str, Any]], setup: Setup, directory: Path, progress: Progress
) -> None:
    """Train, test, export and measure the networks; what becomes of each is entered in its row."""
    timeout, models = setup.config.timeout, directory / "models"
    recipe = setup.recipe(setup.final_epochs)
    finish = Finish(setup.data, recipe, models, formats=setup.formats)
    work = TimedFinish(finish, timeout and timeout * setup.workers / len(FAMILIES))
    archs = {name: row["arch"] for name, row in rows.items() if "arch" in row}
    jobs = iter([Job(name, partial(work, arch, setup.task)) for name, arch in archs.items()])

    def goes_on(name: str, report: Report) -> bool:
        progress.stage(name, f"epoch {report.step}", report.metrics)
        return True

    def ended(name: str, reason: str | None) -> None:
        arch = archs[name]
        metrics, latency = finished(models, arch.digest) or {}, _latency(arch, setup)
        if metrics and "reason" not in latency:
            keep_metrics(models, arch.digest, {**metrics, **latency, **setup.about_targets()})
        plain = {key: value for key, value in metrics.items() if key != "formats"}
        rows[name] |= {**plain, "reason": reason, **latency}
        progress.ended(name, "failed" if reason else "complete", metrics, reason or "")

    with LocalExecutor(setup.workers) as executor:
        executor.run(lambda: next(jobs, None), goes_on, ended)


def _row(name: str, setup: Setup) -> dict[str, Any]:
    """Return what is known of a network before it is trained."""
    published = NETWORKS[name]
    params, top1 = published.params, published.top1
    row = {"network": name, "imagenet_params": params and params.value}
    row |= {"imagenet_top1": top1 and top1.value}
    row |= {"imagenet_source": top1 and published.cite(top1)}
    try:
        arch = fill(adapted(published.arch, setup.task), setup.budget, setup.task)
    except BudgetError as error:
        return row | {"reason": str(error)}
    cost = arch.cost(setup.task)
    return row | {"digest": arch.digest, "arch": arch, "params": cost.params, "macs": cost.macs}


def _refuse(rows: dict[str, dict[str, Any]], setup: Setup) -> None:
    """Refuse a budget that no family meets, by what comes nearest to it."""

    def narrowest(name: str) -> float:
        arch = scale(adapted(NETWORKS[name].arch, setup.task), 0)
        return setup.budget.used(arch.cost(setup.task))

    nearest = min(rows, key=narrowest)
    raise BudgetError(
        f"no family meets the budget; nearest is {nearest}: {rows[nearest]['reason']}"
    )


def _latency(arch: Arch, setup: Setup) -> Mapping[str, Any]:
    try:
        return next(iter(setup.latency(arch, setup.task))).metrics
    except CandidateError as error:
        return {"reason": str(error)}
