"""The latency cache: kept apart by what it depends on, whole after a kill, never trusted."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import subprocess
import sys
import time
from typing import TYPE_CHECKING
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluators import latency_cache
from evaluators.latency_cache import LatencyCache, Timing
from evaluators.targets.cpu import Cpu
from evaluators.targets.cpu_torch import CpuTorch
from search_spaces.errors import NasError

if TYPE_CHECKING:
    from pathlib import Path

TIMING = Timing(2.0, 1.5, 2.5)


def test_what_was_put_is_there_and_stays(tmp_path: Path) -> None:
    cache = LatencyCache(Cpu(), tmp_path / "nas" / "latency.sqlite")
    assert cache.get("stem") is None
    cache.put("stem", TIMING)
    cache.put("stem", Timing(9.0, 9.0, 9.0))
    assert cache.get("stem") == TIMING
    assert LatencyCache(Cpu(), cache.path).all() == {"stem": TIMING}


@given(what=st.text(), ms=st.floats(1e-6, 1e6))
def test_any_name_and_latency_come_back(
    tmp_path_factory: pytest.TempPathFactory, what: str, ms: float
) -> None:
    cache = LatencyCache(Cpu(), tmp_path_factory.mktemp("cache") / "latency.sqlite")
    cache.put(what, Timing(ms, ms / 2, ms * 2))
    assert cache.get(what) == Timing(ms, ms / 2, ms * 2)


def test_targets_runtimes_and_devices_are_kept_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "latency.sqlite"
    LatencyCache(Cpu(), path).put("stem", TIMING)
    assert LatencyCache(Cpu(batch=2), path).get("stem") is None
    assert LatencyCache(CpuTorch(), path).get("stem") is None
    monkeypatch.setattr("evaluators.latency_cache.device", lambda: "another machine")
    assert LatencyCache(Cpu(), path).get("stem") is None


@pytest.mark.parametrize("timing", [(0.0, 0.0, 1.0), (2.0, 3.0, 4.0), (1.0, 0.5, float("nan"))])
def test_what_is_no_latency_is_refused(tmp_path: Path, timing: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="is no latency"):
        LatencyCache(Cpu(), tmp_path / "latency.sqlite").put("stem", Timing(*timing))


def _garbage(path: Path) -> None:
    path.write_bytes(os.urandom(4096))


def _another_programs(path: Path) -> None:
    with sqlite3.connect(path) as file:
        file.execute("CREATE TABLE bookmarks (url TEXT)")


def _truncated(path: Path) -> None:
    LatencyCache(Cpu(), path).put("stem", TIMING)
    latency_cache._checked.clear()  # as in another process
    path.write_bytes(path.read_bytes()[:5000])


@pytest.mark.parametrize("spoil", [_garbage, _another_programs, _truncated])
def test_an_unreadable_cache_is_set_aside_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, spoil: object
) -> None:
    path = tmp_path / "latency.sqlite"
    spoil(path)  # type: ignore[operator]
    spoilt = path.read_bytes()
    cache = LatencyCache(Cpu(), path)
    with caplog.at_level(logging.WARNING):
        assert cache.get("stem") is None
    cache.put("stem", TIMING)
    assert cache.get("stem") == TIMING
    assert "begun anew" in caplog.text
    assert (tmp_path / "latency.sqlite.unreadable").read_bytes() == spoilt


def test_two_processes_that_find_it_damaged_set_it_aside_once(tmp_path: Path) -> None:
    path = tmp_path / "latency.sqlite"
    _garbage(path)
    spoilt = path.read_bytes()
    first, second = LatencyCache(Cpu(), path), LatencyCache(Cpu(), path)
    first.put("stem", TIMING)  # the second has found the damage by now, and sets aside later
    assert second._anew("SELECT count(*) FROM latency", ()) == [(1,)]
    assert first.get("stem") == TIMING
    assert (tmp_path / "latency.sqlite.unreadable").read_bytes() == spoilt


def test_the_journal_of_a_damaged_cache_does_not_reach_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "latency.sqlite"
    _garbage(path)
    journal = tmp_path / "latency.sqlite-journal"
    journal.write_bytes(b"what a killed process left")
    LatencyCache(Cpu(), path).put("stem", TIMING)
    assert not journal.exists()


def test_a_sound_cache_that_cannot_be_used_stays(tmp_path: Path) -> None:
    path = tmp_path / "latency.sqlite"
    cache = LatencyCache(Cpu(), path)
    cache.put("stem", TIMING)
    full = sqlite3.OperationalError("database or disk is full")
    refused = pytest.raises(NasError, match="cannot be used: database or disk is full")
    with mock.patch.object(LatencyCache, "_try", side_effect=full), refused:
        cache.put("head", TIMING)
    assert cache.get("stem") == TIMING
    assert not (tmp_path / "latency.sqlite.unreadable").exists()


def test_a_folder_in_its_place_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "latency.sqlite").mkdir()
    with pytest.raises(NasError, match="cannot be used: unable to open"):
        LatencyCache(Cpu(), tmp_path / "latency.sqlite").get("stem")
    (tmp_path / "file").write_text("")
    with pytest.raises(NasError, match=r"cannot be made: .*file"):
        LatencyCache(Cpu(), tmp_path / "file" / "latency.sqlite").get("stem")


FILL = """
import sys
from pathlib import Path
from evaluators import latency_cache
from evaluators.latency_cache import LatencyCache, Timing
from evaluators.targets.cpu import Cpu
cache = LatencyCache(Cpu(), Path(sys.argv[1]))
for i in range(int(sys.argv[2]), int(sys.argv[3])):
    cache.put(str(i), Timing(1.0, 1.0, 1.0))
    print(i, flush=True)
"""


def test_two_processes_lose_nothing(tmp_path: Path) -> None:
    path = str(tmp_path / "latency.sqlite")
    ranges = (("0", "40"), ("20", "60"))
    running = [
        subprocess.Popen([sys.executable, "-c", FILL, path, *r], stdout=subprocess.DEVNULL)
        for r in ranges
    ]
    assert [process.wait() for process in running] == [0, 0]
    assert set(LatencyCache(Cpu(), tmp_path / "latency.sqlite").all()) == set(map(str, range(60)))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
def test_a_killed_process_leaves_what_it_wrote(tmp_path: Path) -> None:
    path = tmp_path / "latency.sqlite"
    command = [sys.executable, "-c", FILL, str(path), "0", "100000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for _ in range(20):
            process.stdout.readline()
        time.sleep(0.01)
        process.kill()
    known = LatencyCache(Cpu(), path).all()
    assert set(map(str, range(20))) <= set(known)


def test_another_edition_is_kept_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = LatencyCache(Cpu(), tmp_path / "latency.sqlite")
    cache.put("stem", TIMING)
    monkeypatch.setattr(latency_cache, "EDITION", latency_cache.EDITION + 1)
    assert cache.get("stem") is None
