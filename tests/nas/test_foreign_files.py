"""Files of strangers are read with care: one clear line, no code run, no memory taken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import nas
from nas.exporter import ExportError, Model, save
from nas.runs import RunError, read_run
from search_spaces.arch import Arch, Task
from search_spaces.errors import SpecError
from search_spaces.network import build
from search_spaces.strict_json import parse_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ARCH = Arch.from_text("stem(width=8) | stage(width=16,stride=2): csc | head")
TASK = Task(3, (1, 24, 24))
DEEP = "[" * 200_000
WEIGHTS = "weights.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model = Model(ARCH, TASK, build(ARCH, TASK, seed=1).eval(), ("a", "b", "c"), (0.3,), (0.2,))
    save(model, tmp_path / "m", ["safetensors"])
    (tmp_path / "m" / "checksums.json").unlink()  # a stranger's would fit
    return tmp_path / "m"


def change(**values: Any) -> Callable[[Path], None]:
    def damage(directory: Path) -> None:
        about = json.loads((directory / "task.json").read_text()) | values
        (directory / "task.json").write_text(json.dumps(about))

    return damage


def huge(directory: Path) -> None:
    """Describe a network of a billion channels, everything else fitting."""
    arch = Arch.from_text("stem(width=1000000000) | head")
    (directory / "arch.json").write_text(arch.to_json())
    change(digest=arch.digest)(directory)


def instead(name: str, content: str | bytes) -> Callable[[Path], None]:
    def damage(directory: Path) -> None:
        (directory / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return damage


def twice(directory: Path) -> None:
    text = (directory / "task.json").read_text()
    (directory / "task.json").write_text('{"schema": 1,' + text[1:])


def endless(name: str) -> Callable[[Path], None]:
    def damage(directory: Path) -> None:
        (directory / name).unlink()
        (directory / name).symlink_to("/dev/zero")

    return damage


def pipe(name: str) -> Callable[[Path], None]:
    def damage(directory: Path) -> None:
        (directory / name).unlink()
        os.mkfifo(directory / name)

    return damage


def header(directory: Path) -> None:
    content = (directory / WEIGHTS).read_bytes()
    (directory / WEIGHTS).write_bytes((100 << 30).to_bytes(8, "little") + content[8:])


def doubles(directory: Path) -> None:
    """Write the weights with 64 bits each."""
    from safetensors import safe_open
    from safetensors.torch import load, save

    with safe_open(directory / WEIGHTS, framework="pt") as file:
        about = file.metadata()
    tensors = load((directory / WEIGHTS).read_bytes())
    (directory / WEIGHTS).write_bytes(save({n: t.double() for n, t in tensors.items()}, about))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (huge, "bytes, but arch.json needs"),
        (instead("arch.json", DEEP), "nested too deeply"),
        (instead("task.json", DEEP), "task.json is damaged.*nested too deeply"),
        (instead("task.json", b"\xff\xfe"), "task.json is damaged"),
        (instead("arch.json", " " * (17 << 20)), "longer than 16,777,216 bytes"),
        (change(mean=[float("nan")]), "NaN is no number of JSON"),
        (twice, "key 'schema' stands there twice"),
        (change(classes="abc"), "`classes` must be a list of names"),
        (change(classes=[1, 2, 3]), "`classes` must be a list of names"),
        (change(std=["1"]), "`std` must be a list of numbers"),
        (change(shape=[1, 24.0, 24]), "`shape` must be three whole numbers"),
        (change(shape=[1, -24, 24]), "must be three positive numbers"),
        (change(shape=[1 << 40, 24, 24]), "bytes, but arch.json needs"),
        (endless("arch.json"), "arch.json: is no plain file"),
        (endless(WEIGHTS), "needs|no plain file"),
        (pipe("task.json"), "task.json: is no plain file"),
        (header, "missing, damaged or no weights"),
        (doubles, "of another shape or type"),
        (instead(WEIGHTS, b""), "0 bytes, but arch.json needs"),
    ],
)
def test_a_hostile_model_is_one_line(
    folder: Path, damage: Callable[[Path], None], message: str
) -> None:
    damage(folder)
    with pytest.raises(ExportError, match=message) as refusal:
        nas.load(folder)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 1_000


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")
def test_a_huge_network_takes_no_memory(folder: Path) -> None:
    huge(folder)
    script = f"""
import resource, nas, nas.exporter
used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    nas.load({str(folder)!r})
except nas.exporter.ExportError:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used)
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 200_000  # KiB; the network would take 40 GB


def test_a_pickle_is_not_opened(folder: Path) -> None:
    code = b"cos\nsystem\n(S'touch ran'\ntR."
    (folder / WEIGHTS).write_bytes(code + b" " * 100_000)
    with pytest.raises(ExportError, match="damaged or no weights"):
        nas.load(folder)
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("text", [DEEP, '{"schema": 1, "schema": 1}', '{"schema": NaN}'])
def test_a_hostile_run_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(RunError, match=r"is not a run folder: run\.json"):
        read_run(tmp_path)


def test_an_architecture_with_a_key_twice_is_refused() -> None:
    with pytest.raises(SpecError, match="not JSON: key 'stem' stands there twice"):
        Arch.from_json('{"schema": 1, "stem": {}, "stem": {}}')


def test_json_of_ours_is_read() -> None:
    assert parse_json(ARCH.to_json()) == json.loads(ARCH.to_json())
