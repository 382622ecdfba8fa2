"""Whatever happens to a byte or a file of a run or a model is found."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nas.checksums import FILE, seal, sha256, text
from nas.config import SearchConfig
from nas.exporter import Model, save
from nas.finalists import keep_metrics
from nas.runs import LOCK_FILE, RunError, create_run, read_run, update_run
from nas.sealing import refuse_changed, seal_run, unseal_run
from nas.verify import verify
from search_spaces.arch import Arch, Task
from search_spaces.network import build

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.export
ARCH = Arch.from_text("stem(width=8) | stage(width=16,stride=2): csc | head")
TASK = Task(3, (1, 24, 24))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a finished run with one model; what a search would write more is plain text here."""
    run = create_run(SearchConfig(), tmp_path_factory.mktemp("runs") / "run")
    model = Model(ARCH, TASK, build(ARCH, TASK, seed=1).eval(), ("a", "b", "c"), (0.3,), (0.2,))
    save(model, run / "models" / ARCH.digest, ["onnx", "python"])
    keep_metrics(run / "models", ARCH.digest, {"accuracy": 0.5})
    for name in ("trials.csv", "pareto.csv", "report.html", "study.db", "space.json"):
        (run / name).write_text(f"the content of {name}")
    (run / LOCK_FILE).write_text("1")
    update_run(run, status="complete")
    seal_run(run)
    return run


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "run")


def files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())


def test_a_finished_run_is_as_written(made: Path) -> None:
    assert verify(made) == ([made / "models" / ARCH.digest], [])
    listed = json.loads((made / FILE).read_text())
    assert {"run.json", "study.db", f"models/{ARCH.digest}/weights.safetensors"} <= listed.keys()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.data())
def test_any_byte_of_any_file_that_changes_is_found(made: Path, data: st.DataObject) -> None:
    paths = [path for path in files(made) if path.name != LOCK_FILE]
    path = data.draw(st.sampled_from(paths), label="file")
    content = path.read_bytes()
    place = data.draw(st.integers(0, len(content) - 1), label="place")
    other = data.draw(st.integers(1, 255), label="change")
    try:
        path.write_bytes(content[:place] + bytes([content[place] ^ other]) + content[place + 1 :])
        assert verify(made)[1]
    finally:
        path.write_bytes(content)


def test_any_file_that_is_missing_is_found(run: Path) -> None:
    for path in files(run):
        content = path.read_bytes()
        path.unlink()
        assert bool(verify(run)[1]) == (path.name != LOCK_FILE), path
        path.write_bytes(content)
    assert not verify(run)[1]


@pytest.mark.parametrize("name", ["baselines.csv", "models/new/arch.json", "model.pte"])
def test_a_file_that_came_later_is_found(run: Path, name: str) -> None:
    (run / name).parent.mkdir(exist_ok=True)
    (run / name).write_text("{}")
    assert any(line == f"{run / name}: is not in {FILE}" for line in verify(run)[1])


def test_a_model_that_is_gone_is_found(run: Path) -> None:
    shutil.rmtree(run / "models" / ARCH.digest)
    assert any("weights.safetensors: is missing" in line for line in verify(run)[1])


@pytest.mark.parametrize("name", ["model.onnx", "network.py"])
def test_a_file_of_another_architecture_is_found_whatever_the_list_says(
    run: Path, tmp_path: Path, name: str
) -> None:
    other = Arch.from_text("stem(width=8) | stage(width=24,stride=2): csc | head")
    model = Model(other, TASK, build(other, TASK, seed=1).eval(), ("a", "b", "c"), (0.3,), (0.2,))
    save(model, tmp_path / "other", ["onnx", "python"])
    folder = run / "models" / ARCH.digest
    shutil.copy(tmp_path / "other" / name, folder)
    seal(folder, [name])
    told = f"{folder / name}: is of architecture {other.digest}, not {ARCH.digest}"
    assert verify(run)[1] == [told]


def test_a_training_that_was_killed_is_called_one(tmp_path: Path) -> None:
    (tmp_path / ".training").mkdir()
    with pytest.raises(RunError, match="nor of a run, but of a training that has not ended"):
        verify(tmp_path)
    with pytest.raises(RunError, match="`nas train` that goes on with a training, by --resume"):
        read_run(tmp_path)


def test_a_graph_that_cannot_be_read_is_found_whatever_the_list_says(run: Path) -> None:
    folder = run / "models" / ARCH.digest
    (folder / "model.onnx").write_bytes(b"no graph at all")
    seal(folder, ["model.onnx"])
    (line,) = verify(run)[1]
    assert line.startswith(f"{folder / 'model.onnx'}: ")


def test_a_model_may_get_further_formats(run: Path) -> None:
    model = run / "models" / ARCH.digest
    (model / "network.py").unlink()
    list_ = {n: s for n, s in json.loads((model / FILE).read_text()).items() if n != "network.py"}
    (model / FILE).write_text(text(list_))
    assert not verify(run)[1]


def test_a_run_under_way_has_no_list(run: Path) -> None:
    unseal_run(run)
    assert verify(run)[1] == [f"{run / FILE}: is missing"]
    update_run(run, status="running")
    assert not verify(run)[1]
    (run / "trials.csv").write_text("more")
    update_run(run, status="complete")
    seal_run(run)
    assert not verify(run)[1]


def test_another_list_of_the_same_meaning_is_damaged(run: Path) -> None:
    (run / FILE).write_text((run / FILE).read_text().replace("  ", "\t"))
    assert "checksums.json is damaged" in verify(run)[1][0]


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "", "c:x", "a\\b", ".hidden"])
def test_a_list_that_leads_elsewhere_is_damaged(run: Path, name: str) -> None:
    (run / FILE).write_text(text({name: sha256(run / "run.json")}))
    assert "checksums.json is damaged" in verify(run)[1][0]


def test_a_changed_run_is_not_sealed_anew(run: Path) -> None:
    (run / "notes.txt").write_text("came later")
    refuse_changed(run)
    (run / "study.db").write_text("other candidates")
    with pytest.raises(RunError, match=r"study\.db: is not the file that was written.*; bring it"):
        refuse_changed(run)
    (run / "trials.csv").unlink()
    with pytest.raises(RunError, match=r"\(and 1 more: see `nas verify`\)") as refused:
        refuse_changed(run)
    assert "\n" not in str(refused.value)
    unseal_run(run)
    refuse_changed(run)


def test_a_damaged_list_is_not_replaced(run: Path) -> None:
    (run / FILE).write_text("{")
    with pytest.raises(RunError, match="is damaged"):
        refuse_changed(run)
