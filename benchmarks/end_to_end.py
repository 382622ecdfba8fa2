"""A search against the six published networks: the same data, budget, recipe, seed and time.

    python -m benchmarks.end_to_end [--data bundled fashion-mnist] [--seeds N] [--timeout 10m]
        [--budget-params 60K] [--out runs/end_to_end]

For each set of images and each seed, `nas search` and `nas baselines` run one after the other;
which goes first changes with the seed, so that a machine that slows down favours neither. What is
finished in `--out` is not run again. The search begins with `--warm-start baselines`. Whom to
compare is decided by validation accuracy; what is printed are test accuracies. An hour for three
seeds of one set of images. Before it, `nas latency warm small` measures the parts of the space once
for all searches on a machine, or the first of them spends its time on that.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

import pandas as pd

TABLES = {"search": "pareto.csv", "baselines": "baselines.csv"}
ALONE = {"search": ["--warm-start", "baselines"], "baselines": []}  # options of one of the two


@dataclass(frozen=True)
class Duel:
    """The best baseline and the networks that a search found, with one seed.

    Attributes:
        best: the baseline of the highest validation accuracy.
        within: of the found ones that are no slower and no larger than `best`, the one of the
            highest validation accuracy; None if there is none.
        quickest: of the found ones that are no less accurate than `best` in validation, the
            quickest; None if there is none.
    """

    best: pd.Series
    within: pd.Series | None
    quickest: pd.Series | None

    @property
    def points(self) -> float | None:
        """Test accuracy of `within` less that of `best`, in points."""
        if self.within is None:
            return None
        return 100 * float(self.within["test_accuracy"] - self.best["test_accuracy"])

    @property
    def ratio(self) -> float | None:
        """Latency of `quickest` over that of `best`."""
        if self.quickest is None:
            return None
        return float(self.quickest["latency_ms"] / self.best["latency_ms"])


def duel(found: pd.DataFrame, baselines: pd.DataFrame) -> Duel:
    """Return who is compared with whom.

    Args:
        found: `pareto.csv` of a search.
        baselines: `baselines.csv`; networks that could not be trained have no accuracy.
    """
    best = baselines.loc[baselines["accuracy"].idxmax()]
    smaller = (found["latency_ms"] <= best["latency_ms"]) & (found["params"] <= best["params"])
    within, as_good = found[smaller], found[found["accuracy"] >= best["accuracy"]]
    return Duel(
        best,
        within.loc[within["accuracy"].idxmax()] if len(within) else None,
        as_good.loc[as_good["latency_ms"].idxmin()] if len(as_good) else None,
    )


def run(command: str, directory: Path, options: list[str]) -> pd.DataFrame:
    """Return the table of the run in `directory`, which is made or gone on with if need be."""
    about = directory / "run.json"
    status = json.loads(about.read_text(encoding="utf-8"))["status"] if about.is_file() else None
    nas = [sys.executable, "-m", "nas"]
    if status is None:
        subprocess.run([*nas, command, *options, *ALONE[command], "--out", directory], check=True)
    elif status != "complete":  # a run of baselines cannot be resumed, and says so
        subprocess.run([*nas, "resume", directory], check=True)
    return pd.read_csv(directory / TABLES[command])


def described(network: pd.Series | None) -> str:
    """Return a cell with what a network costs and how good it is."""
    if network is None:
        return "none"
    low, high = (100 * network[f"test_accuracy_{end}"] for end in ("low", "high"))
    ends = (network["latency_ms"] - network["latency_low_ms"]) / network["latency_ms"]
    flag = " !" if network["latency_flagged"] == 1 else ""
    accuracy = f"{100 * network['test_accuracy']:.2f} ({low:.1f} to {high:.1f})"
    return (
        f"{accuracy}, {int(network['params']):,}, {network['latency_ms']:.3f} ms ± {ends:.1%}{flag}"
    )


def summary(values: list[float | None], form: str) -> str:
    """Return mean and standard deviation over the seeds, and in how many there was no figure."""
    known = [value for value in values if value is not None]
    spread = f" ± {stdev(known):{form}}" if len(known) > 1 else ""
    text = f"{mean(known):{form}}{spread}" if known else "none"
    return f"{text} ({len(known)} of {len(values)} seeds)"


def show(data: str, duels: list[Duel]) -> None:
    """Print a table in Markdown: a row a seed, then what they say together."""
    print(f"\n{data}: test % (95 % interval), parameters, latency\n")
    print("| seed | best baseline | found, no slower and no larger | points "
          "| found, as accurate | latency ratio |")  # fmt: skip
    print("|--:|---|---|--:|---|--:|")
    for seed, one in enumerate(duels):
        points = "" if one.points is None else f"{one.points:+.2f}"
        ratio = "" if one.ratio is None else f"{one.ratio:.2f}"
        print(f"| {seed} | `{one.best['network']}` {described(one.best)} | {described(one.within)} "
              f"| {points} | {described(one.quickest)} | {ratio} |")  # fmt: skip
    print(f"\nmean ± standard deviation: {summary([d.points for d in duels], '.2f')} points at "
          f"no more latency and parameters (aim: 0.5); latency "
          f"{summary([d.ratio for d in duels], '.2f')} at no less validation accuracy (aim: 0.7)",
          flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", nargs="*", default=["bundled", "fashion-mnist"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--timeout", default="10m")
    parser.add_argument("--budget-params", default="60K")
    parser.add_argument("--out", type=Path, default=Path("runs/end_to_end"))
    options = parser.parse_args()
    for data in options.data:
        duels = []
        for seed in range(options.seeds):
            given = ["--data", data, "--budget-params", options.budget_params]
            given += ["--timeout", options.timeout, "--seed", str(seed)]
            order = ("search", "baselines") if seed % 2 == 0 else ("baselines", "search")
            tables = {c: run(c, options.out / f"{data}-{seed}-{c}", given) for c in order}
            duels.append(duel(tables["search"], tables["baselines"]))
            show(data, duels)


if __name__ == "__main__":
    main()
