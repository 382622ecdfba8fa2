"""What is compiled on the spot: kept, and never missed."""

from __future__ import annotations

import logging
import os
import re
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from search_spaces import _compiler, _shift_compiled
from search_spaces._shift_compiled import SOURCE

ROOT = Path(__file__).parents[2]
CODE = 'extern "C" int answer() { return 42; }\n'

needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="no C++ compiler"
)


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("NAS_COMPILE", raising=False)
    file = tmp_path / "_code.cpp"
    file.write_text(CODE, "utf-8")
    return file


def kept(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "nas" / "compiled").iterdir())


@needs_compiler
def test_is_compiled_once(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = _compiler.load(source)
    assert library is not None
    assert library.answer() == 42
    (file,) = kept(tmp_path)
    monkeypatch.setenv("PATH", "")
    assert _compiler.load(source) is not None
    assert kept(tmp_path) == [file]


@needs_compiler
def test_other_code_is_another_library(source: Path, tmp_path: Path) -> None:
    _compiler.load(source)
    source.write_text(CODE.replace("42", "43"), "utf-8")
    library = _compiler.load(source)
    assert library is not None
    assert library.answer() == 43
    assert len(kept(tmp_path)) == 2


def fake_compiler(folder: Path, body: str) -> str:
    folder.mkdir()
    program = folder / "c++"
    program.write_text(f"#!/bin/sh\n{body}\n", "utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return f"{folder}:{os.environ['PATH']}"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("echo broken >&2; exit 1", "broken"),
        ("exec sleep 60", "took more than 0.5 s"),
        ('for last; do :; done; echo nonsense > "$last"', "invalid ELF|too short|file format"),
    ],
)
def test_trouble_is_a_debug_message(
    body: str,
    reason: str,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(_compiler, "TIMEOUT_S", 0.5)
    monkeypatch.setenv("PATH", fake_compiler(tmp_path / "bin", body))
    with caplog.at_level(logging.DEBUG, _compiler.__name__):
        assert _compiler.load(source) is None
    (record,) = caplog.records
    assert record.levelno == logging.DEBUG
    assert re.search(reason, record.getMessage())


def test_a_timeout_ends_what_the_compiler_started(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = tmp_path / "started"
    monkeypatch.setattr(_compiler, "TIMEOUT_S", 0.5)
    monkeypatch.setenv(
        "PATH", fake_compiler(tmp_path / "bin", f"sleep 60 & echo $! > {started}; wait")
    )
    assert _compiler.load(source) is None
    child = Path("/proc", started.read_text("utf-8").strip(), "stat")
    for _ in range(100):  # it is dead, though somebody may have yet to notice
        if not child.exists() or child.read_text("utf-8").split()[2] == "Z":
            return
        time.sleep(0.1)
    pytest.fail("the compiler's child runs on")


def test_failures_are_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: Path
) -> None:
    calls = tmp_path / "calls"
    monkeypatch.setenv("PATH", fake_compiler(tmp_path / "bin", f"echo >> {calls}; exit 1"))
    _shift_compiled.library.cache_clear()
    try:
        assert _shift_compiled.library() is None
        assert _shift_compiled.library() is None
    finally:
        _shift_compiled.library.cache_clear()
    assert calls.read_text("utf-8") == "\n"


@needs_compiler
@pytest.mark.parametrize("damage", ["truncated", "foreign"])
def test_a_damaged_library_is_made_anew(damage: str, source: Path, tmp_path: Path) -> None:
    assert _compiler.load(source) is not None
    (file,) = kept(tmp_path)
    whole = file.read_bytes()
    file.unlink()  # what is loaded stays as it was
    file.write_bytes(whole[: len(whole) // 2] if damage == "truncated" else whole + b"more")
    script = (
        "import sys; from pathlib import Path; from search_spaces import _compiler;"
        "print(_compiler.load(Path(sys.argv[1])).answer())"
    )
    run = [sys.executable, "-c", script, str(source)]
    assert subprocess.check_output(run, cwd=ROOT, timeout=120).strip() == b"42"
    assert kept(tmp_path) == [file]
    assert file.read_bytes() == whole


@needs_compiler
def test_the_cache_is_the_users_alone(
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert _compiler.load(source) is not None
    folder = kept(tmp_path)[0].parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    with caplog.at_level(logging.DEBUG, _compiler.__name__):
        folder.chmod(0o777)
        assert _compiler.load(source) is None
        folder.chmod(0o700)
        monkeypatch.setattr(os, "getuid", lambda: folder.stat().st_uid + 1)
        assert _compiler.load(source) is None
    assert caplog.text.count("belongs to another user, or others can write to it") == 2


def test_no_compiler_is_a_debug_message(
    source: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PATH", "")
    with caplog.at_level(logging.DEBUG, _compiler.__name__):
        assert _compiler.load(source) is None
    assert "no C++ compiler is on the path" in caplog.text


def test_a_cache_that_cannot_be_written_is_no_harm(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(source))  # a file
    assert _compiler.load(source) is None


@needs_compiler
def test_processes_may_compile_at_once(source: Path, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from search_spaces import _compiler;"
        "print(_compiler.load(Path(sys.argv[1])).answer())"
    )
    command = [sys.executable, "-c", script, str(source)]
    runs = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) for _ in range(3)]
    assert [run.communicate(timeout=120)[0].strip() for run in runs] == [b"42"] * 3
    assert len(kept(tmp_path)) == 1


@needs_compiler
def test_only_one_openmp_is_loaded() -> None:
    _compiler.load(SOURCE)
    maps = Path("/proc/self/maps").read_text("utf-8")
    names = {line.split()[-1] for line in maps.splitlines() if "omp" in Path(line.split()[-1]).name}
    assert len({name for name in names if "gomp" in name or "iomp" in name}) <= 1
