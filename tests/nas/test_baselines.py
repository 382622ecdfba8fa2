import json

import pandas as pd
import pytest

import nas
from nas.baselines import FAMILIES, baselines, one_family_each
from nas.cli import main
from search_spaces.arch import Task
from search_spaces.block import kind_of
from search_spaces.networks import NETWORKS, adapted
from search_spaces.spaces import SPACES


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


@pytest.mark.parametrize("name", list(SPACES))
def test_a_warm_start_has_one_architecture_of_each_family(name):
    archs = one_family_each(SPACES[name])
    kinds = [{kind_of(type(b)) for s in arch.stages for b in s.blocks} for arch in archs]
    assert kinds == [{kind} for kind in FAMILIES.values()]
    for arch in archs:
        SPACES[name].encode(arch)


def test_a_family_that_a_space_lacks_is_left_out(toy):
    from search_spaces.spaces import find_space

    archs = one_family_each(find_space(str(toy / "space.json")))
    assert len(archs) == 3  # mbconv, csc, active_shift


@pytest.fixture(scope="module")
def config(toy):
    return nas.SearchConfig(
        data=str(toy / "images.npz"), budget_params=12_000, timeout=20.0, final_epochs=1
    )


def test_all_six_are_trained_tested_and_measured(config, tmp_path):
    table = baselines(config, tmp_path / "run").table
    assert table["network"].tolist() == list(FAMILIES)
    done = table[table["reason"].isna()]
    assert len(done) >= 3
    assert done["params"].between(6_000, 12_000).all()
    assert done["test_accuracy"].between(0, 1).all()
    assert (done["latency_ms"] > 0).all()
    assert table["reason"].dropna().str.contains("below the narrowest version").all()
    assert table["imagenet_top1"].notna().all()
    assert len(pd.read_csv(tmp_path / "run" / "baselines.csv")) == 6
    for digest in done["digest"]:
        assert (tmp_path / "run" / "models" / digest / "model.onnx").exists()
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "complete"


def test_a_search_may_begin_with_the_families(config, toy, tmp_path):
    from dataclasses import replace

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
            assert [row["network"] for row in rows] == list(FAMILIES)
            assert any(row["test_accuracy"] is not None for row in rows)
        else:
            assert all(name in text for name in FAMILIES)
            assert "baselines.csv" in text
    with pytest.raises(SystemExit) as end:
        main(["resume", str(tmp_path / "a")])
    assert end.value.code == 2
    assert "only a search can be resumed" in capsys.readouterr().err
