"""From a run folder to its report.

It reads what the folder holds, at any time: a run that is not over gets a report of what is known.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from string import Template

import pandas as pd

from ..columns import of_a_front, prefixes
from ..files import write_text
from ..runs import read_run
from . import sections, tables
from .pictures import colors_of

TEMPLATE = Path(__file__).with_name("template.html")
_BOTH = ["digest", "arch", "params", "macs", "latency_ms", "accuracy"]
TRIALS = [*_BOTH, "number", "state", "reason"]
FRONT = [*_BOTH, "latency_low_ms", "latency_high_ms", "latency_flagged"]
FRONT += ["test_accuracy", "test_accuracy_low", "test_accuracy_high", "test_images"]
FRONT += ["epochs", "seeds", "accuracy_mean", "accuracy_sd", "test_accuracy_mean"]
FRONT += ["test_accuracy_sd", "unshifted_share", "recommended"]
_TEXTS = {"state", "digest", "arch", "reason", "recommended"}


def write_report(directory: Path) -> Path:
    """Write `report.html` into a run folder and return its path.

    Raises:
        RunError: this is no run folder, or it cannot be written.
    """
    run = read_run(directory)
    trials = _table(directory / "trials.csv", TRIALS)
    front = _table(directory / "pareto.csv", FRONT).sort_values("latency_ms", ignore_index=True)
    front["recommended"] = front["recommended"].str.lower().isin(["true", "1"])
    colors = colors_of([*front["arch"], *trials["arch"]])
    body = (
        sections.header(run, trials, front, directory.resolve().name),
        sections.recommendation(front, colors, directory),
        tables.front_table(front),
        sections.figures(run, trials, front, colors),
        sections.gallery(front, colors),
        tables.failures(trials),
        sections.settings(run),
    )
    title = f"Architecture search {directory.resolve().name}"
    page = Template(TEMPLATE.read_text(encoding="utf-8"))
    path = directory / "report.html"
    write_text(path, page.substitute(title=escape(title), body="\n".join(body)))
    return path


def _table(path: Path, columns: list[str]) -> pd.DataFrame:
    """Read `columns` of a CSV file, numbers or NaN, texts or ""; no rows if there is no file.

    Those of further targets come behind.
    """
    try:  # as text: a digest such as 12e456789012 is no number
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (FileNotFoundError, pd.errors.EmptyDataError):
        frame = pd.DataFrame()
    others = [of_a_front(prefix) for prefix in prefixes(frame.columns)]
    columns = columns + [name for names in others for name in names]
    frame = frame.reindex(columns=columns, fill_value="").astype(object)
    numbers = [name for name in columns if name not in _TEXTS]
    frame[numbers] = frame[numbers].apply(pd.to_numeric, errors="coerce")
    return frame.astype(dict.fromkeys(numbers, float) | dict.fromkeys(_TEXTS & {*columns}, str))
