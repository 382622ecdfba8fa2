"""The command line as a user meets it: its output and its exit code."""

import json
import os
import signal
from time import sleep
from types import SimpleNamespace

import pytest

from nas.cli import main
from nas.runs import locked
from search_spaces.networks import NETWORKS

ARCH = "stem(width=16) | stage(width=24,stride=2): 2*mbconv(kernel=5) | head(width=256)"


@pytest.fixture
def run(capsys):
    """Run a command in this process and return what a shell would see."""

    def command(*arguments):
        with pytest.raises(SystemExit) as end:
            main(map(str, arguments))
        return SimpleNamespace(code=end.value.code, **capsys.readouterr()._asdict())

    return command


def test_help_names_the_commands(run):
    done = run("--help")
    assert done.code == 0
    assert all(word in done.out for word in ("search", "resume", "show", "list"))


def test_show_prints_layers_and_totals(run):
    done = run("show", ARCH, "--input", "1x28x28", "--classes", 10)
    assert done.code == 0
    assert "stage0_block1" in done.out
    assert "27,210" in done.out
    assert "--per-layer" in done.out


def test_show_json_has_layers_that_add_up(run):
    shown = json.loads(run("show", ARCH, "--json").out)
    assert shown["params"] == sum(layer["params"] for layer in shown["layers"])
    assert shown["macs"] == sum(layer["macs"] for layer in shown["layers"])
    assert shown["input"] == [3, 224, 224]


def test_show_has_fvcores_count_of_every_part(run):
    shown = json.loads(run("show", ARCH, "--input", "1x28x28", "--json").out)
    assert all(layer["macs_fvcore"] == layer["macs"] for layer in shown["layers"])
    bare = json.loads(run("show", ARCH, "--input", "1x28x28", "--no-fvcore", "--json").out)
    assert not any("macs_fvcore" in layer for layer in bare["layers"])


def test_show_per_layer_has_fvcores_count_of_every_convolution(run):
    given = ("show", ARCH, "--input", "1x28x28", "--per-layer")
    shown = json.loads(run(*given, "--json").out)
    layers = shown["per_layer"]
    assert [layer["operator"] for layer in layers].count("Conv2d") == 8
    assert sum(layer["params"] for layer in layers) == shown["params"]
    assert sum(layer["macs_fvcore"] for layer in layers) == shown["macs"]
    printed = run(*given).out
    assert "stage0_block1.depthwise.0" in printed
    assert f"{shown['macs']:,}" in printed


def test_show_per_layer_needs_fvcore(run):
    done = run("show", ARCH, "--per-layer", "--no-fvcore")
    assert done.code == 2
    assert "leave out --no-fvcore or --per-layer" in done.err


@pytest.mark.parametrize("name", list(NETWORKS))
def test_show_describes_every_published_network(run, name):
    done = run("show", name, "--input", "3x40x56", "--classes", 7, "--no-fvcore", "--json")
    shown = json.loads(done.out)
    assert shown["digest"] == NETWORKS[name].arch.digest
    assert shown["params"] == sum(layer["params"] for layer in shown["layers"])
    assert shown["macs"] == sum(layer["macs"] for layer in shown["layers"])
    assert shown["layers"][-1]["output"] == [7]


def test_show_knows_published_networks(run):
    shown = json.loads(run("show", "asresnet-w32", "--input", "3x32x32", "--json").out)
    assert shown["params"] == 901_256
    assert (shown["input"], shown["classes"]) == ([3, 32, 32], 1000)
    assert shown["published"]["top1"] == {"value": 64.1, "by": "code"}
    assert shown["published"]["macs"] is None
    usual = json.loads(run("show", "asresnet-16x1", "--no-fvcore", "--json").out)
    assert (usual["input"], usual["classes"]) == ([3, 32, 32], 10)


def test_show_prints_what_was_published(run):
    done = run("show", "shiftnet-b", "--no-fvcore")
    text = " ".join(done.out.split())
    assert "arXiv:1711.08141: 1.1M parameters (Liu et al. 2024), 371M MACs" in text
    assert "61.2 % top-1" in text
    assert "Whether the stem has a norm is not known" in text


@pytest.mark.parametrize(
    "what", ["blocks", "spaces", "networks", "targets", "samplers", "proxies", "data", "recipes"]
)
def test_lists_have_names_in_both_forms(run, what):
    rows = json.loads(run("list", what, "--json").out)
    plain = run("list", what).out
    assert rows
    assert all(row["name"] in plain for row in rows)


def test_a_search_prints_json_and_nothing_else(run, toy, tmp_path):
    done = run(
        *("search", "--data", toy / "images.npz", "--space", toy / "space.json"),
        *("--trials", 2, "--epochs", 1, "--finalists", 1, "--final-epochs", 1, "--workers", 1),
        *("--budget-params", "3.6M", "--target", "cpu", "--out", tmp_path / "run", "--json"),
    )
    assert done.code == 0, done.err
    result = json.loads(done.out)
    assert result["status"] == "complete"
    assert result["pareto"][0]["digest"] == result["recommended"]
    again = run("resume", tmp_path / "run")
    assert again.code == 0, again.err
    assert result["recommended"] in again.out
    assert "report.html" in again.out
    with locked(tmp_path / "run"):
        refused = run("resume", tmp_path / "run")
    assert refused.code == 2
    assert f"run is in use by process {os.getpid()};" in refused.err
    assert len(refused.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search", "--budget-params", "3.6Q"], "'3.6Q' is not a positive quantity"),
        (["search", "--budget-params", "-1M"], "'-1M' is not a positive quantity"),
        (["search", "--budget-latency", "0"], "'0' is not a positive quantity"),
        (["search", "--budget-parms", "3.6M"], "--budget-params"),
        (["search", "--sampler", "tpee"], "did you mean 'tpe'"),
        (["search", "--target", "cpuu"], "did you mean 'cpu'"),
        (["search", "--target", "cpu:thread=1"], "threads"),
        (["search", "--space", "smal"], "did you mean 'small'"),
        (["search", "--space", "no.yaml"], "'no.yaml' does not exist"),
        (["search", "--data", "no/such/folder"], "no/such/folder"),
        (["search", "--data", "bundledd"], "bundled"),
        (["search", "--budget-params", "100"], "is below the smallest architecture"),
        (["search", "--trials", "0"], "`trials` (=0) must be at least 1"),
        (["search", "--trials", "many"], "--trials"),
        (["search", "--deterministic"], "`deterministic` needs `trials`"),
        (["search", "--screen", "snip:"], "`screen` (='snip:') must have a share between 0 and 1"),
        (["search", "--out", "/proc/nas", "--trials", "1"], "/proc/nas cannot be written"),
        (["search", "--latency-resource", "edge"], "`latency_resource` (='edge') is for searches"),
        (["search", "--ray", "--ray-address", "auto"], "`ray_address` (='auto') another one"),
        (["resume", "run", "--no-ray", "--ray-address", "auto"], "are two places to go on"),
        (["resume", "no/such/run"], "no/such/run is not a run folder: there is no such folder"),
        (["resume", "/"], "/ is not a run folder: it has no run.json"),
        (["show", "mbconv"], "'mbconv' is neither an architecture in one line nor"),
        (["show", "mobilnetv2-1.0"], "did you mean 'mobilenetv2-1.0'?"),
        (["show", "mobilenetv2"], "did you mean 'mobilenetv2-0.35' or 'mobilenetv2-0.5' or"),
        (["show", "mobilnetv2"], "did you mean 'mobilenetv2-0.35' or 'mobilenetv2-0.5' or"),
        (["show", "espnet-2.0"], "did you mean 'espnetv2-2.0'?"),
        (["show", "shufflnet-1.5"], "did you mean 'shufflenetv2-1.5'?"),
        (["show", "as-resnet_W50"], "did you mean 'asresnet-w50'?"),
        (["show", "ShiftNet-A"], "did you mean 'shiftnet-a'?"),
        (["show", "resnet50"], "`nas list networks`: no such file"),
        (["show", ""], "`nas list networks`: no such file"),
        (["show", "runs/gone/arch.json"], "`nas list networks`: no such file"),
        (["show", "0123456789ab"], "a digest needs its folder before it: RUN/models/0123456789ab"),
        (["show", "."], "that folder has no arch.json"),
        (["show", "a" * 300], "File name too long"),
        (["show", ARCH, "--input", "28"], "'28' is no shape"),
        (["show", "fenet-1.0", "--input", "3x5"], "'3x5' is no shape; write it like 3x224x224"),
        (["show", "fenet-1.0", "--input", "3x0x5"], "`shape` (=(3, 0, 5)) must be three positive"),
        (["show", "fenet-1.0", "--classes", "-2"], "`classes` (=-2) must be at least 2"),
        (["show", "fenet-1.0", "--classes", "x"], "valid integer"),
        (["show", "fenet-1.0", "--input", "3x9999999x9999999"], "a smaller --input, or --no-fv"),
        (["show", ARCH.replace("mbconv", "mbcon")], "did you mean 'mbconv'"),
        (["list", "block"], "is none of: blocks"),
        (["lits"], "No such command 'lits'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(run, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(*arguments)
    assert done.code == 2
    assert message in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not done.out
    assert not list(tmp_path.iterdir())


def test_a_bug_is_not_hidden(monkeypatch):
    monkeypatch.setattr("nas.show.describe", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["show", ARCH])


def test_a_command_that_is_asked_to_end_ends_as_by_ctrl_c():
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit):
            main(["list", "blocks"])
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012
            os.kill(os.getpid(), signal.SIGTERM)
            sleep(5)
    finally:
        signal.signal(signal.SIGTERM, before)
