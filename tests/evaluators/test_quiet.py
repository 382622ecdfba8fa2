"""Many work or one measures, whichever processes and threads they are in, and the dead let go."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from evaluators import quiet
from evaluators.quiet import lock_folder, measuring, working
from search_spaces.errors import NasError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no flock, so no locks")
ROOT = Path(__file__).parents[2]
PREAMBLE = "import os, sys, time\nfrom evaluators.quiet import measuring, working\n"

# Prints when it was in, by a clock that all processes of a machine share.
READER = """
while True:
    with working():
        start = time.monotonic()
        time.sleep(0.002)
        end = time.monotonic()
    print(start, end, flush=True)
"""
WRITER = """
for _ in range(5):
    with measuring():
        start = time.monotonic()
        time.sleep(0.02)
        end = time.monotonic()
    print(start, end, flush=True)
"""
HOLDER = """
with {lock}():
    print("in", flush=True)
    time.sleep(600)
"""
FORKER = """
with working():
    child = os.fork()
    if child:
        print(child, flush=True)
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def _own_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(quiet, "_doors", {})


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    processes = []

    def run(script: str, stdout: int | None = subprocess.PIPE) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", PREAMBLE + script]
        processes.append(subprocess.Popen(command, cwd=ROOT, stdout=stdout, text=True))
        return processes[-1]

    yield run
    for process in processes:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def times(text: str) -> list[tuple[float, float]]:
    lines = [line.split() for line in text.splitlines()]
    return [(float(line[0]), float(line[1])) for line in lines if len(line) == 2]


def test_a_measurement_gets_in_between_batches_and_has_the_machine_for_itself(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    logs = [tmp_path / f"reader{i}" for i in range(3)]
    for log in logs:
        with log.open("w") as file:
            start(READER, file.fileno())
    while not all(log.stat().st_size for log in logs):
        os.sched_yield()
    measured = times(start(WRITER).communicate(timeout=120)[0])
    assert len(measured) == 5
    for log in logs:
        while times(log.read_text())[-1][0] < measured[-1][1]:  # work goes on
            os.sched_yield()
        worked = times(log.read_text())
        assert not [(w, m) for w in worked for m in measured if w[0] < m[1] and m[0] < w[1]]


@pytest.mark.parametrize("lock", ["working", "measuring"])
def test_a_killed_process_lets_go(start: Callable[..., subprocess.Popen[str]], lock: str) -> None:
    holder = start(HOLDER.format(lock=lock))
    assert holder.stdout
    assert holder.stdout.readline() == "in\n"
    holder.kill()
    with measuring():
        pass


def test_a_forked_child_does_not_hold_what_its_killed_parent_held(
    start: Callable[..., subprocess.Popen[str]],
) -> None:
    parent = start(FORKER)
    assert parent.stdout
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    try:
        with measuring():
            os.kill(child, 0)  # still there
    finally:
        os.kill(child, 9)


@pytest.mark.parametrize(("first", "second"), [(measuring, working), (working, measuring)])
def test_threads_wait_for_each_other(
    first: Callable[..., AbstractContextManager[None]],
    second: Callable[..., AbstractContextManager[None]],
) -> None:
    entered = threading.Event()

    def other() -> None:
        with second():
            entered.set()

    thread = threading.Thread(target=other, daemon=True)
    with first():
        thread.start()
        assert not entered.wait(0.1)
    assert entered.wait(60)
    thread.join()


def test_several_may_work() -> None:
    def other() -> None:
        with working():
            pass

    thread = threading.Thread(target=other)
    with working():
        thread.start()
        thread.join()


def test_work_may_be_nested() -> None:
    for lock in (working, measuring):
        with lock(), working(), working():
            pass
        with measuring(), measuring():
            pass


def test_measuring_while_working_is_refused() -> None:
    with working(), pytest.raises(RuntimeError, match="would wait for itself"), measuring():
        pass
    with measuring():
        pass


def test_a_folder_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "file"))
    with pytest.raises(NasError, match=r"cannot lock in .*nas \(Not a directory\); set XDG_RUN"):
        working().__enter__()


def test_without_a_runtime_folder_locks_are_in_the_users_own_temporary_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert lock_folder().name == f"nas-{os.getuid()}"


def test_where_there_is_no_flock_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quiet, "fcntl", None)
    with measuring():
        thread = threading.Thread(target=lambda: working().__enter__())
        thread.start()
        thread.join()
