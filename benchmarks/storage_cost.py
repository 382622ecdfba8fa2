"""What keeping one trial takes, beside Optuna's plain way of keeping it in the same database.

Plain is `ask`, `set_user_attr` and `tell` of a study in that database, as Optuna's tutorials do it:
a commit for each gene and figure. Ours is `nas.record.Record`: one transaction a trial. Both write
the same trials of the space `small`, in turn, so that load on the machine meets both.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import tempfile
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

import optuna

from evaluators.evaluator import Metric
from nas.record import Record
from nas.storage import database_url
from nas.study import Study
from search_spaces.arch import Task
from search_spaces.spaces import find_space

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optuna.trial import FrozenTrial

SERVERS = {"postgresql": ("postgres", "Postgres"), "mariadb": ("mariadb", "MariaDb")}


def trials(count: int) -> list[FrozenTrial]:
    """Trials as a search keeps them, with made-up figures."""
    goals = Metric("accuracy", "max"), Metric("latency_ms", "min")
    study = Study(find_space("small"), Task(10, (1, 28, 28)), goals, sampler="random")
    for _ in range(count):
        candidate = study.ask()
        assert candidate is not None
        figures = {"accuracy": 0.5, "latency_ms": 1.0, "loss": 1.0, "images_per_s": 1000.0}
        study.tell(candidate, "complete", figures, curve=[0.1] * 9)
    return list(study._trials.told.values())


def keep_plainly(study: optuna.Study, trial: FrozenTrial) -> None:
    asked = study.ask(fixed_distributions=trial.distributions)
    for name, value in trial.user_attrs.items():
        asked.set_user_attr(name, value)
    study.tell(asked, trial.values)


def compared(storage: str, made: list[FrozenTrial], timed: int) -> dict[str, float]:
    """Median milliseconds of the last `timed` trials, and of pairs the median ratio."""
    directions = ["maximize", "minimize"]
    for name in ("ours", "plain"):
        record = Record(storage, name)
        record.open(directions)
        for trial in made[:-timed]:
            record.add(trial)
    ours = Record(storage, "ours")
    ours.open(directions)
    url = database_url(storage).render_as_string(hide_password=False)
    plain = optuna.load_study(
        study_name="plain", storage=url, sampler=optuna.samplers.RandomSampler(seed=0)
    )
    pairs = []
    for trial in made[-timed:]:
        begun = perf_counter()
        ours.add(trial)
        between = perf_counter()
        keep_plainly(plain, trial)
        pairs.append((1e3 * (between - begun), 1e3 * (perf_counter() - between)))
    return {
        "trials": len(made),
        "ours_ms": round(median(one for one, _ in pairs), 2),
        "plain_ms": round(median(other for _, other in pairs), 2),
        "ratio": round(median(one / other for one, other in pairs), 4),
    }


@contextmanager
def server(name: str) -> Iterator[Any]:
    """A server of the tests' own, or None where it is missing."""
    file, kind = SERVERS[name]
    path = Path(__file__).parents[1] / "tests" / "nas" / f"{file}.py"
    spec = importlib.util.spec_from_file_location(file, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if module.programs() is None:
        print(f"{name} is not installed")
        yield None
        return
    started = getattr(module, kind)()
    try:
        yield started
    finally:
        started.remove()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", default="100,1000")
    parser.add_argument("--timed", type=int, default=50, help="of them, the last ones")
    parser.add_argument("--databases", default="sqlite,postgresql,mariadb")
    options = parser.parse_args()
    names = options.databases.split(",")
    counts = [int(text) for text in options.trials.split(",")]
    made = trials(max(counts))
    for count in counts if "sqlite" in names else ():
        with tempfile.TemporaryDirectory() as folder:
            found = compared(f"sqlite:///{folder}/study.db", made[:count], options.timed)
            print(json.dumps({"database": "sqlite"} | found), flush=True)
    for name in filter(SERVERS.__contains__, names):
        with server(name) as started:
            for count in counts if started else ():
                found = compared(started.create(f"of_{count}"), made[:count], options.timed)
                print(json.dumps({"database": name} | found), flush=True)


if __name__ == "__main__":
    main()
