"""A model's folder cut short by a copy or a full disk: found, refused, never half there."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import pytest

import nas
from nas.cli import main
from nas.exporter import CORE, EXPORTERS, ExportError, Model, save
from nas.verify import faults
from search_spaces.arch import Arch, Task
from search_spaces.network import build

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

ARCH = Arch.from_text("stem(width=8) | stage(width=32,stride=2): mbconv | head")
TASK = Task(3, (1, 28, 28))
WHERE = (0.0, 0.01, 0.5, 0.99, 1.0)  # of a file's length; 1 stands for all but the last byte
PAGE = 4 << 10  # bytes, in which a disk is filled
FILE = 8 << 10  # bytes: less than the weights


def model(*names: str) -> Model:
    return Model(ARCH, TASK, build(ARCH, TASK, seed=1).eval(), names, (0.3,), (0.2,))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model's folder with every format that can be written here."""
    formats = [name for name in EXPORTERS if not EXPORTERS[name].missing()]
    folder = tmp_path_factory.mktemp("models") / "whole"
    save(model("a", "b", "c"), folder, formats, beside={"metrics.json": b'{"accuracy": 0.5}'})
    return folder


def cuts(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name of each file and what is left of it."""
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        for share in WHERE:
            yield path.name, content[: min(int(share * len(content)), len(content) - 1)]


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "model")


@contextmanager
def replaced(path: Path, content: bytes) -> Iterator[None]:
    before = path.read_bytes()
    path.write_bytes(content)
    yield
    path.write_bytes(before)


def test_any_file_cut_short_is_found(folder: Path) -> None:
    assert not faults(folder)
    for name, rest in cuts(folder):
        with replaced(folder / name, rest):
            found = faults(folder)
        assert [str(folder / name) in fault for fault in found] == [True], (name, len(rest), found)


def test_the_command_finds_it_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(content[: len(content) // 2])
    with pytest.raises(SystemExit, match="1"):
        main(["verify", str(folder)])
    assert capsys.readouterr().out.count("\n") == 1


@pytest.mark.parametrize("listed", [True, False])
def test_what_is_loaded_is_refused_in_one_line(folder: Path, listed: bool) -> None:
    read = {*CORE, "checksums.json"} if listed else set(CORE)
    if not listed:  # a stranger's list would fit
        (folder / "checksums.json").unlink()
    for name, rest in cuts(folder):
        refused: AbstractContextManager[object] = nullcontext()
        harmless = name == "task.json" and rest.endswith(b"}")  # only the newline is gone
        if name in read and (listed or not harmless):
            refused = pytest.raises(ExportError, match=name.partition(".")[0])
        with replaced(folder / name, rest), refused as error:
            nas.load(folder)
        assert error is None or "\n" not in str(getattr(error, "value", ""))


@pytest.fixture(params=["disk", "file"])
def little(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[Path, Callable[[], None]]]:
    """Lend a model's folder on a disk that holds it once, not twice, or where files must be short.

    With it comes what a process has to do at its start to meet that.
    """
    disk = tmp_path / "disk"
    disk.mkdir()
    save(model("a", "b", "c"), tmp_path / "model", ["onnx"])
    if request.param == "file":
        yield shutil.copytree(tmp_path / "model", disk / "model"), _limit_files
        return
    pages = sum(path.stat().st_size // PAGE + 1 for path in (tmp_path / "model").iterdir())
    mount = ["mount", "-t", "tmpfs", "-o", f"size={PAGE * pages * 3 // 2}", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("nothing may be mounted here")
    yield shutil.copytree(tmp_path / "model", disk / "model"), lambda: None
    subprocess.run(["umount", str(disk)], check=True)


def _limit_files() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writing fails instead
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE, FILE))


def test_a_full_disk_leaves_what_was_there(little: tuple[Path, Callable[[], None]]) -> None:
    disk, meet = little[0].parent, little[1]
    before = {path: path.read_bytes() for path in disk.rglob("*") if path.is_file()}
    for out in ("model", "other"):
        command = [sys.executable, "-m", "nas", "export", str(disk / "model")]
        command += ["--format", "onnx", "--out", str(disk / out)]
        done = subprocess.run(command, capture_output=True, text=True, preexec_fn=meet, check=False)
        assert done.returncode == 2, done.stderr
        assert done.stderr.count("\n") == 1
        assert f"error: cannot write to {disk / out}: " in done.stderr
        assert {path: path.read_bytes() for path in disk.rglob("*") if path.is_file()} == before
        assert not (disk / "other").exists()
