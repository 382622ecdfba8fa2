"""`nas latency` and `nas measure` from the command line, on a machine whose answers are known."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest

from evaluators import predicted_latency
from evaluators.child import ChildDied
from evaluators.latency import Latency
from evaluators.latency_cache import Timing
from evaluators.pairs import Reading
from evaluators.part_latency import part_key
from nas.cli import main
from search_spaces.spaces import find_space

SPACE = """
schema: 1
name: tiny
stem: {width: [8, 16], stride: 1}
stages:
  - width: [8, 16]
    depth: [1, 2]
    stride: 2
    blocks: [{kind: mbconv, kernel: 3, expand: [1, 2, 3], se: false}]
head: {width: [0, 32]}
"""


class Here:
    """A child process's stand-in that calls in this process."""

    def call(self, function, *arguments):
        return function(*arguments)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    printed = capsys.readouterr()
    return int(ended.value.code or 0), printed.out, printed.err


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let parts and networks take what their multiply-adds say."""

    def measure(part, cache, _):
        known = cache.get(part_key(part))
        if known is None:
            ms = 0.01 + part.cost.macs / 1e6
            cache.put(part_key(part), Timing(ms, ms, ms))
        return known or Timing(ms, ms, ms)

    def program(arch, task, _):
        return sum(0.009 + part.cost.macs / 1e6 for part in arch.parts(task))

    def read(self, ms):
        return Reading(ms, 0.99 * ms, 1.01 * ms, 10, 100, 0, False, 0.0, 0.0)

    monkeypatch.setattr("evaluators.latency_model.measured_part", measure)
    monkeypatch.setattr("evaluators.latency_model.program_of", program)
    monkeypatch.setattr("evaluators.latency_model.SAMPLES", 300)
    monkeypatch.setattr("nas.latency.Child", Here)
    monkeypatch.setattr(Latency, "read", read)
    monkeypatch.setattr(Latency, "reference", lambda _: Timing(1.0, 1.0, 1.0))
    predicted_latency.model_of.cache_clear()


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(SPACE)
    return "tiny.yaml"


@pytest.mark.usefixtures("machine")
def test_a_warm_cache_gives_a_report(space: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "latency", "warm", space, "--networks", "60", "--json")
    assert code == 0
    done = json.loads(out)
    assert done["complete"]
    assert done["networks"]["done"] > 40
    assert Path(done["cache"]).exists()
    code, out, _ = run(capsys, "latency", "report", space, "--out", "page.html", "--json")
    assert code == 0
    found = json.loads(out)
    assert found["within_5_percent"] == 1
    assert found["kendall_predicted"] > 0.95
    page = Path("page.html").read_text()
    assert "Kendall tau" in page
    digest = find_space(space).sample(Random(0)).digest
    assert f"Where the time of {digest} goes" in page


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("out", ["missing/page.html", "."])
def test_a_page_that_cannot_be_written_is_one_line(
    space: str, out: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "latency", "warm", space, "--networks", "60")
    code, _, err = run(capsys, "latency", "report", space, "--out", out)
    assert code == 2
    assert "cannot be written" in err
    assert err.count("\n") == 1


@pytest.mark.usefixtures("machine")
def test_a_report_needs_something_to_rest_on(
    space: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(capsys, "latency", "report", space)
    assert code == 2
    assert "predictions need 40 networks measured with all of their parts, but there are 0" in err
    assert "nas latency warm" in err


@pytest.mark.usefixtures("space")
def test_measure_prints_what_scripts_need(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evaluators.reference.ROUNDS", 4)
    line = "stem(width=8) | head"
    arguments = ("--input", "1x12x12", "--classes", "5", "--latency-tolerance", "20%")
    code, out, _ = run(
        capsys, "measure", line, "--against", line, "--timeout", "1s", *arguments, "--json"
    )
    assert code == 0
    found = json.loads(out)
    assert 0 < found["latency_low_ms"] <= found["latency_ms"] <= found["latency_high_ms"]
    assert {"ratio", "runs", "flagged", "load_before", "load_after", "target"} <= set(found)
    assert found["comparison"]["verdict"] in ("faster", "slower", "tie")
    assert found["against"]["latency_ms"] > 0


@pytest.mark.usefixtures("space")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none.onnx",), "none.onnx: not an ONNX file"),
        (("space.onnx",), "space.onnx: not an ONNX file"),
        (("mobilenetv2-1.0", "--target", "cpu:thread=1"), "option 'thread' is unknown"),
        (("mobilenetv2-1.0", "--target", "cpu:batch=999999999"), "does not fit into the memory"),
        (("mobilenetv2-1.0", "--target", "gpu"), "unknown target 'gpu'"),
        (("mobilenetv2-1.0", "--latency-tolerance", "0"), "is not a positive quantity"),
        (("mobilenetv2-1.0", "--input", "3x5"), "is no shape"),
    ],
)
def test_a_fault_is_one_line(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("space.onnx").write_text("not a model")
    code, _, err = run(capsys, "measure", *arguments)
    assert code == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.usefixtures("space")
def test_a_crash_names_the_network(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(_: object) -> None:
        raise ChildDied("the process died (signal SIGSEGV)")

    monkeypatch.setattr("nas.measure.footprint", crash)
    monkeypatch.setattr(Latency, "read", None)  # in this process, so it must not come to that
    code, _, err = run(capsys, "measure", "shufflenetv2-0.5", "--input", "1x28x28")
    assert code == 2
    assert err == "error: shufflenetv2-0.5: cpu: the process died (signal SIGSEGV)\n"
