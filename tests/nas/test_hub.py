"""Models go into a hub and come out as they were, or not at all."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import torch

import nas
from nas.checksums import FILE, seal
from nas.cli import main
from nas.exporter import Model, read, save
from nas.hub import Hub, HubError
from search_spaces.arch import Arch, Task
from search_spaces.network import build

if TYPE_CHECKING:
    from pathlib import Path

ARCH = Arch.from_text("stem(width=8) | stage(width=16,stride=2): csc | head")
TASK = Task(3, (1, 24, 24))


def make(directory: Path, seed: int = 1) -> Path:
    network = build(ARCH, TASK, seed=seed).eval()
    save(Model(ARCH, TASK, network, ("a", "b", "c"), (0.3,), (0.2,)), directory, ["onnx"])
    return directory


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return two models of one architecture."""
    place = tmp_path_factory.mktemp("models")
    return make(place / "one"), make(place / "two", seed=2)


@pytest.fixture(params=["folder", "memory"])
def hub(request: pytest.FixtureRequest, tmp_path: Path) -> Hub:
    if request.param == "folder":
        return Hub(str(tmp_path / "hub"))
    return Hub(f"memory://{tmp_path.name}")


def content(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def call(*arguments: object) -> int | str | None:
    with pytest.raises(SystemExit) as end:
        main(map(str, arguments))
    return end.value.code


def test_a_model_comes_out_as_it_went_in(hub: Hub, made: tuple[Path, Path], tmp_path: Path) -> None:
    wanted, new = hub.push(str(made[0]), "shirts")
    assert new
    out = hub.pull(wanted, tmp_path / "out")
    assert content(out) == content(made[0])
    assert hub.push(str(made[0]), "shirts") == (wanted, False)
    assert hub.pull(wanted, out) == out
    (row,) = hub.rows()
    assert (row["name"], row["digest"], row["formats"]) == (
        "shirts",
        ARCH.digest,
        "onnx, safetensors",
    )
    assert row["bytes"] > 1_000


def test_versions_stay_and_the_newest_is_the_default(
    hub: Hub, made: tuple[Path, Path], tmp_path: Path
) -> None:
    first, second = (hub.push(str(model))[0] for model in made)
    assert first.partition("@")[0] == ARCH.digest
    assert content(hub.pull(ARCH.digest, tmp_path / "new")) == content(made[1])
    assert content(hub.pull(first[:-6], tmp_path / "old")) == content(made[0])
    assert [f"{ARCH.digest}@{v}" for v in hub.versions(ARCH.digest)] == [first, second]


def test_what_is_there_is_not_copied_again(
    hub: Hub, made: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.push(str(made[0]))
    monkeypatch.setattr(hub._files, "put_file", lambda *_: pytest.fail("copied"))
    assert not hub.push(str(made[0]))[1]


@pytest.mark.parametrize("copied", [0, 1, 3])
def test_an_interrupted_push_leaves_nothing(
    hub: Hub, made: tuple[Path, Path], copied: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, count = hub._files.put_file, iter(range(100))

    def full(*names: Any) -> None:
        if next(count) == copied:
            raise OSError(28, "No space left on device")
        put(*names)

    monkeypatch.setattr(hub._files, "put_file", full)
    with pytest.raises(HubError, match=r"cannot push to .*: No space left on device"):
        hub.push(str(made[0]), "shirts")
    assert not hub.names()
    assert not [path for path in hub._files.find(hub._root) if "shirts" in path]
    monkeypatch.undo()
    assert hub.push(str(made[0]), "shirts")[1]


def test_a_copy_that_differs_gets_no_name(
    hub: Hub, made: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    put = hub._files.put_file

    def careless(source: str, name: str) -> None:
        put(source, name)
        if name.endswith("model.onnx"):
            hub._files.pipe_file(name, b"something else")

    monkeypatch.setattr(hub._files, "put_file", careless)
    with pytest.raises(HubError, match=r"not copied: the copy in .*model\.onnx: is not the file"):
        hub.push(str(made[0]))
    assert not hub.names()


def test_a_damaged_model_is_not_pulled(hub: Hub, made: tuple[Path, Path], tmp_path: Path) -> None:
    wanted, _ = hub.push(str(made[0]), "shirts")
    path = f"{hub._root}/{wanted.replace('@', '/')}/weights.safetensors"
    hub._files.pipe_file(path, hub._files.cat_file(path)[:-1] + b"!")
    with pytest.raises(HubError, match=r"not copied: shirts@.*weights\.safetensors: is not the"):
        hub.pull("shirts", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".out*"))


def test_a_model_under_anothers_version_is_not_pulled(
    made: tuple[Path, Path], tmp_path: Path
) -> None:
    hub = Hub(str(tmp_path / "hub"))
    name, version = hub.push(str(made[0]), "shirts")[0].split("@")
    shutil.rmtree(tmp_path / "hub" / name / version)
    shutil.copytree(made[1], tmp_path / "hub" / name / version)
    with pytest.raises(HubError, match="is another model than it says"):
        hub.pull("shirts", tmp_path / "out")


def test_a_damaged_model_is_not_pushed(hub: Hub, made: tuple[Path, Path], tmp_path: Path) -> None:
    model = shutil.copytree(made[0], tmp_path / "m")
    (model / "task.json").write_text("{}")
    with pytest.raises(HubError, match=r"not copied: .*task\.json: is not the file"):
        hub.push(str(model))


def test_a_link_is_not_followed(hub: Hub, made: tuple[Path, Path], tmp_path: Path) -> None:
    model = shutil.copytree(made[0], tmp_path / "m")
    (tmp_path / "secret").write_text("mine")
    (model / "notes").symlink_to(tmp_path / "secret")
    seal(model, ["notes"])
    with pytest.raises(HubError, match="notes is not in the folder itself"):
        hub.push(str(model))


def test_other_files_stay(hub: Hub, made: tuple[Path, Path], tmp_path: Path) -> None:
    wanted, _ = hub.push(str(made[0]))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    with pytest.raises(HubError, match=r"exists and is not .*; choose another --out"):
        hub.pull(wanted, tmp_path / "out")
    assert content(tmp_path / "out") == {"mine": b"mine"}


def test_the_commands(
    made: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub = tmp_path / "hub"
    assert call("push", made[0], hub, "--name", "shirts") == 0
    assert "pushed shirts@" in capsys.readouterr().out
    assert call("push", made[0], hub, "--name", "shirts") == 0
    assert "is there already" in capsys.readouterr().out
    assert call("list", "models", hub, "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert call("pull", f"{hub}/shirts@{row['version']}", "--out", tmp_path / "out") == 0
    assert nas.load(tmp_path / "out")(torch.zeros(1, *TASK.shape)).shape == (1, 3)
    assert read(tmp_path / "out").arch == ARCH
    assert call("verify", tmp_path / "out") == 0
    assert call("verify", hub / "shirts" / row["version"]) == 0
    assert (hub / "shirts" / row["version"] / FILE).is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pull", "{hub}/hat"], "has no model 'hat'; it has: shirts"),
        (["pull", "{hub}/shirts@zz"], "0 versions of shirts fit 'zz': "),
        (["pull", "shirts"], "names no model in a hub; write HUB/NAME"),
        (["pull", "nope://x/shirts"], "cannot be used: Protocol not known"),
        (["push", "{hub}", "{hub}"], "is neither a model's folder nor a run with models"),
        (["push", "{model}", "{hub}", "--name", "../x"], "is no name for a model"),
        (["list", "models"], "name the hub, too"),
        (["list", "blocks", "{hub}"], "only `nas list models` takes a hub"),
    ],
)
def test_bad_input_is_one_line(
    made: tuple[Path, Path], tmp_path: Path, arguments: list[str], message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    Hub(str(tmp_path / "hub")).push(str(made[0]), "shirts")
    assert call(*(a.format(hub=tmp_path / "hub", model=made[0]) for a in arguments)) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
