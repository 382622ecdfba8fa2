"""The ledger: each second is of one kind, and is told once."""

from __future__ import annotations

import threading
from contextlib import suppress

import pytest

from evaluators.ledger import drain, receive, spending, spending_each


class Machine:
    now = 0.0


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> type[Machine]:
    """A clock that the test moves."""
    monkeypatch.setattr("evaluators.ledger.perf_counter", lambda: Machine.now)
    drain()
    return Machine


def test_a_kind_within_another_takes_its_seconds_from_it(machine: type[Machine]) -> None:
    machine.now += 100  # nobody's
    with spending("training"):
        machine.now += 2
        with spending("waiting"):
            machine.now += 3
        machine.now += 4
    assert drain().own == {"training": 6, "waiting": 3}
    assert drain().own == {}


def test_what_is_under_way_is_told_so_far(machine: type[Machine]) -> None:
    with suppress(KeyboardInterrupt), spending("sampling"):
        machine.now += 2
        assert drain().own == {"sampling": 2}
        machine.now += 1
        raise KeyboardInterrupt
    assert drain().own == {"sampling": 1}


def test_a_generator_is_charged_for_its_items_alone(machine: type[Machine]) -> None:
    def epochs():  # type: ignore[no-untyped-def]
        for epoch in range(3):
            machine.now += 5
            yield epoch

    for _ in spending_each("training", epochs()):
        machine.now += 100
    assert drain().own == {"training": 15}


def test_workers_are_accounted_beside_and_threads_apart() -> None:
    receive({"training": 2.0})
    receive({"training": 1.0, "waiting": 4.0})
    threading.Thread(target=receive, args=({"training": 50.0},)).start()
    assert drain() == ({}, {"training": 3.0, "waiting": 4.0})
