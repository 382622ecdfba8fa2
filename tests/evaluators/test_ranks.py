"""Processes that train together, as torchrun starts them, with Gloo on the CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from evaluators.ranks import ALONE, Ranks, joined
from evaluators.recipe import Recipe
from evaluators.training import train
from search_spaces.errors import SpecError
from tests.evaluators.toy import IMAGES, RECIPE, toy_images, toy_network

PLAIN = Recipe(epochs=2, batch=21, lr=0.05, crop=0, flip=False)
SCRIPT = """
import json, sys
from dataclasses import replace
from evaluators.predict import evaluate
from evaluators.ranks import joined
from evaluators.training import train
from tests.evaluators.test_ranks import PLAIN, plain_network
from tests.evaluators.toy import *
with joined() as ranks:
    *_, last = train(plain := plain_network(), IMAGES, PLAIN, ranks=ranks)
    state = {name: value.tolist() for name, value in plain.state_dict().items()}
    *_, best = train(network := toy_network(), IMAGES, replace(RECIPE, epochs=8), ranks=ranks)
    found = {"plain": state, "loss": last.loss, "accuracy": best.accuracy,
             "print": fingerprint(network), "test": evaluate(network, IMAGES.test, IMAGES, ranks),
             "alone": evaluate(network, IMAGES.test, IMAGES)}
    open(f"{sys.argv[1]}/{ranks.rank}.json", "w").write(json.dumps(found))
"""


def plain_network() -> nn.Module:
    """Return a network without norms: they would see half a batch."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(36, 2))


def torchrun(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*line, *command], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_two_processes_learn_what_one_does(tmp_path: Path) -> None:
    script = tmp_path / "both.py"
    script.write_text(SCRIPT)
    root = Path(__file__).parents[2]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(root))
        done = torchrun(str(script), str(tmp_path), cwd=root)
    assert done.returncode == 0, done.stderr
    found = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)]
    assert found[0] == found[1]  # weights, averages and figures are the same in both
    *_, last = train(network := plain_network(), IMAGES, PLAIN)
    assert found[0]["loss"] == pytest.approx(last.loss, rel=1e-5)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(torch.tensor(found[0]["plain"][name]), value)
    assert found[0]["accuracy"] >= 0.95
    assert found[0]["test"] == found[0]["alone"]


def test_parts_are_the_whole() -> None:
    index = torch.randperm(23)
    parts = [Ranks(rank, 3).part(index) for rank in range(3)]
    assert torch.equal(torch.cat(parts), index)
    assert {len(part) for part in parts} == {7, 8}


def test_alone_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined() as ranks:
        assert ranks is ALONE
    assert ALONE.first
    network = toy_network()
    assert ALONE.parallel(network, freezes=True) is network


def test_batches_too_small_to_part_are_refused() -> None:
    with pytest.raises(SpecError, match=r"`batch` \(=4\) must be 2 or more a process"):
        next(train(toy_network(), toy_images(40), replace(RECIPE, batch=4), ranks=Ranks(0, 4)))
