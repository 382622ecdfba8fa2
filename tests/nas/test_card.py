"""A stranger follows the card: what it says is so, and its code runs in the model's folder."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import nas
from nas import provenance
from nas.card import FILE, PICTURE, Facts, card
from nas.cli import main
from nas.drawing import drawing
from nas.exporter import EXPORTERS, ExportError, Model, read, save
from nas.finalists import keep_metrics
from search_spaces.arch import Arch, Task
from search_spaces.network import build

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.export
ARCH = Arch.from_text("stem(width=8) | stage(width=16,stride=2): mbconv(expand=3), csc | head")
TASK = Task(3, (3, 24, 32))
METRICS: dict[str, Any] = {
    "accuracy": 0.92, "test_accuracy": 0.9, "test_accuracy_low": 0.87, "test_accuracy_high": 0.92,
    "test_images": 400, "epochs": 7, "seeds": 1, "latency_ms": 0.5, "latency_low_ms": 0.48,
    "latency_high_ms": 0.53, "latency_flagged": 0.0, "target": "cpu", "device": "Tin can, 2 cores",
    "runtime": "onnxruntime 1.0", "threads": 1, "batch": 1, "memory_bytes": 4e6,
}  # fmt: skip
KNOWN: dict[str, Any] = {
    "run": "mine",
    "seed": 3,
    "versions": {"torch": "2"},
    "data": {"name": "shapes", "train": 900, "val": 100, "test": 400},
    "recipe": {"epochs": 8, "lr": 0.3},
}
# A stranger's machine: none of our packages, whatever the path says.
REFUSE = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("nas", "evaluators", "search_spaces"):
            raise ImportError(f"a stranger has no {name}")

sys.meta_path.insert(0, Refuse())
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a model with every format that can be written here."""
    models = tmp_path_factory.mktemp("models")
    network = build(ARCH, TASK, seed=1).eval()
    model = Model(ARCH, TASK, network, ("ant", "b|r_d", "cat"), (0.3,) * 3, (0.2,) * 3)
    beside = {provenance.FILE: provenance.to_json(KNOWN)}
    save(model, models / ARCH.digest, ["onnx", "python"], beside=beside)
    keep_metrics(models, ARCH.digest, METRICS)
    return models / ARCH.digest


def facts(**changes: Any) -> Facts:
    usual = Facts(ARCH, TASK, ("a", "b", "c"), {}, {}, METRICS, KNOWN)
    return replace(usual, **changes)


def sections(text: str) -> dict[str, str]:
    """Return what stands under each heading of the second level."""
    parts = re.split(r"^## (.*)$", text, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def snippets(folder: Path) -> dict[str, str]:
    """Return the code under each heading of the third level."""
    text = (folder / FILE).read_text("utf-8")
    return dict(re.findall(r"^### (.*?)\n.*?^```python\n(.*?)^```$", text, re.M | re.S))


def run(code: str, folder: Path) -> str:
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["onnx", "python", "safetensors"])
def test_the_code_runs_where_this_project_is_not(folder: Path, name: str) -> None:
    code = snippets(folder)[name]
    assert EXPORTERS[name].file in (folder / FILE).read_text("utf-8")
    tell = "\nimport json as j; print(j.dumps([list(map(float, row)) for row in scores]))"
    strange = "" if name == "safetensors" else REFUSE
    said, scores = run(strange + code + tell, folder).splitlines()
    wanted = nas.load(folder)(torch.zeros(1, *TASK.shape))
    torch.testing.assert_close(torch.tensor(json.loads(scores)), wanted, rtol=1e-4, atol=1e-4)
    assert said == ("ant", "b|r_d", "cat")[int(wanted.argmax())]


def test_a_picture_becomes_an_image(folder: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "seen.png")
    code = snippets(folder)["From a picture to `image`"]
    run(REFUSE + code + "\nnp.save('image.npy', read_image('seen.png'))", tmp_path)
    image = np.load(tmp_path / "image.npy")
    assert image.dtype == np.float32
    np.testing.assert_allclose(image[0], pixels.transpose(2, 0, 1) / 255, atol=1e-6)


def test_every_file_is_named_with_what_it_needs(folder: Path) -> None:
    use = sections((folder / FILE).read_text("utf-8"))["How to use it"]
    size = (folder / "model.onnx").stat().st_size
    assert f"`model.onnx` ({size:,} bytes). It needs: `pip install numpy onnxruntime`." in use
    assert "It needs: `pip install torch`." in use
    assert "It needs this toolkit: `pip install .` in a checkout of it." in use


def test_figures_come_with_where_they_are_from() -> None:
    told = sections(card(facts()))
    assert (
        "**90.00%** on the test split of shapes: 400 images, 95 % interval (Wilson) 87.00% to "
        "92.00%, 1 training." in told["Accuracy"]
    )
    assert "92.00% on the validation split of 100 images" in told["Accuracy"]
    assert (
        "**0.5 ms** (95 % interval 0.48 to 0.53): Tin can, 2 cores, onnxruntime 1.0, 1 thread, "
        "batch 1, target cpu." in told["Latency"]
    )
    assert "epochs: 8\nlr: 0.3\n" in told["Training"]
    assert "| run | mine |" in told["Provenance"]
    assert f"`{ARCH.digest}`" in told["Provenance"]


def test_what_is_not_known_is_left_out() -> None:
    told = sections(card(facts(metrics={}, provenance={})))
    assert not {"Accuracy", "Latency", "Training"} & told.keys()
    assert "None" not in told["Provenance"]
    assert "unknown" not in card(facts(metrics={}, provenance={}))


def test_the_head_is_what_hubs_read() -> None:
    head = yaml.safe_load(card(facts(formats={})).split("---\n")[1])
    assert head["pipeline_tag"] == "image-classification"
    assert "license" not in head
    (result,) = head["model-index"][0]["results"]
    assert result["metrics"] == [{"type": "accuracy", "value": 0.9}]
    assert result["dataset"]["name"] == "shapes"


def test_the_table_adds_up() -> None:
    rows = re.findall(
        r"^\| (?:stem|stage\d|tail|head) \|.*\| ([\d,]+) \| ([\d,]+) \|$", card(facts()), re.M
    )
    params, macs = (sum(int(row[i].replace(",", "")) for row in rows) for i in (0, 1))
    cost = ARCH.cost(TASK)
    assert (params, macs) == (cost.params, cost.macs)


@pytest.mark.parametrize(
    "name", ["a | b", "x\n## Licence\nMIT", "`rm`", "<script>", "[a](http://x)", "---", "![p](q)"]
)
def test_foreign_names_are_only_text(name: str) -> None:
    data = KNOWN | {"data": {"name": name}, "run": name}
    text = card(facts(classes=(name, "b", "c"), provenance=data))
    plain = card(facts(classes=("n", "b", "c"), provenance=KNOWN | {"data": {"name": "n"}}))
    assert list(sections(text)) == list(sections(plain))
    body = text.split("---\n", 2)[2]
    for active in ("`rm`", "<script>", "[a](", "![p]"):
        assert active not in body
    assert yaml.safe_load(text.split("---\n\n#")[0].removeprefix("---\n"))
    run_row = next(line for line in body.splitlines() if line.startswith("| run |"))
    assert len(re.findall(r"(?<!\\)\|", run_row)) == 3


def test_the_same_facts_make_the_same_card() -> None:
    assert card(facts()) == card(facts())


def test_the_picture_has_a_box_for_each_part() -> None:
    root = ElementTree.fromstring(drawing(ARCH, TASK))
    boxes = [box for box in root.iterfind(".//{*}rect") if box.find("{*}title") is not None]
    assert len(boxes) == len(list(ARCH.parts(TASK)))
    assert float(root.attrib["width"]) >= max(float(b.attrib["x"]) for b in boxes)
    words = " ".join(text.text or "" for text in root.iterfind(".//{*}text"))
    assert {"mbconv", "csc", "3 classes", "16 wide", "6x8"} <= {
        *words.split(), *re.findall(r"\d+ \w+", words)
    }  # fmt: skip


def test_a_further_format_and_a_new_figure_renew_the_card(folder: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    out = models / ARCH.digest
    save(read(folder), out, ["onnx"])
    assert set(snippets(out)) == {"onnx", "safetensors", "From a picture to `image`"}
    keep_metrics(models, ARCH.digest, METRICS)
    save(read(folder), out, ["python"])
    assert {"onnx", "python", "safetensors"} <= snippets(out).keys()
    assert "**0.5 ms**" in (out / FILE).read_text("utf-8")
    assert (out / PICTURE).is_file()
    with pytest.raises(SystemExit) as end:
        main(["verify", str(out)])
    assert end.value.code == 0


def test_random_weights_are_called_so(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(
            ["export", str(ARCH), "--classes", "3", "--input", "1x24x24", "--out", f"{tmp_path}/o"]
        )
    told = sections((tmp_path / "o" / FILE).read_text("utf-8"))
    assert "the weights are random" in told["Training"]
    assert "its scores mean nothing" in told["Limits"]
    assert "Accuracy" not in told


@pytest.mark.parametrize("content", [b"[1]", b'{"test_accuracy": "high"}', b"\xff"])
def test_metrics_that_are_none_are_refused(folder: Path, tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ExportError, match="no model card can be written"):
        save(read(folder), tmp_path / "o", beside={"metrics.json": content})
    assert not list(tmp_path.iterdir())
