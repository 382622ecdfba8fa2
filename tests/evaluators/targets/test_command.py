"""A program of the user's own: what it gets, what it must print, and how it may fail."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from evaluators.runtimes import GraphError, TargetUnavailable
from evaluators.target import parse_target
from search_spaces.errors import SpecError

if TYPE_CHECKING:
    from evaluators.target import Target


def program(tmp_path: Path, code: str, options: str = "") -> Target:
    """Return a target that runs `code`, which finds the file in `sys.argv[1]`."""
    script = tmp_path / "my program.py"
    script.write_text(f"import json, os, sys, time\n{code}\n", "utf-8")
    return parse_target(f"command:{options}program={sys.executable} {shlex.quote(str(script))}")


def run(target: Target, calls: int = 1) -> float:
    with target.load(b"a graph", torch.rand(target.batch, 3, 8, 9)) as timer:
        return timer(calls)


def test_it_gets_the_file_and_its_options(tmp_path: Path) -> None:
    told = tmp_path / "told.json"
    code = f"""
about = [open(sys.argv[1], "rb").read().decode(), sys.argv[1], os.environ["NAS_THREADS"]]
json.dump([*about, os.environ["NAS_BATCH"], os.environ["NAS_SHAPE"]], open({str(told)!r}, "w"))
print("warming up")
print(12.5)
print()
"""
    assert run(program(tmp_path, code, "threads=99,batch=2,")) == 12.5
    content, file, *options = json.loads(told.read_text())
    assert content == "a graph"
    assert file.endswith(".onnx")
    assert not Path(file).parent.exists()
    assert options == ["99", "2", "2,3,8,9"]


def test_one_call_is_one_run_of_the_program(tmp_path: Path) -> None:
    log = tmp_path / "log"
    target = program(tmp_path, f"open({str(log)!r}, 'a').write('x'); print(3)")
    assert run(target, calls=7) == 3
    assert log.read_text() == "x"
    assert not target.repeats
    assert not target.pins


def test_no_shell_sees_the_program(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    target = parse_target(f"command:program=echo 1; touch {marker} #")
    with pytest.raises(GraphError, match="must print milliseconds"):
        run(target)
    assert not marker.exists()


@pytest.mark.parametrize("printed", ["fast", "", "-1", "0", "nan", "inf", "3 ms"])
def test_what_is_no_time_is_refused(tmp_path: Path, printed: str) -> None:
    target = program(tmp_path, f"print('1.0'); print({printed or 'no time'!r})")
    with pytest.raises(GraphError, match="must print milliseconds, a positive number, as its last"):
        run(target)


def test_a_failure_comes_with_what_the_program_said(tmp_path: Path) -> None:
    target = program(tmp_path, "sys.exit('device offline')")
    with pytest.raises(GraphError, match=r"my program.py' failed \(exit code 1\): device offline$"):
        run(target)


def test_a_crash_is_named(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match=r"failed \(signal SIGABRT\): nothing on its standard er"):
        run(program(tmp_path, "os.abort()"))


def test_a_program_that_hangs_ends_with_its_children(tmp_path: Path) -> None:
    born = tmp_path / "born"
    code = f"""
child = os.fork()
if child:
    open({str(born)!r}, "w").write(str(child))
time.sleep(60)
"""
    start = time.monotonic()
    with pytest.raises(GraphError, match="took longer than 1\\.5 s"):
        run(program(tmp_path, code, "timeout=1.5,"))
    assert time.monotonic() - start < 30
    child = int(born.read_text())
    for _ in range(100):
        if not Path(f"/proc/{child}").exists() or "\nState:\tZ" in status(child):
            return
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    pytest.fail("a child outlived its program")


def status(process: int) -> str:
    try:
        return Path(f"/proc/{process}/status").read_text()
    except OSError:
        return "\nState:\tZ"


def test_a_missing_program_is_no_fault_of_the_graph() -> None:
    target = parse_target("command:program=no-such-program --fast")
    with pytest.raises(TargetUnavailable, match="no-such-program: No such file or directory"):
        run(target)
    with pytest.raises(TargetUnavailable, match="no-such-program is no program that can be run"):
        assert target.runtime


def test_the_runtime_tells_two_programs_apart(tmp_path: Path) -> None:
    script = tmp_path / "measure.sh"
    told = set()
    for text in ("#!/bin/sh\necho 1\n", "#!/bin/sh\necho 2\n"):
        script.write_text(text)
        script.chmod(0o700)
        told.add(parse_target(f"command:program={script}").runtime)
    assert len(told) == 2
    assert all(runtime.startswith("measure.sh ") for runtime in told)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("command", "'command': `program` is missing, as in command:program=./measure.sh"),
        ("command:program= ", "`program` is missing"),
        ("command:program=a 'b", "is no command: No closing quotation"),
        ("command:timeout=0,program=a", r"`timeout` \(=0.0\) must be positive"),
        ("command:timeout=nan,program=a", r"`timeout` \(=nan\) must be positive"),
        ("command:timeout=x,program=a", r"`timeout` \(='x'\) must be of type float"),
    ],
)
def test_a_fault_is_named(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        parse_target(text)


def test_the_program_is_the_rest_of_the_text() -> None:
    text = "command:threads=4,program=./m.sh --size=1,2 threads=8"
    target = parse_target(text)
    assert vars(target) | {"timeout": 1} == {
        "threads": 4,
        "batch": 1,
        "timeout": 1,
        "program": "./m.sh --size=1,2 threads=8",
    }
    assert str(target) == text
