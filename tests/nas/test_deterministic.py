"""`--deterministic`: the same table byte for byte, for one worker, for four, in another process."""

import subprocess
import sys
from dataclasses import replace

import pytest

import nas

CONFIG = nas.SearchConfig(
    budget_params=1500,
    trials=12,
    timeout=None,
    epochs=3,
    finalists=2,
    final_epochs=2,
    seed=5,
    deterministic=True,
)


def _made(run):
    """Return the bytes of the tables and of the finalists' weights, by the files' names."""
    files = [run / "trials.csv", run / "pareto.csv", *run.glob("models/*/weights.safetensors")]
    return {str(file.relative_to(run)): file.read_bytes() for file in files}


@pytest.mark.slow
def test_four_workers_or_another_process_give_the_table_of_one(toy, tmp_path):
    config = replace(CONFIG, data=str(toy / "images.npz"), space=str(toy / "space.json"))
    for workers in (1, 4):
        result = nas.search(replace(config, workers=workers), tmp_path / str(workers))
        assert {"complete", "paused"} == set(result.trials["state"])
        assert "images_per_s" not in result.trials
    options = {
        "data": config.data, "space": config.space, "budget-params": 1500, "trials": 12,
        "epochs": 3, "finalists": 2, "final-epochs": 2, "seed": 5, "workers": 2,
        "out": tmp_path / "process",
    }  # fmt: skip
    words = [f"--{name}={value}" for name, value in options.items()]
    command = [sys.executable, "-m", "nas", "search", "--deterministic", *words]
    subprocess.run(command, check=True, capture_output=True)
    one = _made(tmp_path / "1")
    assert len(one) == 4
    assert _made(tmp_path / "4") == _made(tmp_path / "process") == one
