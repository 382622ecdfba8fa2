"""OpenVINO: an extra, and without what it reports home."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from importlib.util import find_spec

import pytest
import torch

from evaluators.runtimes import TargetUnavailable
from evaluators.target import parse_target
from evaluators.testing import SHAPE, network

installed = pytest.mark.skipif(
    find_spec("openvino") is None, reason="the extra openvino is not installed"
)


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    target = parse_target("cpu-openvino")
    with (
        pytest.raises(TargetUnavailable, match=r"pip install 'nas-compact\[openvino\]'$"),
        target.load(b"", torch.rand(1, *SHAPE)),
    ):
        pass


def test_its_version_is_asked_for_in_vain_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("evaluators.target.version", missing)
    with pytest.raises(TargetUnavailable, match=r"pip install 'nas-compact\[openvino\]'$"):
        _ = parse_target("cpu-openvino").runtime


@installed
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_it_times_in_both_precisions(precision: str) -> None:
    target = parse_target(f"cpu-openvino:precision={precision}")
    with target.load(target.export(network(), SHAPE), torch.rand(1, *SHAPE)) as timer:
        assert timer(2) > 0


@installed
def test_it_reports_nothing_home() -> None:
    script = """
import sys
from evaluators.targets.cpu_openvino import openvino
assert openvino().Core
assert not [name for name in sys.modules if name.startswith("openvino_telemetry.")]
"""
    subprocess.run([sys.executable, "-c", script], check=True)
