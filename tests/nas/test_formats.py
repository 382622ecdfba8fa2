"""Each format says what the network says, whatever blocks it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from evaluators.runtimes import GraphError
from nas.baselines import FAMILIES
from nas.cli import main
from nas.exporter import EXPORTERS, Exporter, Model, save
from nas.testing import ExporterContract
from nas.verify import faults
from search_spaces.arch import Arch, Task
from search_spaces.budget import Budget, fill
from search_spaces.network import build
from search_spaces.networks import NETWORKS, adapted

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.export
TASK = Task(3, (3, 32, 32))
NARROW = 40_000  # parameters, which every family can be narrowed to
TEXT = "stem(width=8) | stage(width=16,stride=2): csc, active_shift(expand=1) | head"
ARCH = Arch.from_text(TEXT)


def model_of(arch: Arch) -> Model:
    names = tuple(map(str, range(TASK.classes)))
    return Model(arch, TASK, build(arch, TASK).eval(), names, (0.3,) * 3, (0.2,) * 3)


class TestEveryFormat(ExporterContract):
    @pytest.fixture(params=list(EXPORTERS))
    def name(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)


def test_a_missing_runtime_names_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("nas.exporter.find_spec", lambda _: None)
    arguments = ["export", str(ARCH), "--input", "3x32x32", "--format", "litert"]
    with pytest.raises(SystemExit, match="2"):
        main([*arguments, "--out", str(tmp_path / "out")])
    wanted = "error: format 'litert' needs: pip install 'nas-compact[litert]'"
    assert capsys.readouterr().err.strip() == wanted


def test_what_a_format_lacks_is_named_with_its_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(ARCH)
    block = model.network.parts["stage0_block1"]
    monkeypatch.setattr(block, "forward", lambda x: x * x.numpy().sum())
    with pytest.raises(GraphError, match=r"model\.pt2: stage0_block1 \(active_shift\): "):
        save(model, tmp_path / "out", ["pt2"])
    assert not (tmp_path / "out").exists()


def test_a_format_without_bodies_is_told() -> None:
    with pytest.raises(NotImplementedError):
        Exporter().encode(model_of(ARCH))


@pytest.mark.slow
@pytest.mark.parametrize("name", list(EXPORTERS))
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_written_in_every_format(family: str, name: str, tmp_path: Path) -> None:
    if extra := EXPORTERS[name].missing():
        pytest.skip(f"needs the extra {extra}: pip install 'nas-compact[{extra}]'")
    task = Task(10, (1, 28, 28))
    arch = fill(adapted(NETWORKS[family].arch, task), Budget(params=NARROW), task)
    network = build(arch, task, seed=1)
    network.train()(torch.rand(8, *task.shape))  # statistics other than those of fresh norms
    names = tuple(map(str, range(10)))
    model = Model(arch, task, network.eval(), names, (0.3,), (0.3,))
    *_, found = save(model, tmp_path / "out", [name])
    assert not found.agreement.fault
    assert not faults(tmp_path / "out")
