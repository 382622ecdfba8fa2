"""The shifts in C++ against those in PyTorch, which have references of their own."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor

from search_spaces import _shift_compiled as compiled
from search_spaces import _shift_pure as pure
from search_spaces.shift import ActiveShift, GroupedShift, Shift, SparseShift

if TYPE_CHECKING:
    from collections.abc import Callable


SIZES = (1, 2, 5, 8, 13)


@pytest.fixture(autouse=True)
def _threads(monkeypatch: pytest.MonkeyPatch) -> Any:
    if compiled.library() is None:
        pytest.skip("no C++ compiler that works")
    monkeypatch.setenv("NAS_COMPILE", "1")
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def run(form: Callable[..., Tensor], maps: tuple[Tensor, ...], grad: Tensor, options: Any) -> Any:
    x, dy, dx = (t.detach().clone().requires_grad_() for t in maps)
    y = form(x, dy, dx, **options)
    y.backward(grad.to(y.dtype))
    with torch.no_grad():
        assert torch.equal(form(x, dy, dx, **options), y)
    return y.detach(), x.grad, dy.grad, dx.grad


@pytest.mark.parametrize("seed", range(24))
def test_equals_the_pure_form(seed: int) -> None:
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    torch.set_num_threads(rng.choice((1, 2)))
    b, c, h, w = rng.randint(1, 3), rng.choice((1, 3, 8, 16, 27, 44)), *rng.choices(SIZES, k=2)
    rounded = rng.random() < 0.5
    stride = 1 if rounded else rng.choice((1, 2, 3))
    options = {"stride": stride, "rounded": rounded, "normalise": rng.random() < 0.3}
    offsets = rng.choice((0.9, 2.0, 4.0, 30.0)) * (2 * torch.rand(2, c, generator=generator) - 1)
    offsets[:, :: rng.choice((1, 3))].round_()  # on the lattice
    x = torch.randn(b, c, h, w, generator=generator).to(memory_format=torch.channels_last)
    grad = torch.randn(pure.move(x, *offsets, stride=stride).shape, generator=generator)
    maps = x, *offsets
    found = run(compiled.shift, maps, grad, options)
    wanted = run(pure.shift, tuple(t.double() for t in maps), grad, options)
    for i, (ours, theirs) in enumerate(zip(found, wanted, strict=True)):
        if rounded and i < 2:  # nothing is computed
            assert torch.equal(ours.double(), theirs)
        torch.testing.assert_close(ours.double(), theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("kernel", "dilation"), [(3, 1), (3, 2), (5, 1), (5, 3)])
def test_grouped_shift_equals_the_pure_form(kernel: int, dilation: int) -> None:
    shift = GroupedShift(60, kernel, dilation)
    x = torch.randn(2, 60, 7, 9).to(memory_format=torch.channels_last).requires_grad_()
    y = shift(x)
    assert torch.equal(y, pure.shift_fixed(x, shift.kernel, dilation))
    grad = torch.randn(2, 60, 7, 9)  # channels first
    expected = torch.autograd.grad(pure.shift_fixed(x, shift.kernel, dilation), x, grad)
    assert torch.equal(*torch.autograd.grad(y, x, grad), *expected)


def test_gradients_do_not_depend_on_the_threads() -> None:
    x = torch.randn(4, 24, 30, 30).to(memory_format=torch.channels_last)
    maps, grad = (x, torch.randn(24), torch.randn(24)), torch.randn_like(x)
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        results.append(run(compiled.shift, maps, grad, {}))
    for result in results[1:]:
        assert all(map(torch.equal, result, results[0]))


def test_an_offset_that_is_not_a_number_shows() -> None:
    offsets = torch.tensor([0.5, float("nan"), float("inf"), -float("inf")])
    x = torch.ones(1, 4, 3, 3).to(memory_format=torch.channels_last)
    for form in (compiled.shift, pure.shift):
        y = form(x, offsets, torch.zeros(4))
        assert y[:, 1].isnan().any()
        assert y[:, 2:].eq(0).all()
        assert y[:, 0].isfinite().all()


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


LAST = torch.channels_last


def test_it_is_off_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    x, offsets = torch.zeros(1, 9, 4, 4).contiguous(memory_format=LAST), torch.zeros(9)
    assert compiled.usable(x, offsets)
    monkeypatch.delenv("NAS_COMPILE")
    assert not compiled.usable(x, offsets)


@pytest.mark.parametrize("shift", [GroupedShift(9), ActiveShift(9), SparseShift(9)])
def test_a_map_of_other_channels_is_refused(shift: Shift) -> None:
    with pytest.raises(RuntimeError):
        shift(torch.zeros(2, 20, 8, 8).contiguous(memory_format=LAST))


def test_the_default_type_does_not_matter() -> None:
    x, shift = torch.randn(2, 9, 8, 8).contiguous(memory_format=LAST), GroupedShift(9)
    expected = shift(x)
    torch.set_default_dtype(torch.bfloat16)
    try:
        found = shift(x)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(found, expected)


def test_strided_offsets_are_read_as_they_are() -> None:
    x, both = torch.randn(2, 9, 8, 8).contiguous(memory_format=LAST), torch.randn(9, 2)
    strided = compiled.shift(x, both[:, 0], both[:, 1])
    assert torch.equal(strided, compiled.shift(x, *both.T.contiguous()))


def test_one_offset_may_learn_alone() -> None:
    shift = ActiveShift(9)
    shift.beta.requires_grad_(False)
    shift(torch.randn(2, 9, 8, 8).contiguous(memory_format=LAST)).sum().backward()
    assert shift.alpha.grad is not None
