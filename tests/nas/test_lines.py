"""What a log gets, with a clock that the test turns."""

import pytest

from nas import lines, tally
from nas.lines import PAUSE, Lines


@pytest.fixture
def clock(monkeypatch):
    """Seconds, in a list."""
    now = [100.0]
    for module in (lines, tally):
        monkeypatch.setattr(module, "monotonic", lambda: now[0])
    return now


def test_phases_and_notes_are_written_at_once_and_the_rest_seldom(clock):
    written = []
    progress = Lines(written.append)
    progress.phase("loading")
    assert not written
    progress.started(seconds=600, trials=9, done=2)
    progress.phase("search")
    assert written.pop() == "search | 0:00 gone | 10:00 left | 2 of 9 candidates"
    progress.note("something to know")
    assert written.pop() == "something to know"
    progress.stage("2", "measuring", {})
    progress.ended("2", "failed", {}, "the loss is nan")
    progress.ended("3", "complete", {"accuracy": 0.75}, "")
    assert not written
    clock[0] += PAUSE
    progress.ended("3", "complete", {"accuracy": 0.7}, "")
    progress.stage("4", "measuring", {})
    assert written == [
        "search | 0:20 gone | 9:40 left | 4 of 9 candidates | best accuracy 75.00% (3) "
        "| 3 complete  accuracy 70.00%"
    ]
    clock[0] += PAUSE
    progress.stage("4", "epoch 1/2", {"accuracy": 0.5, "latency_ms": 0.125})
    assert written[1].endswith("| 4 epoch 1/2  accuracy 50.00%  0.125 ms")
    clock[0] += PAUSE
    progress.ended("5", "failed", {}, "the loss is nan")
    assert written[2].endswith("| 5 failed  the loss is nan")
