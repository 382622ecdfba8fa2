"""The shifts in C++ against those in PyTorch, which have references of their own."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from search_spaces import _shift_compiled as compiled
from search_spaces._shift_compiled import Compiled
from search_spaces._shift_gradient import Form, moved
from search_spaces._shift_pure import Pure
from search_spaces.shift import ActiveShift, GroupedShift, Shift, SparseShift

LAST = torch.channels_last


@pytest.fixture(autouse=True)
def _threads(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.delenv("NAS_COMPILE", raising=False)
    if compiled.library() is None:
        pytest.skip("no C++ compiler that works")
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def run(form: Form, maps: tuple[Tensor, ...], grad: Tensor, *, normalise: bool = False) -> Any:
    """Return the moved map and the gradients of the map and its offsets."""
    x, dy, dx = (t.detach().clone().requires_grad_() for t in maps)
    y = moved(form, x, dy, dx, normalise=normalise)
    y.backward(grad.to(y.dtype))
    with torch.no_grad():
        again = moved(form, x, dy, dx)
    torch.testing.assert_close(again, y.detach(), atol=0, rtol=0, equal_nan=True)
    return y.detach(), x.grad, dy.grad, dx.grad


@st.composite
def cases(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, bool], float, int]:
    """Draw the shape of a map, (stride, rounded), the size of offsets, and a seed."""
    side = st.sampled_from((1, 2, 3, 5, 8, 13))
    channels = st.sampled_from((1, 3, 4, 7, 8, 15, 16, 17, 27, 44))
    shape = draw(st.tuples(st.integers(1, 3), channels, side, side))
    options = draw(st.sampled_from(((1, True), (1, False), (2, False), (3, False))))
    return shape, options, draw(st.sampled_from((0.9, 2, 4, 30, 1e9))), draw(st.integers(0, 999))


@settings(max_examples=60, deadline=None)
@given(cases(), st.sampled_from((1, 2)), st.sampled_from((1, 3)), st.booleans())
def test_equals_the_pure_form(case: Any, threads: int, whole: int, normalise: bool) -> None:
    shape, (stride, rounded), size, seed = case
    generator = torch.Generator().manual_seed(seed)
    torch.set_num_threads(threads)
    offsets = size * (2 * torch.rand(2, shape[1], generator=generator) - 1)
    offsets[:, ::whole].round_()  # on the lattice: all or a third
    x = torch.randn(shape, generator=generator).to(memory_format=LAST)
    assert compiled.usable(x, offsets[0])
    out = *shape[:2], math.ceil(shape[2] / stride), math.ceil(shape[3] / stride)
    grad, maps = torch.randn(out, generator=generator), (x, *offsets)
    found = run(Compiled(stride, 1, rounded), maps, grad, normalise=normalise)
    double = tuple(t.double() for t in maps)
    wanted = run(Pure(stride, 1, rounded), double, grad, normalise=normalise)
    for i, (ours, theirs) in enumerate(zip(found, wanted, strict=True)):
        if rounded and i < 2:  # nothing is computed
            assert torch.equal(ours.double(), theirs)
        torch.testing.assert_close(ours.double(), theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("shape", [(2, 60, 7, 9), (2, 60, 2, 1), (40, 48, 20, 16)])
@pytest.mark.parametrize(("kernel", "dilation"), [(3, 1), (3, 2), (5, 1), (5, 3), (7, 2)])
def test_grouped_shift_equals_the_pure_form(
    kernel: int, dilation: int, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    shift, results = GroupedShift(shape[1], kernel, dilation), []
    x = torch.randn(shape).to(memory_format=LAST).requires_grad_()
    grad = torch.randn(shape)  # channels first
    for form in "01":
        monkeypatch.setenv("NAS_COMPILE", form)
        y = shift(x)
        results.append((y.detach(), *torch.autograd.grad(y, x, grad)))
    assert all(map(torch.equal, *results))


def test_whole_offsets_give_the_same_bits_on_large_maps() -> None:
    """Beyond the size from which maps are written past the caches."""
    for channels in (60, 64):
        x = torch.randn(3, channels, 56, 56).to(memory_format=LAST)
        offsets = torch.randint(-3, 4, (2, channels)).float()
        pure, ours = (form(1, 1, True).move(x, *offsets) for form in (Pure, Compiled))
        assert torch.equal(pure, ours)
        pure, ours = (form(1, 1, True).back(x, *offsets, x.shape) for form in (Pure, Compiled))
        assert torch.equal(pure, ours)


def test_results_do_not_depend_on_the_threads() -> None:
    x = torch.randn(4, 24, 30, 30).to(memory_format=LAST)
    maps, grad = (x, torch.randn(24), torch.randn(24)), torch.randn_like(x)
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        results.append(run(Compiled(), maps, grad))
    for result in results[1:]:
        assert all(map(torch.equal, result, results[0]))


@pytest.mark.parametrize("channels", [4, 20])
def test_an_offset_that_is_not_a_number_shows(channels: int) -> None:
    offsets = torch.full((channels,), 0.5)
    offsets[1:4] = torch.tensor([float("nan"), float("inf"), -float("inf")])
    x = torch.ones(1, channels, 3, 3).to(memory_format=LAST)
    for form in (Compiled(), Pure()):
        y, *grads = run(form, (x, offsets, torch.zeros(channels)), torch.ones_like(x))
        for made in (y, grads[0]):
            assert made[:, 1].isnan().any()
            assert made[:, 2:4].eq(0).all()
            assert made[:, 0].isfinite().all()
            assert made[:, 4:].isfinite().all()
    offsets[2:4] = -0.5  # so that nothing far is left
    known = offsets.nan_to_num(0.0)
    others = [i for i in range(channels) if i != 1]
    for form in (Compiled(), Pure()):
        moved = (form.move(x, o, torch.zeros(channels))[:, others] for o in (offsets, known))
        assert torch.equal(*moved)
    offsets[2:4] = torch.tensor([float("inf"), -float("inf")])
    _, _, by_y, by_x = run(Compiled(), (x, offsets, torch.zeros(channels)), torch.ones_like(x))
    assert by_y[1].isnan()
    assert torch.cat((by_y[2:], by_x[2:], by_y[:1])).isfinite().all()


def test_only_plain_maps_on_the_cpu_are_usable() -> None:
    offsets = torch.zeros(4)
    x = torch.randn(2, 4, 5, 5).to(memory_format=torch.channels_last)
    assert compiled.usable(x, offsets)
    assert compiled.usable(x[1:], offsets)
    assert not compiled.usable(x.contiguous(), offsets)
    assert not compiled.usable(x[:, :2], torch.zeros(2))
    assert not compiled.usable(x, torch.zeros(5))
    assert not compiled.usable(x[:0], offsets)
    assert not compiled.usable(x.double(), offsets)
    assert not compiled.usable(x, offsets.double())
    assert not compiled.usable(x.to("meta"), offsets)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not compiled.usable(x, offsets)


@pytest.mark.parametrize("shift", [GroupedShift(20), ActiveShift(20, 2), SparseShift(20)])
def test_other_layouts_give_the_same(shift: Shift) -> None:
    x = torch.randn(2, 40, 6, 5)[:, ::2]
    last = x.to(memory_format=torch.channels_last)
    assert compiled.usable(last, torch.zeros(20))
    torch.testing.assert_close(shift(x), shift(last))


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("shift", [GroupedShift(20), ActiveShift(20, 2), SparseShift(20)])
def test_a_tracer_sees_the_pure_form(shift: Shift) -> None:
    x = torch.randn(2, 20, 6, 5).to(memory_format=torch.channels_last)
    with torch.no_grad():
        traced = torch.jit.trace(shift.eval(), x, check_trace=False)
    torch.testing.assert_close(traced(x), shift(x).detach())


def test_it_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    x, offsets = torch.zeros(1, 9, 4, 4).contiguous(memory_format=LAST), torch.zeros(9)
    assert compiled.usable(x, offsets)
    monkeypatch.setenv("NAS_COMPILE", "0")
    assert not compiled.usable(x, offsets)


@pytest.mark.parametrize("shift", [GroupedShift(9), ActiveShift(9), SparseShift(9)])
def test_the_defaults_of_type_and_device_do_not_matter(shift: Shift) -> None:
    x = torch.randn(2, 9, 8, 8).contiguous(memory_format=LAST).requires_grad_()
    grad, inputs = torch.randn(2, 9, 8, 8), [x, *shift.shift_parameters()]
    expected = torch.autograd.grad(shift(x), inputs, grad)
    torch.set_default_dtype(torch.bfloat16)
    torch.set_default_device("meta")
    try:
        found = torch.autograd.grad(shift(x), inputs, grad)
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    assert all(map(torch.equal, found, expected))


@pytest.mark.parametrize("shift", [GroupedShift(9), ActiveShift(9), SparseShift(9)])
def test_a_second_derivative_is_refused(shift: Shift) -> None:
    x = torch.randn(2, 9, 8, 8).contiguous(memory_format=LAST).requires_grad_()
    (grad,) = torch.autograd.grad(shift(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


def test_offsets_changed_before_the_gradient_are_refused() -> None:
    shift = ActiveShift(9)
    y = shift(torch.randn(2, 9, 8, 8).contiguous(memory_format=LAST))
    with torch.no_grad():
        shift.alpha.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_strided_offsets_are_read_as_they_are() -> None:
    x, both = torch.randn(2, 9, 8, 8).contiguous(memory_format=LAST), torch.randn(9, 2)
    strided = moved(Compiled(), x, both[:, 0], both[:, 1])
    assert torch.equal(strided, moved(Compiled(), x, *both.T.contiguous()))


def test_one_offset_may_learn_alone() -> None:
    shift = ActiveShift(9)
    shift.beta.requires_grad_(False)
    shift(torch.randn(2, 9, 8, 8).contiguous(memory_format=LAST)).sum().backward()
    assert shift.alpha.grad is not None
