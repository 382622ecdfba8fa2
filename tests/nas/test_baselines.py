import json
from dataclasses import replace

import pandas as pd
import pytest
from rich.console import Console

import nas
from nas.baselines import baselines
from nas.cli import main
from nas.families import FAMILIES
from nas.live import print_baselines
from search_spaces.arch import Task
from search_spaces.errors import BudgetError
from search_spaces.networks import NETWORKS, adapted

BUDGET = 30_000
SMALLEST = [
    "mobilenetv2-0.35", "shufflenetv2-0.5", "espnetv2-0.5", "shiftnet-b", "asresnet-w32",
    "fenet-1.0",
]  # fmt: skip


@pytest.mark.parametrize("side", [16, 28, 32, 64, 224])
@pytest.mark.parametrize("name", list(FAMILIES))
def test_small_images_keep_a_map_of_four_pixels(name, side):
    task = Task(10, (3, side, side))
    arch = NETWORKS[name].arch
    fitted = adapted(arch, task)
    *_, head = fitted.parts(task)
    assert min(head.site.hw) >= 4
    assert (fitted == arch) == (side >= 128)
    assert [s.blocks for s in fitted.stages] == [s.blocks for s in arch.stages]


@pytest.fixture(scope="module")
def config(toy):
    return nas.SearchConfig(
        data=str(toy / "images.npz"), budget_params=BUDGET, timeout=20.0, final_epochs=1
    )


def test_all_six_are_trained_tested_and_measured(config, tmp_path):
    table = baselines(config, tmp_path / "run").table
    assert table["network"].tolist() == SMALLEST
    assert table["reason"].isna().all()
    assert table["params"].between(0.7 * BUDGET, BUDGET).all()
    assert table["test_accuracy"].between(0, 1).all()
    assert (table["latency_ms"] > 0).all()
    assert table["imagenet_top1"].notna().all()
    assert table["imagenet_params"].tolist() == [NETWORKS[n].params.value for n in SMALLEST]
    assert table["unshifted_share"].notna().tolist() == [name == "fenet-1.0" for name in FAMILIES]
    for digest in table["digest"]:
        folder = tmp_path / "run" / "models" / digest
        assert (folder / "model.onnx").exists()
        assert "1 thread, batch 1, target cpu." in (folder / "README.md").read_text()
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert about["status"] == "complete"
    assert about["config"]["budget_params"] == BUDGET
    assert not {"sampler", "space", "trials", "epochs", "finalists"} & about["config"].keys()


def test_what_is_over_the_budget_is_listed_with_its_reason(config, tmp_path):
    tight = replace(config, budget_params=2_000)
    table = baselines(tight, tmp_path / "run").table
    left_out = table[table["digest"].isna()]
    assert 0 < len(left_out) < 6
    assert left_out["reason"].str.contains("below the narrowest version").all()
    text = pd.read_csv(tmp_path / "run" / "baselines.csv", dtype=str)
    counts = ["params", "macs", "epochs", "test_images", "seeds"]
    whole = text[[*counts, "latency_runs", "latency_flagged"]].stack()
    assert whole.dropna().str.fullmatch("[0-9]+").all()  # not 1234.0, though some are missing


def test_a_budget_that_no_family_meets_is_refused_before_anything_is_written(config, tmp_path):
    with pytest.raises(BudgetError, match=r"no family meets .* nearest is .* which has [0-9,]+$"):
        baselines(replace(config, budget_params=10), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_figures_are_cited():
    for name in FAMILIES:
        published = NETWORKS[name]
        cited = published.cite(published.top1)
        assert cited == published.source or cited.startswith(("README of ", "Liu et al. 2024, "))
        assert cited != "README of "


def test_the_table_fits_80_columns(capsys):
    row = {"network": "shufflenetv2-1.0", "params": 2_278_760, "macs": 23_234_567}
    row |= {
        "latency_ms": 0.345678,
        "latency_low_ms": 0.32,
        "latency_high_ms": 0.388,
        "latency_flagged": 1.0,
        "epochs": 100,
        "reason": None,
    }
    row |= {"test_accuracy": 0.98765, "test_accuracy_low": 0.8, "test_accuracy_high": 0.99}
    row |= {"imagenet_params": 3_470_000, "imagenet_top1": 69.4}
    row |= {"imagenet_source": "README of tensorflow/models"}
    print_baselines(pd.DataFrame([row]), Console(width=80))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "0.346 ± 9.8%!" in lines[2]
    assert any("! a noisy machine: interval wider" in line for line in lines)
    assert "98.8% (80.0-99.0)" in lines[2]
    assert lines[2].rstrip().endswith("3.47M: 69.4")


def test_a_search_may_begin_with_the_families(config, toy, tmp_path):
    space = str(toy / "space.json")
    options = {"warm_start": "baselines", "space": space, "trials": 3, "timeout": None}
    result = nas.search(replace(config, **options, epochs=1, finalists=1), tmp_path / "run")
    kinds = ["mbconv", "csc", "active_shift"]
    assert all(kind in arch for kind, arch in zip(kinds, result.trials["arch"], strict=True))


def test_the_command_prints_json_or_a_table(toy, tmp_path, capsys):
    arguments = ["baselines", "--data", str(toy / "images.npz"), "--final-epochs", "1"]
    for form, out in ((["--json"], "a"), ([], "b")):
        budget = ["--budget-params", "3K", "--out", str(tmp_path / out)]
        with pytest.raises(SystemExit) as end:
            main([*arguments, *budget, *form])
        assert end.value.code == 0
        text = capsys.readouterr().out
        if form:
            rows = json.loads(text)
            assert [row["network"] for row in rows] == SMALLEST
            assert any(row["test_accuracy"] is not None for row in rows)
        else:
            assert all(name in text for name in SMALLEST)
            assert "baselines.csv" in text
    with pytest.raises(SystemExit) as end:
        main(["resume", str(tmp_path / "a")])
    assert end.value.code == 2
    assert "only a search can be resumed" in capsys.readouterr().err
