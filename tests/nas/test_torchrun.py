"""`nas train` under torchrun: the ImageNet recipe on a tiny folder of images, with Gloo."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from nas.checksums import sha256
from nas.history import History
from nas.verify import verify

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

ARCH = "stem(width=8,stride=2) | stage(width=16,stride=2): csc, fe | head"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for label, name in enumerate(("dark", "light")):
        (root / name).mkdir()
        for i in range(100):
            pixels = rng.integers(0, 156, (40, 48, 3)) + 100 * label
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{i:03}.jpg")
    return root


def torchrun(photos: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    line += ["-m", "nas", "train", ARCH, "--data", str(photos), "--out", str(out), "--stream"]
    line += ["--recipe", "imagenet", "--no-amp", "--image-size", "32", "--batch", "28", *more]
    line += ["--epochs", "4", "--ema-decay", "0.9", "--lr", "0.2"]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        line, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip


def test_it_trains_resumes_and_leaves_one_model(photos: Path, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    process = torchrun(photos, whole)
    out, errors = process.communicate()
    assert process.returncode == 0, errors
    assert out.count("Test accuracy") == 1  # one process speaks
    assert verify(whole) == ([whole], [])

    process = torchrun(photos, broken)
    deadline = time.monotonic() + 120
    while not (broken / "history.csv").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    checkpoint = broken / ".training" / "checkpoint.pt"
    assert len(History.of(checkpoint).results) < 4, "too late to be of use"

    process = torchrun(photos, broken)
    _, errors = process.communicate()
    assert process.returncode != 0
    assert "holds a training; go on with --resume" in errors

    process = torchrun(photos, broken, "--resume")
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert sha256(broken / "weights.safetensors") == sha256(whole / "weights.safetensors")
