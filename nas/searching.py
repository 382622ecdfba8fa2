"""The main job: explore, finish the best, report; see `docs/search.md`."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from search_spaces.plugins import PluginError, read_plugin
from search_spaces.spaces import read_space, space_to_plain

from .clock import Clock
from .columns import of_a_front, prefixes
from .config import ConfigError
from .executors.local import refuse_unguarded_script
from .exploring import Exploration
from .files import write_text
from .finals import Finals
from .mirror import Mirror, mirror_of, mirrored
from .objectives import OBJECTIVES, points_of
from .pareto import non_dominated, recommend
from .progress import SILENT, Progress
from .record import SPARE_FILE, Record, open_database
from .report import write_report
from .runs import (
    SPACE_FILE,
    RunError,
    create_run,
    locked,
    read_config,
    read_run,
    update_run,
    write_table,
)
from .sealing import refuse_changed, seal_run, unseal_run
from .setup import Setup
from .spent import Account
from .storage import StudyError, with_password
from .study import Study
from .telling import TRAINED

if TYPE_CHECKING:
    from evaluators.evaluator import Metric

    from .config import SearchConfig


STUDY_FILE = "study.db"


@dataclass(frozen=True)
class Result:
    """What a run folder holds.

    Attributes:
        directory: the run folder.
        trials: a row for each candidate.
        pareto: a row for each member of the final front, its models in `models/<digest>/`.
        recommended: digest of the member to take when nobody says more; None if there is no front.
        status: "complete", "interrupted", or "failed" by a bug.
        account: where the time went.
    """

    directory: Path
    trials: pd.DataFrame
    pareto: pd.DataFrame
    recommended: str | None
    status: str
    account: Account = field(default_factory=Account)


def search(
    config: SearchConfig, out: Path | str | None = None, progress: Progress = SILENT
) -> Result:
    """Search as `config` says, in a new run folder.

    Args:
        config: the options.
        out: the run folder, or its URL on an object store; by default `runs/<time>`.
        progress: told what happens.

    Raises:
        NasError: bad options, data, space or folder, before anything is written.
    """
    refuse_unguarded_script()
    config.refuse_ignored()
    plugin = read_plugin(Path(config.plugin)) if config.plugin else None
    if plugin:
        plugin.load()
    setup = Setup(config, note=progress.note)  # finds what is wrong before a folder is made
    setup.check_budget()
    if config.storage:
        open_database(config.storage).engine.dispose()
    mirror, given = mirror_of(out), Path(out) if out else None
    with setup.executor:  # finds a cluster before a folder is made
        if mirror:
            mirror.begin()
        directory = create_run(config.located(), mirror.folder if mirror else given)
        with locked(directory), mirrored(mirror, progress.note):
            if plugin:
                update_run(directory, plugin={"path": str(plugin.path), "sha256": plugin.digest})
            write_text(directory / SPACE_FILE, json.dumps(space_to_plain(setup.space), indent=2))
            return _run(setup, directory, progress, mirror)


def resume(
    directory: Path | str,
    progress: Progress = SILENT,
    *,
    ray: bool | None = None,
    ray_address: str | None = None,
    storage: str | None = None,
) -> Result:
    """Go on with an interrupted or killed run; one that is complete is only reported again.

    Args:
        directory: the run folder, or its URL on an object store.
        progress: told what happens.
        ray: go on on a Ray of this machine, or without Ray; by default where it was.
        ray_address: go on on another cluster.
        storage: URL of the study's database, if that has moved or needs a password; by default
            that of the environment variable `NAS_STORAGE`.

    Raises:
        NasError: not a run folder, one that another process works in, or its data are gone.
    """
    refuse_unguarded_script()
    if ray is not None and ray_address is not None:
        raise ConfigError(
            f"`ray` (={ray}) and `ray_address` (={ray_address!r}) are two places to go on: leave "
            "out one of them"
        )
    mirror = mirror_of(directory)
    directory = mirror.fetch() if mirror else Path(directory)
    config = read_config(directory)
    moved = ray is not None or ray_address is not None
    if moved:
        config = replace(config, ray=bool(ray), ray_address=ray_address, workers=None)
    if config.storage:
        config = replace(config, storage=with_password(config.storage, storage))
    elif storage:
        raise StudyError(f"{directory} keeps its study in {STUDY_FILE}: leave out --storage")
    if read_run(directory)["status"] == "complete":  # nothing is left to train
        config = replace(config, ray=False, ray_address=None)
    if not (directory / SPACE_FILE).is_file():
        raise RunError(f"{directory}/{SPACE_FILE} is missing: only a search can be resumed")
    _load_same_plugin(config, directory)
    space = read_space(directory / SPACE_FILE)
    if not config.storage and not (directory / STUDY_FILE).is_file():
        raise RunError(f"{directory}/{STUDY_FILE} is missing: the run's candidates are lost")
    setup = Setup(config, space, progress.note)
    with locked(directory), setup.executor:
        refuse_changed(directory)
        if mirror:
            mirror.go_on()
        with mirrored(mirror, progress.note):
            if moved:
                update_run(directory, config=config.to_plain())
            return _run(setup, directory, progress, mirror)


def _load_same_plugin(config: SearchConfig, directory: Path) -> None:
    """Load the plugin of a run under way, unless it is another one by now."""
    if config.plugin:
        plugin = read_plugin(Path(config.plugin))
        known = (read_run(directory).get("plugin") or {}).get("sha256")
        if plugin.digest != known:
            raise PluginError(
                f"plugin {plugin.path} has changed since {directory} began (SHA-256 "
                f"{plugin.digest[:12]}, then {str(known)[:12]}); bring the old file back, or "
                "begin a new search"
            )
        plugin.load()


def _run(setup: Setup, directory: Path, progress: Progress, mirror: Mirror | None) -> Result:
    """Do what is left to do; an interrupt, like a bug, leaves a report of what has been found."""
    unseal_run(directory)
    config, task, space = setup.config, setup.task, setup.space
    study = Study(
        space,
        task,
        setup.objectives,
        sampler=config.sampler,
        budget=setup.budget,
        storage=_record(config, directory, progress),
        seed=config.seed,
    )
    if config.storage:
        update_run(directory, study=study.name)
    shape = {"classes": task.classes, "shape": list(task.shape)}
    targets = [target.to_plain() for target in setup.targets]
    rungs = [asdict(rung) for rung in setup.rungs]
    about = {"space": space.name, "task": shape, "targets": targets, "rungs": rungs}
    update_run(directory, **about, status="running")
    clock = Clock(directory, config.timeout, setup.executor.workers)
    finals = Finals(setup, study, clock, directory, progress)
    status = "failed"
    try:
        progress.started(seconds=clock.left(), trials=config.trials, done=study.asked)
        if config.ray_address and any(target.resource is None for target in setup.targets):
            progress.note("latency is measured on the head node, for want of --latency-resource")
        if finals.chosen is None:
            progress.phase("search")
            Exploration(setup, study, clock, directory, progress).run()
            _note_few(study, progress)
        progress.phase("finalists")
        finals.run()
        status = "complete"
    except KeyboardInterrupt:
        status = "interrupted"
        progress.note(f"interrupted; go on with: nas resume {mirror.url if mirror else directory}")
    finally:
        result = _report(study, finals, directory, status)
    return result


def _note_few(study: Study, progress: Progress) -> None:
    """Say so if the time sufficed for so little that what is found means nothing."""
    states = study.frame()["state"]
    if len(states) and "complete" not in set(states):
        progress.note(
            f"{len(states)} candidates were tried and none was trained to the end: a longer "
            "--timeout or fewer --epochs would tell more"
        )


def _record(config: SearchConfig, directory: Path, progress: Progress) -> Record:
    """Return the run's own database, or its own study in one that runs share."""
    if config.storage is None:
        return Record(f"sqlite:///{directory / STUDY_FILE}")
    known = read_run(directory).get("study")
    name = known or f"{directory.name}-{secrets.token_hex(4)}"
    spare = directory / SPARE_FILE
    return Record(config.storage, name, existing=known is not None, spare=spare, note=progress.note)


def _report(study: Study, finals: Finals, directory: Path, status: str) -> Result:
    study.flush()
    trials = study.frame()
    rows = finals.rows()
    explored = trials[trials["state"].isin(TRAINED)]
    pareto = front_of(pd.DataFrame(rows) if rows else explored, study.objectives)
    write_table(directory / "trials.csv", trials)
    write_table(directory / "pareto.csv", pareto)
    update_run(directory, status=status)
    write_report(directory)
    seal_run(directory)
    marked = pareto.loc[pareto["recommended"], "digest"]
    account = Account.of_run(read_run(directory))
    return Result(directory, trials, pareto, next(iter(marked), None), status, account)


PARETO_COLUMNS = (
    "digest", "arch", "params", "macs", "size_bytes", "latency_ms", "latency_low_ms",
    "latency_high_ms", "latency_flagged", "accuracy", "test_accuracy", "test_accuracy_low",
    "test_accuracy_high", "test_images", "epochs", "seeds", "accuracy_mean", "accuracy_sd",
    "test_accuracy_mean", "test_accuracy_sd", "unshifted_share", "file_bytes", "memory_bytes",
    "energy_mj", "recommended",
)  # fmt: skip


def front_of(found: pd.DataFrame, objectives: tuple[Metric, ...] = OBJECTIVES) -> pd.DataFrame:
    """Return the non-dominated rows, the most accurate first, one of them marked as recommended.

    What counts is the mean accuracy over the seeds.
    """
    latencies = [metric.name for metric in objectives[1:]]
    others = [name for prefix in prefixes(latencies) for name in of_a_front(prefix)]
    columns = [*PARETO_COLUMNS]
    place = columns.index("accuracy")
    columns[place:place] = others
    if "resolution" in found:
        columns.insert(columns.index("params"), "resolution")
    found = found.reindex(columns=columns)
    if found.empty:
        return found
    for name in ("accuracy", "test_accuracy"):
        found[f"{name}_mean"] = found[f"{name}_mean"].fillna(found[name])
    judged = found.assign(accuracy=found["accuracy_mean"])
    judged = judged[non_dominated(*points_of(judged, objectives))]
    judged = judged.sort_values("accuracy", ascending=False)
    front = found.loc[judged.index]
    chosen = front["digest"] == recommend(judged, costs=latencies)
    return front.assign(recommended=chosen).reset_index(drop=True)
