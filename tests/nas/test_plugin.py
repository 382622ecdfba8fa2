"""A search over a block of the user's own, as a user starts it: in processes of its own."""

import json
import subprocess
import sys

import pandas as pd
import pytest

PLUGIN = '''"""A plain convolution. Source: none."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from search_spaces.block import BLOCKS, Block, Site, knob
from search_spaces.cost import Cost, conv_bn_cost
from search_spaces.layers import conv_bn


@BLOCKS.register("plain")
@dataclass(frozen=True)
class Plain(Block):
    """Convolution, norm, ReLU."""

    kernel: int = knob(3, choices=(1, 3))

    def cost(self, site: Site) -> Cost:
        return conv_bn_cost(site.c_in, site.c_out, self.kernel, site.hw, stride=site.stride)

    def build(self, site: Site) -> nn.Module:
        return conv_bn(site.c_in, site.c_out, self.kernel, stride=site.stride, act="relu")
'''
SPACE = """
schema: 1
stem: {width: 8, stride: 2}
stages:
  - {width: 8, stride: 2, blocks: [{kind: mbconv, kernel: 3, expand: 1, se: false}]}
  - {width: [8, 16], depth: [1, 2], stride: 2, blocks: [plain]}
"""


def nas(*arguments):
    command = [sys.executable, "-c", "from nas.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "plain.py").write_text(PLUGIN)
    (folder / "space.yaml").write_text(SPACE)
    return folder


def test_space_and_show_know_its_blocks(files):
    done = nas("space", files / "space.yaml", "--plugin", files / "plain.py", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["architectures"] == 2 * (2 + 4)
    arch = json.loads(done.stdout)["samples"][0]["arch"]
    assert "plain" in arch
    shown = nas("show", arch, "--plugin", files / "plain.py", "--input", "1x28x28", "--json")
    layers = json.loads(shown.stdout)["layers"]
    assert all(layer["macs_fvcore"] == layer["macs"] for layer in layers)


def test_without_it_the_block_is_unknown(files):
    done = nas("space", files / "space.yaml")
    assert done.returncode == 2
    assert "unknown block 'plain'" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("options", [(), ("--screen", "snip:0.5")])
def test_a_block_that_fails_in_training_fails_its_candidates(files, toy, tmp_path, options):
    failing = PLUGIN.replace("        return conv_bn(", "        return Failing(conv_bn(")
    failing = failing.replace('act="relu")', 'act="relu"))') + (
        "class Failing(nn.Sequential):\n"
        "    def forward(self, x):\n"
        "        if self.training:\n"
        "            raise ValueError('only for inference')\n"
        "        return super().forward(x)\n"
    )
    (tmp_path / "failing.py").write_text(failing)
    done = nas(
        *("search", "--data", toy / "images.npz", "--space", files / "space.yaml"),
        *("--plugin", tmp_path / "failing.py", "--trials", 2, "--epochs", 1, "--workers", 1),
        *("--out", tmp_path / "run", "--json", *options),
    )
    assert "Traceback" not in done.stderr
    trials = pd.read_csv(tmp_path / "run" / "trials.csv")
    assert trials["state"].tolist() == ["failed", "failed"]
    assert trials["reason"].str.contains(r"failing\.py: line \d+: ValueError: only for inf").all()


def test_workers_and_a_resumed_run_have_it_and_a_changed_one_is_refused(files, toy, tmp_path):
    run = tmp_path / "run"
    done = nas(
        *("search", "--data", toy / "images.npz", "--space", files / "space.yaml"),
        *("--plugin", files / "plain.py", "--trials", 2, "--epochs", 1, "--finalists", 1),
        *("--final-epochs", 1, "--workers", 1, "--out", run, "--json"),
    )
    assert done.returncode == 0, done.stderr
    assert "plain" in json.loads(done.stdout)["pareto"][0]["arch"]
    about = json.loads((run / "run.json").read_text())["plugin"]
    assert about["path"] == str(files / "plain.py")
    assert len(about["sha256"]) == 64

    again = nas("resume", run, "--json")
    assert again.returncode == 0, again.stderr
    (files / "plain.py").write_text(PLUGIN + "\n# another one\n")
    changed = nas("resume", run)
    assert changed.returncode == 2
    assert "plain.py has changed since" in changed.stderr
    assert len(changed.stderr.strip().splitlines()) == 1
    (files / "plain.py").unlink()
    gone = nas("resume", run)
    assert (gone.returncode, "No such file" in gone.stderr) == (2, True)
