import os
import signal
import subprocess
import sys

import pytest

from nas.config import SearchConfig
from nas.runs import LOCK_FILE, RunError, create_run, locked, read_run, update_run


def test_a_run_begins_with_its_configuration_and_machine(tmp_path):
    config = SearchConfig(seed=3, budget_params=1000)
    about = read_run(create_run(config, tmp_path / "run"))
    assert SearchConfig.from_plain(about["config"]) == config
    assert {"torch", "optuna", "onnxruntime", "python"} <= about["versions"].keys()
    assert about["machine"]["cores"] >= 1


def test_default_names_do_not_clash(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {create_run(SearchConfig(), None).name for _ in range(3)}
    assert len(names) == 3


def test_an_empty_folder_may_become_a_run(tmp_path):
    (tmp_path / "run").mkdir()
    assert create_run(SearchConfig(), tmp_path / "run") == tmp_path / "run"


@pytest.mark.parametrize("taken", ["file", "folder"])
def test_what_exists_is_not_touched(tmp_path, taken):
    path = tmp_path / "run"
    if taken == "file":
        path.write_text("mine")
    else:
        path.mkdir()
        (path / "mine").write_text("mine")
    with pytest.raises(RunError, match=r"run exists; choose another --out"):
        create_run(SearchConfig(), path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not a run folder"),
        ("[]", "expected schema 1"),
        ('{"schema": 9}', "expected schema 1"),
    ],
)
def test_foreign_files_are_refused(tmp_path, text, message):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(RunError, match=message):
        read_run(tmp_path)


def test_updating_keeps_the_rest(tmp_path):
    run = create_run(SearchConfig(), tmp_path / "run")
    before = read_run(run)
    update_run(run, status="complete")
    assert read_run(run) == before | {"status": "complete"}


HOLD = """
import sys, time
from pathlib import Path
from nas.runs import locked

with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no flock")
def test_one_process_at_a_time_works_in_a_folder(tmp_path):
    run = create_run(SearchConfig(), tmp_path / "run")
    command = [sys.executable, "-c", HOLD, str(run)]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "locked\n"
        message = rf"run is in use by process {holder.pid}; wait for its end, or end it first"
        with pytest.raises(RunError, match=message), locked(run):
            pass
        with pytest.raises(RunError, match=message):
            create_run(SearchConfig(), run)
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    with locked(run):
        assert (run / LOCK_FILE).read_text() == str(os.getpid())
    with pytest.raises(RunError, match="exists; choose another --out"):
        create_run(SearchConfig(), run)


def test_a_folder_that_cannot_be_locked_is_refused(tmp_path):
    (tmp_path / LOCK_FILE).mkdir()
    with pytest.raises(RunError, match="cannot be locked: Is a directory"), locked(tmp_path):
        pass
