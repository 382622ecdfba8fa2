"""Every target that is registered keeps the contract."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from evaluators.target import TARGETS
from evaluators.testing import TargetContract

PROGRAM = f"{sys.executable} {Path(__file__).parents[3] / 'examples/time_onnx.py'}"


class TestEveryTarget(TargetContract):
    @pytest.fixture(params=list(TARGETS))
    def text(self, request: pytest.FixtureRequest) -> str:
        more = f",program={PROGRAM}" if request.param == "command" else ""
        return f"{request.param}:batch=2{more}"
