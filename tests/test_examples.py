"""The examples do what they say, with stand-ins for the devices."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch

from evaluators.runtimes import GraphError
from evaluators.target import parse_target
from evaluators.testing import SHAPE, network

EXAMPLES = Path(__file__).parents[1] / "examples"

SSH = """#!/bin/sh
shift 2  # -o BatchMode=yes
test "$1" = me@board || exit 255
shift
exec sh -c "$*"
"""
SCP = """#!/bin/sh
for last; do :; done
cp "$4" "$5" "${last#me@board:}"
"""
ADB = """#!/bin/sh
echo "$*" >>"$LOG"
case $1 in
push) echo "$2: 1 file pushed" ;;
shell) printf 'Average inference time cost: 9 ms\\nP50 Latency: 0.0125 s\\n' ;;
esac
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that comes first in PATH; its python3 is ours."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    program(tmp_path, "python3", f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    return tmp_path


def program(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    (folder / name).chmod(0o700)


def measure(text: str) -> float:
    target = parse_target(text)
    with target.load(target.export(network(), SHAPE), torch.rand(1, *SHAPE)) as timer:
        return timer(1)


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_ssh(programs: Path) -> None:
    program(programs, "ssh", SSH)
    program(programs, "scp", SCP)
    assert measure(f"command:program={EXAMPLES}/measure_ssh.sh me@board") > 0
    with pytest.raises(GraphError, match="exit code 255"):
        measure(f"command:program={EXAMPLES}/measure_ssh.sh me@nowhere")


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_adb(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = programs / "log"
    monkeypatch.setenv("LOG", str(log))
    program(programs, "adb", ADB)
    text = f"command:threads=4,program={EXAMPLES}/measure_adb.sh"
    assert measure(text) == 12.5
    pushed, run = log.read_text().splitlines()
    assert pushed.endswith("model.onnx /data/local/tmp/nas/model.onnx")
    assert "-x 4 -f batch:1 model.onnx" in run
    program(programs, "adb", "#!/bin/sh\necho no devices >&2\nexit 1\n")
    with pytest.raises(GraphError, match=r"failed \(exit code 1\): no devices"):
        measure(text)
