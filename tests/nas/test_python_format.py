"""network.py says what the network says, in a process that has none of our packages."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor, nn

from nas.exporter import ExportError, Model, load, save
from search_spaces.arch import Arch, Task
from search_spaces.network import build

if TYPE_CHECKING:
    from pathlib import Path

TASK = Task(3, (1, 28, 28))
FAMILIES = [
    "mbconv(se=true)",
    "shufflev2(se=true)",
    "eesp",
    "csc",
    "active_shift(se=true)",
    "fe(units=2,expand=3)",
]


def model(block: str) -> Model:
    text = f"stem(width=8) | stage(width=16,stride=2): 2*{block} | head(width=16)"
    arch = Arch.from_text(text)
    network = build(arch, TASK, seed=1)
    network.train()(torch.rand(4, *TASK.shape))
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith((".a", ".b", ".alpha", ".beta")):  # as training leaves them
                parameter.copy_(torch.linspace(-3.5, 2.7, len(parameter)))
    return Model(arch, TASK, network.eval(), ("a", "'", '"""'), (0.3,), (0.2,))


@pytest.mark.parametrize("block", FAMILIES)
def test_every_family_agrees(block: str, tmp_path: Path) -> None:
    weights, source = save(model(block), tmp_path, ["python"])
    assert not source.agreement.fault
    assert source.agreement.top1_agreement == 1
    assert source.size_bytes == source.path.stat().st_size
    text = source.path.read_text("utf-8")
    assert not any(f"import {name}" in text for name in ("nas", "search_spaces", "evaluators"))
    assert not any(f"from {name}" in text for name in ("nas", "search_spaces", "evaluators"))
    assert max(map(len, text.splitlines())) <= 100
    assert weights.agreement.max_abs_error < 1e-6


def test_torch_alone_is_enough(tmp_path: Path) -> None:
    save(model("csc"), tmp_path / "csc", ["python"])
    script = f"""
import sys
sys.path.insert(0, {str(tmp_path / "csc")!r})
for name in ("safetensors", "nas", "search_spaces", "evaluators"):
    sys.modules[name] = None  # importing it fails
import torch, network
loaded = network.load()
torch.save(loaded.state_dict(), {str(tmp_path / "state.pt")!r})
again = network.load({str(tmp_path / "state.pt")!r})
image = torch.full((2, 1, 28, 28), 0.5)
assert torch.equal(loaded(image), again(image))
assert network.CLASSES == ["a", "'", '\"\"\"']
print(loaded(image)[0].tolist())
"""
    run = subprocess.run(
        [sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True
    )
    found = torch.tensor([float(x) for x in run.stdout.strip("[]\n").split(",")])
    wanted = load(tmp_path / "csc")(torch.full((2, 1, 28, 28), 0.5))[0]
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_what_cannot_be_written_is_named_with_its_part(tmp_path: Path) -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("table", torch.zeros(3))

        def forward(self, x: Tensor) -> Tensor:
            return x

    made = model("mbconv")
    made.network.parts["stage0_block1"] = Odd()
    with pytest.raises(ExportError, match=r"network\.py: stage0_block1: Odd has buffers: table"):
        save(made, tmp_path, ["python"])
