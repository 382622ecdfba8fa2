"""Tests for blocks, ready to use on your own: a contract in three lines, and a hypothesis strategy.

::

    class TestMyBlock(BlockContract):
        block = MyBlock

Needs pytest, hypothesis, fvcore, onnx and onnxruntime. Most of the product of knobs and sites
carries the pytest marker `slow`, and the tests of ONNX export carry `export`.
"""

from __future__ import annotations

import io
import json
import random
import warnings
from dataclasses import fields, replace
from functools import cache
from math import lcm
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from .arch import Arch, Stage
from .block import Block, Site
from .errors import SpecError
from .heads import Head
from .shift import Shift
from .space import variants
from .stems import Stem

if TYPE_CHECKING:
    from collections import Counter

    from .space import Space

POOLS = nn.AvgPool2d, nn.MaxPool2d, nn.AdaptiveAvgPool2d
COUNTED = nn.Conv2d, nn.Linear, Shift, *POOLS
BATCH = 3


def archs(space: Space) -> st.SearchStrategy[Arch]:
    """Return a hypothesis strategy for the architectures of `space`."""

    @st.composite
    def drawn(draw: st.DrawFn) -> Arch:
        return space.draw(lambda _, choices: draw(st.sampled_from(choices)))

    return drawn()


class BlockContract:
    """What every block must do, over the product of its knobs and a few sites.

    Attributes:
        block: the class under test, set by the subclass.
    """

    block: ClassVar[type[Block]]

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Spread the tests that take `spec`, or `spec` and `site`, over the block's variants."""
        specs = list(variants(self.block.over()))
        if "site" in metafunc.fixturenames:
            rounds = 1 if metafunc.function.__name__ == "test_export_agrees" else 2
            metafunc.parametrize(("spec", "site"), _cases(specs, rounds), ids=_identify)
        elif "spec" in metafunc.fixturenames:
            metafunc.parametrize("spec", specs, ids=_identify)

    def test_shape_and_memory_format(self, spec: Block, site: Site) -> None:
        """The output has the site's shape, and every map within is channels-last like the input."""
        traced = _trace(spec, site)
        assert traced.shape == (site.c_out, *site.hw_out)
        assert traced.channels_first == []

    def test_params_are_exact(self, spec: Block, site: Site) -> None:
        """The formula gives the number of elements of the module's parameters."""
        assert spec.cost(site).params == sum(p.numel() for p in _build(spec, site).parameters())

    def test_macs_are_exact(self, spec: Block, site: Site) -> None:
        """The formula gives what fvcore counts for convolutions and linear layers."""
        assert spec.cost(site).macs == count_macs(_build(spec, site), *_inputs(spec, site, 1))

    def test_memory_is_exact(self, spec: Block, site: Site) -> None:
        """The formula gives what layers read and write, and a peak that layers and merges allow."""
        cost, traced = spec.cost(site), _trace(spec, site)
        assert cost.memory_access == sum(traced.activations) + traced.weights
        image = site.image[0] * site.image[1] * site.image[2] if spec.wants_image else 0
        held = site.elements_in + site.c_out * site.hw_out[0] * site.hw_out[1] + image
        largest = max(traced.activations)
        assert largest <= cost.peak_activations <= largest + held

    def test_every_parameter_learns(self, spec: Block, site: Site) -> None:
        """A step of training reaches every parameter, and the input."""
        module = _build(spec, site).train()
        x, *rest = _inputs(spec, site, BATCH)
        y = module(x.requires_grad_(), *rest)
        y.backward(torch.randn(y.shape, generator=torch.Generator().manual_seed(1)))
        grads = {name: p.grad for name, p in module.named_parameters()} | {"input": x.grad}
        bad = [name for name, grad in grads.items() if grad is None or not grad.isfinite().all()]
        assert bad == []

    def test_evaluation_is_deterministic(self, spec: Block, site: Site) -> None:
        """Two passes in evaluation mode agree, and one image's output ignores the others."""
        module, inputs = _build(spec, site).eval(), _inputs(spec, site, BATCH)
        with torch.no_grad():
            first, second, alone = (
                module(*inputs),
                module(*inputs),
                module(*(i[:1] for i in inputs)),
            )
        assert torch.equal(first, second)
        torch.testing.assert_close(first[:1], alone, atol=1e-5, rtol=1e-5)

    def test_round_trips(self, spec: Block) -> None:
        """JSON and the one-line text give the block back."""
        arch = _arch(spec, 4 * spec.multiple_of)
        assert Arch.from_json(arch.to_json()) == arch
        assert Arch.from_text(str(arch)) == arch

    def test_illegal_channels_are_refused(self, spec: Block) -> None:
        """A width that is no multiple of `multiple_of` never reaches a module."""
        multiple = spec.multiple_of
        if multiple > 1:
            with pytest.raises(SpecError, match=f"multiples of {multiple}, but got"):
                _arch(spec, 4 * multiple + 1)

    def test_illegal_values_are_refused(self) -> None:
        """A field takes no other type than its default's, and no number below 1."""
        spec = self.block()
        for f in fields(spec):  # type: ignore[arg-type]  # blocks are dataclasses
            with pytest.raises(SpecError, match=f"`{f.name}` .* must be of type"):
                replace(spec, **{f.name: None})  # type: ignore[type-var]
            if type(f.default) is int:
                with pytest.raises(SpecError, match=f"`{f.name}` .* must be at least 1"):
                    replace(spec, **{f.name: 0})  # type: ignore[type-var]

    def test_unknown_fields_are_refused(self) -> None:
        """A misspelt field in a file is not ignored."""
        plain = json.loads(_arch(self.block(), 4 * self.block().multiple_of).to_json())
        plain["stages"][0]["blocks"][0]["misspelt"] = 1
        with pytest.raises(SpecError, match=r"\$\.stages\[0\]\.blocks\[0\].*'misspelt'"):
            Arch.from_json(json.dumps(plain))

    @pytest.mark.export
    def test_export_agrees(self, spec: Block, site: Site) -> None:
        """ONNX Runtime computes what PyTorch does."""
        module, inputs = _build(spec, site), _inputs(spec, site, 1)
        for norm in module.modules():
            if isinstance(norm, nn.BatchNorm2d):  # so that folding it into a convolution matters
                norm.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
        module.eval()
        with torch.no_grad():
            expected = module(*inputs)
        torch.testing.assert_close(run_onnx(module, *inputs), expected, atol=1e-4, rtol=1e-4)


def count_macs(module: nn.Module, *inputs: Tensor) -> int:
    """Return fvcore's count for convolutions and linear layers, shifts left out."""
    from fvcore.nn import FlopCountAnalysis

    analysis = FlopCountAnalysis(module.eval(), inputs)
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        counts: dict[str, Counter[str]] = analysis.by_module_and_operator()
    total = counts[""]["conv"] + counts[""]["linear"]
    shifts = [name for name, child in module.named_modules() if isinstance(child, Shift)]
    return int(total - sum(counts[name]["conv"] for name in shifts))


def export_onnx(module: nn.Module, *inputs: Tensor) -> bytes:
    """Return `module` in evaluation mode as an ONNX file, its inputs called `input0` and so on."""
    file = io.BytesIO()
    names = [f"input{i}" for i in range(len(inputs))]
    options: dict[str, Any] = {"f": file, "input_names": names, "opset_version": 17}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the exporter that is fast
        # Sizes of maps become constants, as they should.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        torch.onnx.export(module.eval(), inputs, dynamo=False, **options)
    return file.getvalue()


def run_onnx(module: nn.Module, *inputs: Tensor) -> Tensor:
    """Return what ONNX Runtime computes after an export of `module`."""
    import onnxruntime

    graph = export_onnx(module, *inputs)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    feed = {f"input{i}": x.numpy() for i, x in enumerate(inputs)}
    known = {i.name for i in session.get_inputs()}  # an input that is not read is not kept
    return torch.from_numpy(session.run(None, {k: x for k, x in feed.items() if k in known})[0])


class _Trace(NamedTuple):
    """What forward hooks saw at batch 1."""

    shape: tuple[int, ...]
    activations: list[int]  # of each counted layer: input and output
    weights: int
    channels_first: list[str]  # modules whose output is not channels-last


@cache
def _trace(spec: Block, site: Site) -> _Trace:
    module, activations, weights = _build(spec, site), [], []
    names = {child: name for name, child in module.named_modules()}
    channels_first = []

    def look(child: nn.Module, inputs: tuple[Tensor, ...], y: Tensor) -> None:
        if y.ndim == 4 and y.shape[1] > 1 and y.shape[2:] != (1, 1) and y.stride(1) > 1:
            channels_first.append(names[child])
        if isinstance(child, COUNTED):
            activations.append((inputs[0].numel() + y.numel()) // BATCH)
            weight = getattr(child, "weight", None)
            weights.append(0 if weight is None else weight.numel())

    for child in module.modules():
        child.register_forward_hook(look)
    y = module(*_inputs(spec, site, BATCH))
    return _Trace(tuple(y.shape[1:]), activations, sum(weights), channels_first)


def _build(spec: Block, site: Site) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = spec.build(site)
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _inputs(spec: Block, site: Site, batch: int) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(site.c_in, *site.hw), *([site.image] if spec.wants_image else [])]
    maps = (torch.randn(batch, *shape, generator=generator) for shape in shapes)
    return tuple(x.to(memory_format=torch.channels_last) for x in maps)


def _sites(multiple: int) -> list[Site]:
    """Return sites of both strides; widths stay, grow and shrink; maps are odd, even and tiny."""
    c = lcm(8, multiple)
    return [
        _site(2 * c, 2 * c, 1, (6, 5)),
        _site(c, 3 * c, 1, (5, 5)),
        _site(3 * c, c, 1, (4, 7)),
        _site(2 * c, 2 * c, 2, (7, 6)),
        _site(c, 2 * c, 2, (7, 7)),
        _site(c, 3 * c, 2, (8, 5)),
        _site(2 * c, c, 2, (6, 8)),
        _site(c, c, 1, (1, 1)),
        _site(c, 2 * c, 2, (1, 1)),
    ]


def _site(c_in: int, c_out: int, stride: int, hw: tuple[int, int]) -> Site:
    return Site(c_in, c_out, stride, hw, image=(3, 2 * hw[0], 2 * hw[1]))


def _cases(specs: list[Block], rounds: int) -> list[Any]:
    """Return all pairs of variants and sites; of each site `rounds` are not marked slow."""
    rng = random.Random(0)
    cases = []
    for index in range(len(_sites(1))):
        fast = rng.sample(range(len(specs)), min(rounds, len(specs)))
        for i, spec in enumerate(specs):
            marks = [] if i in fast else [pytest.mark.slow]
            cases.append(pytest.param(spec, _sites(spec.multiple_of)[index], marks=marks))
    return cases


def _identify(value: object) -> str:
    if isinstance(value, Site):
        return f"{value.c_in}to{value.c_out}s{value.stride}on{value.hw[0]}x{value.hw[1]}"
    return ",".join(f"{k}={v}" for k, v in vars(value).items())


def _arch(spec: Block, width: int) -> Arch:
    stages = Stage(width, 1, (spec, spec)), Stage(2 * width, 2, (spec,))
    return Arch(Stem(width), stages, Head(16))
