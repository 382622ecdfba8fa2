"""The published networks against independent counts, fvcore, and torchvision's own modules."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

from evaluators.analytic import fvcore_macs
from search_spaces.arch import Arch, Task
from search_spaces.network import build
from search_spaces.networks import NETWORKS, Published
from search_spaces.presets.espnetv2 import unused
from search_spaces.presets.mobilenetv2 import mobilenetv2
from tools.networks_table import departures, figures

if TYPE_CHECKING:
    from types import ModuleType

# Counted on models written for that purpose, and checked against releases: parameters, and
# multiply-adds in millions to as many digits as are known.
COUNTS = {
    "mobilenetv2-0.35": (1_677_128, "59.29"),
    "mobilenetv2-0.5": (1_968_680, "97.13"),
    "mobilenetv2-0.75": (2_636_424, "209.07"),
    "mobilenetv2-1.0": (3_504_872, "300.77"),
    "mobilenetv2-1.3": (5_386_792, "509.37"),
    "mobilenetv2-1.4": (6_108_776, "582.20"),
    "shufflenetv2-0.5": (1_365_792, "40.48"),
    "shufflenetv2-1.0": (2_278_760, "145.81"),
    "shufflenetv2-1.5": (3_506_720, "298.97"),
    "shufflenetv2-2.0": (7_402_600, "590.78"),
    "shufflenetv2-0.5-torchvision": (1_366_792, "40.48"),
    "shufflenetv2-1.0-torchvision": (2_278_604, "144.91"),
    "shufflenetv2-1.5-torchvision": (3_503_624, "295.76"),
    "shufflenetv2-2.0-torchvision": (7_393_996, "583.25"),
    "espnetv2-0.5": (1_239_722, "29.400"),
    "espnetv2-1.0": (1_666_942, "86.744"),
    "espnetv2-1.25": (1_961_542, "124.423"),
    "espnetv2-1.5": (2_310_190, "169.629"),
    "espnetv2-2.0": (3_491_934, "286.086"),
    "shiftnet-a": (4_188_744, "1424.3"),
    "shiftnet-b": (1_183_512, "370.96"),
    "shiftnet-c": (900_376, "191.1"),
    "asresnet-w32": (901_256, "166.84"),
    "asresnet-w50": (1_962_950, "397.57"),
    "asresnet-w68": (3_424_460, "726.87"),
    "fenet-1.0": (3_535_232, "299.68"),
    "fenet-1.375": (6_002_486, "563.70"),
}
CIFAR = [(16, 1), (16, 3), (16, 6), (16, 9), (46, 1), (88, 1)]
SMALLEST = {  # of each family
    "mobilenetv2-0.35",
    "shufflenetv2-0.5",
    "shufflenetv2-0.5-torchvision",
    "espnetv2-0.5",
    "shiftnet-c",
    "asresnet-w32",
    "asresnet-16x3",
    "fenet-1.0",
}
# Published with one or two digits, cut off; or known to differ.
FAR_FROM_PUBLISHED = {"shiftnet-b": 0.08, "shiftnet-c": 0.16}

every_network = pytest.mark.parametrize("name", list(NETWORKS))
smallest_first = pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[] if n in SMALLEST else pytest.mark.slow) for n in NETWORKS],
)


@pytest.mark.parametrize("name", list(COUNTS))
def test_counts_by_formula(name: str) -> None:
    network, (params, millions) = NETWORKS[name], COUNTS[name]
    cost = network.arch.cost(network.task)
    assert cost.params == params
    assert f"{cost.macs / 1e6:.{len(millions.partition('.')[2])}f}" == millions


@pytest.mark.parametrize(("base", "expand"), CIFAR)
def test_counts_of_cifar_networks(base: int, expand: int) -> None:
    params, macs, c, side = 27 * base, 27 * base * 32**2, base, 32
    for unit in range(9):
        out = base << (unit // 3)
        stride = 2 if unit in (3, 6) else 1
        small = side // stride
        convs = (c * out * expand, side), (out * expand * out, small)
        shortcut = ((c * out, small),) if stride == 2 else ()
        params += sum(weights for weights, _ in convs + shortcut)
        params += 2 * c + 2 * out * expand + 2 * out * expand  # norms, shifts
        macs += sum(weights * size**2 for weights, size in convs + shortcut)
        c, side = out, small
    network = NETWORKS[f"asresnet-{base}x{expand}"]
    cost = network.arch.cost(network.task)
    assert cost.params == params + 2 * c + 10 * c + 10
    assert cost.macs == macs + 10 * c


def test_every_network_is_counted() -> None:
    assert set(NETWORKS) == {*COUNTS, *(f"asresnet-{base}x{expand}" for base, expand in CIFAR)}


@every_network
def test_published_counts_are_near(name: str) -> None:
    network = NETWORKS[name]
    cost = network.arch.cost(network.task)
    for figure, ours in ((network.params, cost.params), (network.macs, cost.macs)):
        if figure is not None:
            assert figure.value == pytest.approx(ours, rel=FAR_FROM_PUBLISHED.get(name, 0.05))


@pytest.mark.parametrize(
    ("factor", "params"),
    [
        (0.5, 1_241_332),
        (1.0, 1_670_072),
        (1.25, 1_965_440),
        (1.5, 2_314_856),
        (2.0, 3_498_136),
    ],
)
def test_espnetv2_as_released_has_unused_parameters(factor: float, params: int) -> None:
    network = NETWORKS[f"espnetv2-{factor}"]
    assert network.arch.cost(network.task).params + unused(factor) == params
    assert f"Without {unused(factor):,} parameters" in network.departures


@pytest.mark.parametrize(
    ("factor", "params"),
    [
        (0.35, 1_663_048),
        (0.5, 1_950_136),
        (0.75, 2_609_784),
        (1.0, 3_470_760),
        (1.3, 5_342_536),
        (1.4, 6_060_840),
    ],
)
def test_mobilenetv2_as_published_without_norms(factor: float, params: int) -> None:
    network = NETWORKS[f"mobilenetv2-{factor}"]
    modules = build(network.arch, network.task).modules()
    norms = [m for m in modules if isinstance(m, nn.BatchNorm2d)]
    ours = network.arch.cost(network.task).params - 2 * sum(m.num_features for m in norms)
    assert ours == params
    assert network.params is not None
    assert round(ours, -4) == network.params.value


@every_network
def test_built_networks_have_the_parameters_the_macs_and_the_shape(name: str) -> None:
    """Counted on the modules that run, at the published input."""
    network = NETWORKS[name]
    built, macs = build(network.arch, network.task).eval(), 0

    def count(module: Any, _: Any, output: Tensor) -> None:
        nonlocal macs
        macs += output.numel() * module.weight[0].numel()

    for module in built.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(count)
    with torch.no_grad():
        found = built(torch.randn(1, *network.task.shape))
    cost = network.arch.cost(network.task)
    assert sum(p.numel() for p in built.parameters()) == cost.params
    assert macs == cost.macs
    assert found.shape == (1, network.task.classes)


@smallest_first
def test_macs_by_fvcore(name: str) -> None:
    network = NETWORKS[name]
    counted = fvcore_macs(build(network.arch, network.task), network.task)
    assert counted == {p.name: p.cost.macs for p in network.arch.parts(network.task)}


@every_network
def test_round_trips(name: str) -> None:
    arch = NETWORKS[name].arch
    assert Arch.from_json(arch.to_json()) == arch
    assert Arch.from_text(str(arch)) == arch


def test_digests_differ() -> None:
    same = NETWORKS["shufflenetv2-0.5"], NETWORKS["shufflenetv2-0.5-torchvision"]
    assert same[0].arch.digest != same[1].arch.digest
    assert len({network.arch.digest for _, network in NETWORKS.items()}) == len(NETWORKS)


@smallest_first
def test_a_step_of_training_reaches_every_parameter(name: str) -> None:
    network = NETWORKS[name]
    built = build(network.arch, network.task).train()
    loss = nn.functional.cross_entropy(built(images(4, network)), torch.arange(4))
    loss.backward()  # type: ignore[no-untyped-call]
    missed = [n for n, p in built.named_parameters() if p.grad is None or not p.grad.any()]
    assert missed == []
    assert all(p.grad is not None and p.grad.isfinite().all() for p in built.parameters())
    before = loss.item()
    torch.optim.SGD(built.parameters(), lr=0.01).step()
    with torch.no_grad():
        after = nn.functional.cross_entropy(built(images(4, network)), torch.arange(4))
    assert after.isfinite()
    assert after.item() != before


def test_the_residual_is_off_where_a_stage_strides_without_widening() -> None:
    built = build(mobilenetv2(0.35), Task(10, (3, 64, 64)))  # two stages of 8 channels in a row
    assert [built.parts[f"stage1_block{i}"].skip for i in (0, 1)] == [False, True]


@pytest.fixture(scope="module")
def torchvision_models() -> ModuleType:
    try:
        return import_module("torchvision.models")
    except (ImportError, RuntimeError) as error:  # RuntimeError: built for another torch
        pytest.skip(f"torchvision does not import: {error}")


@pytest.mark.parametrize("factor", [0.35, 0.5, 0.75, 1.0, 1.3, 1.4])
def test_mobilenetv2_computes_what_torchvisions_does(
    torchvision_models: Any, factor: float
) -> None:
    theirs = torchvision_models.mobilenet_v2(width_mult=factor)
    check_equal(NETWORKS[f"mobilenetv2-{factor}"], theirs)


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.5, 2.0])
def test_shufflenetv2_computes_what_torchvisions_does(
    torchvision_models: Any, factor: float
) -> None:
    theirs = getattr(torchvision_models, f"shufflenet_v2_x{factor}".replace(".", "_"))()
    check_equal(NETWORKS[f"shufflenetv2-{factor}-torchvision"], theirs)


@pytest.mark.parametrize("factor", [0.5, 1.0])
def test_shufflenetv2_computes_what_the_authors_code_does(factor: float) -> None:
    """Their units take even and odd channels apart, and put them behind one another."""
    network = NETWORKS[f"shufflenetv2-{factor}"]
    built, x = build(network.arch, network.task).eval(), images(2, network)
    with torch.no_grad():
        y = built(x)
        for name, part in built.parts.items():
            if not hasattr(part, "side"):
                x = part(x)
            elif name.endswith("block0"):
                x = torch.cat((part.side(x), part.main(x)), dim=1)
            else:
                even, odd = (x[:, range(first, x.shape[1], 2)] for first in (0, 1))
                x = torch.cat((even, part.main(odd)), dim=1)
    torch.testing.assert_close(y, x, atol=1e-5, rtol=1e-5)


def check_equal(network: Published, theirs: nn.Module) -> None:
    """Give both the same random weights, layer by layer as they are registered, and run them."""
    torch.manual_seed(0)
    ours = build(network.arch, network.task).eval()
    theirs.eval()
    for here, there in zip(layers(ours), layers(theirs), strict=True):
        assert type(here) is type(there)
        if isinstance(there, nn.BatchNorm2d):
            for tensor, low, high in (
                (there.weight, 0.5, 1.5),
                (there.bias, -0.5, 0.5),
                (there.running_mean, -0.5, 0.5),
                (there.running_var, 0.5, 2.0),
            ):
                assert tensor is not None
                nn.init.uniform_(tensor, low, high)
        here.load_state_dict(there.state_dict())
    x = images(2, network)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=1e-5)


def layers(network: nn.Module) -> list[nn.Module]:
    kinds = nn.Conv2d, nn.BatchNorm2d, nn.Linear
    return [module for module in network.modules() if isinstance(module, kinds)]


def images(batch: int, network: Published) -> Tensor:
    channels, *sides = network.task.shape
    sides = [min(64, side) for side in sides]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, channels, *sides, generator=generator)
    return x.to(memory_format=torch.channels_last)


def test_the_documentation_has_these_figures() -> None:
    page = (Path(__file__).parents[3] / "docs" / "networks.md").read_text("utf-8")
    assert figures() in page, "run python -m tools.networks_table"
    assert departures() in page, "run python -m tools.networks_table"
