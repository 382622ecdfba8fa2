"""Temporary folders of processes that live, end well, or are killed."""

import signal
import subprocess
import sys

import pytest

from nas.executors import _scratch
from nas.executors._scratch import Scratch, sweep

CODE = """
import sys
from nas.executors._scratch import Scratch
scratch = Scratch()
(scratch.path / "file").touch()
print(scratch.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def test_a_folder_is_there_until_it_is_removed(temporary):
    scratch = Scratch()
    (scratch.path / "file").touch()
    sweep()
    assert [*temporary.iterdir()] == [scratch.path]
    assert [*scratch.path.iterdir()] == [scratch.path / "file"]
    scratch.remove()
    assert not [*temporary.iterdir()]


def test_what_a_killed_process_leaves_is_swept(temporary):
    command = [sys.executable, "-c", CODE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline().decode().startswith(f"{temporary}/nas-job-")
        sweep()  # nothing: it lives
        (left,) = temporary.iterdir()
        assert (left / "file").exists()
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert left.exists()
    (temporary / "nas-train").mkdir()
    sweep()
    assert [path.name for path in temporary.iterdir()] == ["nas-train"]


def test_without_locks_nothing_is_swept(temporary, monkeypatch):
    monkeypatch.setattr(_scratch, "fcntl", None)
    scratch = Scratch()
    sweep()
    assert scratch.path.exists()
    scratch.remove()
    assert not scratch.path.exists()
