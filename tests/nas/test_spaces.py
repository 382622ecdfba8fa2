"""`nas space` as a user meets it."""

import json
from types import SimpleNamespace

import pytest

from nas.cli import main
from search_spaces.spaces import SPACES


@pytest.fixture
def run(capsys):
    def command(*arguments):
        with pytest.raises(SystemExit) as end:
            main(map(str, arguments))
        return SimpleNamespace(code=end.value.code, **capsys.readouterr()._asdict())

    return command


def test_json_has_size_bounds_and_samples_within_the_budget(run):
    done = run("space", "small", "--budget-params", "20K", "--json")
    about = json.loads(done.out)
    assert about["architectures"] == SPACES["small"].size()
    assert about["params"]["least"] < 20_000 < about["params"]["most"]
    assert about["macs"]["least"] < about["macs"]["most"]
    assert 0 < about["within_budget"] < about["architectures"]
    assert len(about["samples"]) == 5
    assert all(sample["params"] <= 20_000 for sample in about["samples"])
    again = run("space", "small", "--budget-params", "20K", "--json")
    assert again.out == done.out
    assert run("space", "small", "--budget-params", "20K", "--json", "--seed", 1).out != done.out


def test_the_table_has_them_too(run, toy):
    done = run("space", toy / "space.json", "--input", "1x16x16", "--classes", 3)
    assert done.code == 0, done.err
    assert "toy for 1x16x16, 3 classes" in done.out
    assert "architectures  264" in done.out
    assert done.out.count("stem(width=8)") == 5
    assert "within" not in done.out
    assert "resolution" not in done.out


def test_bounds_and_samples_are_over_the_resolutions(run, toy, tmp_path):
    plain = json.loads((toy / "space.json").read_text())
    least = json.loads(run("space", toy / "space.json", "--input", "1x8x8", "--json").out)
    most = json.loads(run("space", toy / "space.json", "--input", "1x16x16", "--json").out)
    path = tmp_path / "sized.json"
    path.write_text(json.dumps(plain | {"resolution": [8, 12, 16]}))
    about = json.loads(run("space", path, "--input", "1x28x28", "--json").out)
    assert about["architectures"] == 3 * most["architectures"]
    assert about["params"] == most["params"] == least["params"]
    assert about["macs"] == {"least": least["macs"]["least"], "most": most["macs"]["most"]}
    assert all(sample["arch"].startswith("image(resolution=") for sample in about["samples"])
    assert about["resolution"] == [8, 12, 16]
    assert "resolution     8, 12, 16" in run("space", path).out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["smal"], "did you mean 'small'"),
        (["no.yaml"], "'no.yaml' does not exist"),
        (["small", "--input", "28"], "'28' is no shape"),
        (["small", "--classes", "1"], "`classes` (=1) must be at least 2"),
        (["small", "--budget-params", "100"], "below the smallest architecture of space 'small'"),
        (["small", "--plugin", "no.py"], "no.py: No such file"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(run, arguments, message):
    done = run("space", *arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert len(done.err.strip().splitlines()) == 1
