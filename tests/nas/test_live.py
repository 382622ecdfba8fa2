"""What a terminal shows, on a terminal that is a string."""

import io

import pandas as pd
import pytest
from rich.console import Console

from nas.live import live_progress, print_result, result_to_plain
from nas.searching import PARETO_COLUMNS, Result


@pytest.fixture
def terminal():
    return Console(file=io.StringIO(), force_terminal=True, width=100, height=30, color_system=None)


def shown(console):
    return console.file.getvalue()


def test_a_search_is_followed(terminal):
    with live_progress(terminal) as progress:
        progress.started(seconds=600, trials=9, done=2)
        progress.phase("search")
        progress.stage("2", "epoch 1/4", {"accuracy": 0.5, "latency_ms": 0.125})
        progress.live.refresh()
        progress.ended("2", "complete", {"accuracy": 0.75, "epochs": 4}, "")
        progress.ended("3", "failed", {}, "the loss is nan")
        progress.stage("4", "measuring", {})
        progress.live.refresh()
        progress.note("something to know")
    text = shown(terminal)
    assert "epoch 1/4" in text
    assert "accuracy 50.00%  0.125 ms" in text
    assert "4 of 9 candidates" in text
    assert "left" in text
    assert "best accuracy 75.00% (2)" in text
    assert "failed" in text
    assert "the loss is nan" in text
    assert "something to know" in text
    assert "measuring" not in text.splitlines()[-1]  # nothing stale stays


def test_elsewhere_lines_go_to_stderr(capsys):
    console = Console(file=io.StringIO())
    with live_progress(console) as progress:
        progress.started(seconds=None, trials=None)
        progress.phase("search")
        progress.note("[something] to know " * 10)
    assert not shown(console)
    printed = capsys.readouterr()
    assert not printed.out
    assert printed.err.splitlines() == [
        "search | 0:00 gone | 0 candidates",
        "[something] to know " * 10,
    ]


@pytest.mark.parametrize("flagged", [0.0, 1.0])
def test_the_front_is_printed_with_its_intervals(terminal, tmp_path, flagged):
    row = dict.fromkeys(PARETO_COLUMNS, 0.5) | {
        "digest": "0123456789ab",
        "params": 43_234,
        "latency_ms": 0.1,
        "latency_low_ms": 0.099,
        "latency_high_ms": 0.101,
        "latency_flagged": flagged,
        "test_accuracy": 0.91,
        "test_accuracy_low": 0.897,
        "test_accuracy_high": 0.922,
        "epochs": 15,
        "recommended": True,
    }
    result = Result(tmp_path, pd.DataFrame(), pd.DataFrame([row]), row["digest"], "complete")
    print_result(result, terminal)
    text = shown(terminal)
    assert "0123456789ab" in text
    assert "43.2K" in text
    assert ("0.1 ± 1.0%!" if flagged else "0.1 ± 1.0% ") in text
    assert ("! a noisy machine: interval wider" in text) == bool(flagged)
    assert "91.0% (89.7-92.2)" in text
    assert str(tmp_path / "models" / "0123456789ab") in text.replace("\n", "")
    assert result_to_plain(result)["pareto"][0]["digest"] == "0123456789ab"


def test_means_over_the_seeds_are_printed_with_their_spread(terminal, tmp_path):
    row = dict.fromkeys(PARETO_COLUMNS, 0.5) | {"digest": "0123456789ab", "arch": "", "seeds": 3}
    row |= {"accuracy_mean": 0.912, "accuracy_sd": 0.004}
    once = row | {"accuracy": 0.8765, "accuracy_sd": None, "seeds": 1}
    print_result(Result(tmp_path, pd.DataFrame(), pd.DataFrame([row, once]), "x", "done"), terminal)
    text = shown(terminal)
    assert "91.2 ± 0.4%" in text
    assert "87.65%" in text
    assert "seeds" in text.splitlines()[1]


def test_without_a_front_the_reasons_are_printed(terminal, tmp_path):
    trials = pd.DataFrame({"reason": ["too slow", "too slow", None]})
    empty = pd.DataFrame(columns=list(PARETO_COLUMNS))
    print_result(Result(tmp_path, trials, empty, None, "complete"), terminal)
    assert shown(terminal).count("too slow") == 1
