"""A process of its own: answers, errors and deaths come back, and the next call works."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from evaluators.child import Child, ChildDied, exit_text
from search_spaces.errors import CandidateError

TEMPORARY = "nas-test-"


@pytest.fixture(scope="module")
def child() -> Child:
    return Child()


def candidate_fault() -> None:
    raise CandidateError("the graph has a fault")


def bug() -> float:
    return 1 / 0


def unsendable() -> object:
    return lambda: None


def kept(*_: object) -> int:
    return os.getpid()


def wait_for(condition: object, seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def test_it_answers_from_another_process_that_stays(child: Child) -> None:
    assert child.call(kept) == child.call(kept) != os.getpid()
    assert child.call(sum, [1, 2, 3]) == 6


def test_an_error_keeps_its_type_and_place(child: Child) -> None:
    before = child.call(kept)
    with pytest.raises(CandidateError, match="the graph has a fault"):
        child.call(candidate_fault)
    with pytest.raises(ZeroDivisionError) as caught:
        child.call(bug)
    assert "return 1 / 0" in str(caught.value.__cause__)
    with pytest.raises(RuntimeError, match="pickle"):
        child.call(unsendable)
    assert child.call(kept) == before


@pytest.mark.parametrize(
    ("end", "told"),
    [
        ((os.abort,), r"the process died \(signal SIGABRT\)"),
        ((os.kill, 0, signal.SIGKILL), ""),
        ((os._exit, 3), r"the process died \(exit code 3\)"),
    ],
)
def test_a_death_is_told_and_mended(child: Child, end: tuple[object, ...], told: str) -> None:
    if not told:
        end, told = (os.kill, child.call(kept), signal.SIGSEGV), r"\(signal SIGSEGV\)"
    before = child.call(kept)
    with pytest.raises(ChildDied, match=told):
        child.call(*end)  # type: ignore[arg-type]
    assert child.call(kept) != before


def test_an_interrupt_leaves_no_answer_behind(child: Child) -> None:
    child.call(kept)
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        child.call(time.sleep, 60)
    assert child.call(sum, [1, 1]) == 2


def test_it_ends_with_its_owner() -> None:
    owner = Child()
    process = owner.call(kept)
    del owner
    assert wait_for(lambda: not Path(f"/proc/{process}").exists())


def test_it_ends_with_a_parent_that_is_killed() -> None:
    script = "from evaluators.child import Child\nimport os\n" + (
        "if __name__ == '__main__':\n    print(Child().call(os.getpid), flush=True)\n"
        "    Child().call(os.kill, os.getpid(), 9)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert run.returncode == -signal.SIGKILL, run.stderr
    assert wait_for(lambda: not Path(f"/proc/{int(run.stdout)}").exists())


def test_a_script_without_a_guard_is_told(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("from evaluators.child import Child\nimport os\nChild().call(os.getpid)\n")
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    run = subprocess.run(
        [sys.executable, str(script)], env=env, capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert "could not start: a script must call nas under `if __name__" in run.stderr


@pytest.mark.parametrize(
    ("code", "text"),
    [(0, "exit code 0"), (None, "exit code 0"), (3, "exit code 3"), (-9, "SIGKILL")],
)
def test_exit_text(code: int | None, text: str) -> None:
    assert exit_text(code).endswith(text)
