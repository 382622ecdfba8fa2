"""Several targets in one search: names, limits, and a column each, to the end."""

import json
from dataclasses import replace

import pandas as pd
import pytest

import nas
from evaluators.evaluator import Report
from evaluators.isolated import Isolated
from nas.config import ConfigError
from nas.live import print_result
from nas.targets import OnEach, excess, targets_of, too_slow
from search_spaces.errors import CandidateError

CPU_AND_PHONE = ("cpu:threads=1", "phone=command:timeout=3,program=run.sh --at=x")


def test_a_target_has_the_name_of_its_kind_or_its_own():
    config = nas.SearchConfig(
        target=CPU_AND_PHONE, budget_latency={"phone": 20.0}, latency_resource="edge"
    )
    cpu, phone = targets_of(config)
    assert (cpu.name, cpu.text, cpu.column) == ("cpu", "cpu:threads=1", "latency_ms")
    assert (cpu.limit_ms, cpu.resource) == (None, "edge")
    assert (phone.name, phone.column) == ("phone", "phone_latency_ms")
    assert phone.text == "command:timeout=3,program=run.sh --at=x"
    assert (phone.limit_ms, phone.resource) == (20.0, None)
    assert nas.SearchConfig.from_plain(json.loads(json.dumps(config.to_plain()))) == config
    assert nas.SearchConfig(target=("cpu",)) == nas.SearchConfig()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": ("cpu", "cpu:threads=2")}, "two of a name; give them names of your own"),
        ({"target": ("cpu", "a b=cpu")}, "the name 'a b' must be of letters, digits and dashes"),
        ({"budget_latency": {"phone": 1.0}}, "names the target 'phone'; known: cpu"),
        ({"budget_latency": {"": 1.0, "cpu": 2.0}}, "`budget_latency` has two values for cpu"),
        ({"latency_resource": {"phone": "x"}}, "`latency_resource` names the target 'phone'"),
        ({"target": ()}, "`target` must name one target at least"),
    ],
)
def test_what_names_no_target_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        targets_of(nas.SearchConfig(**options))


class _Here:
    def call(self, function, *arguments):
        return function(*arguments)


class _Takes:
    metrics = ()

    def __init__(self, ms):
        self.ms = ms

    def __call__(self, arch, task):
        if self.ms is None:
            raise CandidateError("no such device")
        yield Report(1, {"latency_ms": self.ms, "latency_flagged": 0.0})


def test_each_target_has_its_columns_and_the_one_that_fails_is_named():
    cpu, phone = targets = targets_of(
        nas.SearchConfig(target=CPU_AND_PHONE, budget_latency={"": 5.0, "phone": 20.0})
    )
    both = OnEach({cpu: Isolated(_Takes(4.0), _Here()), phone: Isolated(_Takes(21.0), _Here())})
    metrics = next(iter(both(None, None))).metrics
    assert metrics["latency_ms"] == 4.0
    assert metrics["phone_latency_ms"] == 21.0
    assert excess(targets, metrics) == {"latency_ms": -1.0, "phone_latency_ms": 1.0}
    assert too_slow(targets, metrics) == "latency on phone 21 ms is over 20 ms"
    assert too_slow(targets, metrics | {"phone_latency_ms": 20.0}) is None
    failing = OnEach({cpu: Isolated(_Takes(4.0), _Here()), phone: Isolated(_Takes(None), _Here())})
    with pytest.raises(CandidateError, match="phone: no such device"):
        next(iter(failing(None, None)))


PROGRAM = """#!/bin/sh
test -e {folder}/broken && {{ echo unplugged >&2; exit 3; }}
echo {ms}
"""


@pytest.fixture
def programs(tmp_path):
    """Return two targets: one takes twice the other's time, and fails where a file is."""
    texts = []
    for name, ms in (("slow", 2.0), ("fast", 1.0)):
        folder = tmp_path / name
        folder.mkdir()
        program = folder / "run.sh"
        program.write_text(PROGRAM.format(folder=folder, ms=ms))
        program.chmod(0o700)
        texts.append(f"{name}=command:program={program}")
    return tuple(texts)


def test_a_search_for_two_targets(toy, tmp_path, programs, capsys):
    config = nas.SearchConfig(
        data=str(toy / "images.npz"),
        space=str(toy / "space.json"),
        target=programs,
        trials=2,
        timeout=None,
        epochs=1,
        finalists=1,
        final_epochs=1,
        workers=1,
    )
    run = tmp_path / "run"
    found = nas.search(config, run)
    assert found.status == "complete"
    for table in ("trials.csv", "pareto.csv"):
        read = pd.read_csv(run / table)
        assert (read["fast_latency_ms"] < read["latency_ms"]).all()
    about = json.loads((run / "run.json").read_text())
    assert [t["column"] for t in about["targets"]] == ["latency_ms", "fast_latency_ms"]
    model = run / "models" / found.recommended
    metrics = json.loads((model / "metrics.json").read_text())
    assert metrics["fast_target"].startswith("command:program=")
    assert "On fast: **" in (model / "README.md").read_text()
    page = (run / "report.html").read_text()
    assert "latency on fast" in page
    assert "Accuracy against latency on fast" in page
    assert f"--target &#x27;{programs[0]}" in page or f"--target {programs[0]}" in page
    from rich.console import Console

    print_result(found, Console(width=120))
    assert "fast, ms" in capsys.readouterr().out
    assert nas.resume(run).recommended == found.recommended


@pytest.mark.slow
def test_a_second_target_that_fails_is_named_and_costs_candidates(toy, tmp_path, programs):
    config = nas.SearchConfig(
        data=str(toy / "images.npz"), space=str(toy / "space.json"), target=programs, trials=2,
        timeout=None, epochs=1, finalists=1, workers=1, budget_latency={"fast": 0.5},
    )  # fmt: skip
    slow = nas.search(config, tmp_path / "slow-run")
    assert slow.trials["reason"].str.contains("latency on fast .* ms is over 0.5 ms").all()
    (tmp_path / "fast" / "broken").touch()
    failed = nas.search(replace(config, budget_latency=None), tmp_path / "run")
    assert set(failed.trials["state"]) == {"failed"}
    assert failed.trials["reason"].str.match("fast: .*unplugged").all()
