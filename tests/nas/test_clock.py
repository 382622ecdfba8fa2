import json
from contextlib import suppress

import pytest

from nas.clock import Clock
from nas.config import SearchConfig
from nas.runs import create_run


@pytest.fixture
def machine(monkeypatch):
    """A clock that the test moves."""

    class Machine:
        now = 100.0

    monkeypatch.setattr("nas.clock.monotonic", lambda: Machine.now)
    return Machine


@pytest.fixture
def run(tmp_path):
    return create_run(SearchConfig(), tmp_path / "run")


def test_time_is_accounted_by_phase_and_kept(machine, run):
    clock = Clock(run, 60.0)
    with clock.phase("search"):
        machine.now += 20
        assert clock.left() == 40
        assert clock.left(0.5) == 10
    machine.now += 1000
    with suppress(KeyboardInterrupt), clock.phase("finalists"):
        machine.now += 5
        raise KeyboardInterrupt
    assert json.loads((run / "run.json").read_text())["seconds"] == {"search": 20, "finalists": 5}
    later = Clock(run, 60.0)
    assert later.left() == 35
    with later.phase("finalists"):
        machine.now += 50
        assert later.left() == 0


def test_without_a_limit_nothing_runs_out(machine, run):
    assert Clock(run, None).left() is None
