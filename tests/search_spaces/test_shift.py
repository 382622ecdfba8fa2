"""The shifts against slow references written from the papers' formulas."""

from __future__ import annotations

import math
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor

from search_spaces import _shift_compiled
from search_spaces._shift_pure import Pure
from search_spaces.errors import SpecError
from search_spaces.shift import ActiveShift, GroupedShift, Shift, SparseShift, grouped_offsets
from search_spaces.testing import export_onnx, run_onnx

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = [(4, 5), (3, 3), (1, 1), (7, 2)]
LARGE = [0.3, -0.7, 1.4, -2.6, 5.5, -9.3, 0.0, -1.0, 2.0, 31.7]


def at(x: Tensor, b: int, c: int, row: int, column: int) -> float:
    """Return an element, 0 outside the map."""
    inside = 0 <= row < x.shape[2] and 0 <= column < x.shape[3]
    return float(x[b, c, row, column]) if inside else 0.0


def move(x: Tensor, dy: list[float], dx: list[float]) -> Tensor:
    """Shift by integers."""
    y = torch.empty_like(x)
    for b, c, h, w in torch.cartesian_prod(*map(torch.arange, x.shape)).tolist():
        y[b, c, h, w] = at(x, b, c, h + int(dy[c]), w + int(dx[c]))
    return y


def interpolate(x: Tensor, dy: list[float], dx: list[float], stride: int = 1) -> Tensor:
    """Shift by real offsets, bilinear."""
    h_out, w_out = math.ceil(x.shape[2] / stride), math.ceil(x.shape[3] / stride)
    y = x.new_empty(*x.shape[:2], h_out, w_out)
    for b, c, h, w in torch.cartesian_prod(*map(torch.arange, y.shape)).tolist():
        row, column = h * stride + math.floor(dy[c]), w * stride + math.floor(dx[c])
        fy, fx = dy[c] - math.floor(dy[c]), dx[c] - math.floor(dx[c])
        y[b, c, h, w] = (
            at(x, b, c, row, column) * (1 - fx) * (1 - fy)
            + at(x, b, c, row, column + 1) * fx * (1 - fy)
            + at(x, b, c, row + 1, column) * (1 - fx) * fy
            + at(x, b, c, row + 1, column + 1) * fx * fy
        )
    return y


def gradients(
    x: Tensor, dy: list[float], dx: list[float], grad: Tensor, stride: int = 1
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of `interpolate` by the map and by the offsets, from the right."""
    by_x, by_dy, by_dx = torch.zeros_like(x), x.new_zeros(len(dy)), x.new_zeros(len(dx))
    for b, c, h, w in torch.cartesian_prod(*map(torch.arange, grad.shape)).tolist():
        row, column = h * stride + math.floor(dy[c]), w * stride + math.floor(dx[c])
        fy, fx = dy[c] - math.floor(dy[c]), dx[c] - math.floor(dx[c])
        for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
            weight_y, weight_x = (fy if i else 1 - fy), (fx if j else 1 - fx)
            if 0 <= row + i < x.shape[2] and 0 <= column + j < x.shape[3]:
                by_x[b, c, row + i, column + j] += grad[b, c, h, w] * weight_y * weight_x
            value = grad[b, c, h, w] * at(x, b, c, row + i, column + j)
            by_dy[c] += value * (1 if i else -1) * weight_x
            by_dx[c] += value * (1 if j else -1) * weight_y
    return by_x, by_dy, by_dx


def maps(
    channels: int,
    hw: tuple[int, int],
    requires_grad: bool = False,
    dtype: torch.dtype = torch.double,
) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, channels, *hw, dtype=torch.double, generator=generator).to(dtype)
    return x.to(memory_format=torch.channels_last).requires_grad_(requires_grad)


@pytest.fixture(params=["pure", "compiled"])
def dtype(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> torch.dtype:
    """Type of maps that take a form, and no other."""
    monkeypatch.setenv("NAS_COMPILE", "0" if request.param == "pure" else "1")
    if request.param == "pure":
        return torch.double
    if _shift_compiled.library() is None:
        pytest.skip("no C++ compiler that works")
    monkeypatch.setattr(Pure, "move", None)
    return torch.float32


def set_offsets(shift: Shift, dy: list[float], dx: list[float]) -> None:
    with torch.no_grad():
        for parameter, values in zip(shift.shift_parameters(), (dy, dx), strict=True):
            parameter.copy_(torch.tensor(values))


class TestGrouped:
    def test_directions_of_the_paper(self) -> None:
        dy, dx = grouped_offsets(20, 3)  # two channels in each direction, two that stay
        directions = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
        assert list(zip(dy.tolist(), dx.tolist(), strict=True)) == 2 * directions + 2 * [(0, 0)]

    def test_fewer_channels_than_directions_stay(self) -> None:
        x = maps(8, (4, 4))
        assert torch.equal(GroupedShift(8).double()(x), x)

    @pytest.mark.parametrize("hw", SIZES)
    @pytest.mark.parametrize(("kernel", "dilation"), [(3, 1), (3, 2), (5, 1), (5, 2)])
    def test_equals_the_reference(
        self, kernel: int, dilation: int, hw: tuple[int, int], dtype: torch.dtype
    ) -> None:
        channels = kernel**2 + 2
        steps = grouped_offsets(channels, kernel)
        dy, dx = ((dilation * step).tolist() for step in steps)
        x = maps(channels, hw, requires_grad=True, dtype=dtype)
        y = GroupedShift(channels, kernel, dilation).to(dtype)(x)
        assert torch.equal(y, move(x.detach(), dy, dx))
        grad = maps(channels, hw, dtype=dtype).flip(0)
        y.backward(grad)
        assert torch.equal(x.grad, move(grad, [-d for d in dy], [-d for d in dx]))

    def test_has_no_parameters_and_no_state(self) -> None:
        shift = GroupedShift(9)
        assert not list(shift.parameters())
        assert not shift.state_dict()
        assert shift.shift_parameters() == ()


class TestActive:
    @pytest.mark.parametrize("hw", SIZES)
    @pytest.mark.parametrize("stride", [1, 2])
    def test_equals_the_reference(
        self, stride: int, hw: tuple[int, int], dtype: torch.dtype
    ) -> None:
        shift = ActiveShift(len(LARGE), stride, normalise=False).to(dtype)
        set_offsets(shift, LARGE, LARGE[3:] + LARGE[:3])
        dy, dx = (p.tolist() for p in shift.shift_parameters())
        x = maps(len(LARGE), hw, requires_grad=True, dtype=dtype)
        y, expected = shift(x), interpolate(x.detach(), dy, dx, stride)
        torch.testing.assert_close(y, expected)
        torch.testing.assert_close(shift.eval()(x.detach()), expected)
        grad = y.detach().flip(0)
        y.backward(grad)
        found = x.grad, shift.beta.grad, shift.alpha.grad
        wanted = gradients(x.detach().double(), dy, dx, grad.double(), stride)
        for ours, theirs in zip(found, wanted, strict=True):
            torch.testing.assert_close(ours, theirs.to(dtype), atol=1e-5, rtol=1e-5)

    @pytest.mark.parametrize("hw", SIZES)
    @pytest.mark.parametrize("stride", [1, 2])
    @pytest.mark.parametrize("scale", [0.9, 1.8, 4.6])  # 3x3, 5x5 and separate kernels
    def test_gradients(self, scale: float, stride: int, hw: tuple[int, int]) -> None:
        shift = ActiveShift(4, stride, normalise=False).double()
        offsets = [torch.tensor([0.3, -0.9, 0.6, -0.2]), torch.tensor([-0.4, 0.7, 0.1, -0.8])]
        set_offsets(shift, *((scale * o).tolist() for o in offsets))

        def moved(x: Tensor, beta: Tensor, alpha: Tensor) -> Tensor:
            values = {"beta": beta, "alpha": alpha}
            return torch.func.functional_call(shift, values, (x,))

        inputs = maps(4, hw, requires_grad=True), *shift.shift_parameters()
        assert torch.autograd.gradcheck(moved, inputs)

    def test_gradient_on_the_lattice_is_that_from_the_right(self, dtype: torch.dtype) -> None:
        shift = ActiveShift(1, normalise=False).to(dtype)
        set_offsets(shift, [0.0], [0.0])
        x = torch.arange(12.0, dtype=dtype).view(1, 1, 3, 4)
        shift(x)[0, 0, 1, 1].backward()
        assert (shift.beta.grad.item(), shift.alpha.grad.item()) == (4.0, 1.0)

    def test_normalised_gradients_have_norm_one_or_zero(self, dtype: torch.dtype) -> None:
        shift, x = ActiveShift(3).to(dtype), maps(3, (5, 5), dtype=dtype)
        weights = torch.tensor([1.0, 1e-6, 0.0], dtype=dtype)
        (shift(x) * weights[:, None, None] * x).sum().backward()
        norm = torch.hypot(shift.alpha.grad, shift.beta.grad)
        torch.testing.assert_close(norm, torch.tensor([1.0, 1.0, 0.0], dtype=dtype))

    def test_initial_offsets(self) -> None:
        offsets = torch.cat(ActiveShift(1000).shift_parameters()).detach()
        assert offsets.abs().max() <= 1
        assert abs(float(offsets.std(correction=0)) - 1 / math.sqrt(3)) < 0.03


class TestSparse:
    @pytest.mark.parametrize("hw", SIZES)
    def test_equals_the_reference_and_rounds_half_away_from_zero(
        self, hw: tuple[int, int], dtype: torch.dtype
    ) -> None:
        shift = SparseShift(6).to(dtype)
        set_offsets(shift, [0.5, -0.5, 1.5, -2.5, 0.49, 7.0], [-1.5, 2.5, 0.2, -0.49, -9.0, 0.5])
        x = maps(6, hw, requires_grad=True, dtype=dtype)
        dy, dx = [1, -1, 2, -3, 0, 7], [-2, 3, 0, 0, -9, 1]
        expected = move(x.detach(), dy, dx)
        y = shift(x)
        assert torch.equal(y, expected)
        assert torch.equal(shift.eval()(x.detach()), expected)
        grad = maps(6, hw, dtype=dtype).flip(0)
        y.backward(grad)
        assert torch.equal(x.grad, move(grad, [-d for d in dy], [-d for d in dx]))
        real = (p.tolist() for p in shift.shift_parameters())
        _, *wanted = gradients(x.detach().double(), *real, grad.double())
        for ours, theirs in zip((shift.a.grad, shift.b.grad), wanted, strict=True):
            torch.testing.assert_close(ours, theirs.to(dtype), atol=1e-5, rtol=1e-5)

    @pytest.mark.parametrize("hw", SIZES)
    @pytest.mark.parametrize("scale", [0.9, 1.8, 4.6])
    def test_offsets_get_the_bilinear_gradient(self, scale: float, hw: tuple[int, int]) -> None:
        sparse, active = SparseShift(5).double(), ActiveShift(5, normalise=False).double()
        offsets = torch.linspace(-scale, scale, 5), torch.linspace(scale, -scale / 2, 5)
        for shift in (sparse, active):
            set_offsets(shift, *(o.tolist() for o in offsets))
            shift(maps(5, hw)).backward(maps(5, hw).flip(0))
        torch.testing.assert_close(sparse.a.grad, active.beta.grad)
        torch.testing.assert_close(sparse.b.grad, active.alpha.grad)

    def test_grouped_initialisation(self) -> None:
        shift = SparseShift(20)
        rows, columns = (p.tolist() for p in shift.shift_parameters())
        assert rows == [-1.0] * 6 + [0.0] * 6 + [1.0] * 6 + [0.0] * 2
        assert columns == [-1.0, -1.0, 0.0, 0.0, 1.0, 1.0] * 3 + [0.0] * 2
        assert shift.penalty() == 24
        assert shift.unshifted_share() == pytest.approx(4 / 20)

    def test_ramp_initialisation(self) -> None:
        shift = SparseShift(18, init="ramp")
        expected = [i / 2 / 3 - 1 for i in range(18)], [i / 2 % 3 - 1 for i in range(18)]
        torch.testing.assert_close(torch.stack(shift.shift_parameters()), torch.tensor(expected))

    @pytest.mark.parametrize("norm", ["l1", "l2"])
    def test_penalty_and_its_gradient(self, norm: str) -> None:
        shift = SparseShift(4).double()
        dy, dx = [0.3, -0.7, 1.4, 2.0], [-0.4, 0.7, -2.6, 0.1]
        set_offsets(shift, dy, dx)
        sizes = [abs(d) if norm == "l1" else d**2 / 2 for d in dy + dx]
        assert shift.penalty(norm).item() == pytest.approx(sum(sizes), abs=1e-6)

        shift.penalty(norm).backward()
        for values, gradient in ((shift.a, shift.a.grad), (shift.b, shift.b.grad)):
            for i in range(4):
                found = []
                for step in (1e-5, -1e-5):
                    with torch.no_grad():
                        values[i] += step
                        found.append(shift.penalty(norm).item())
                        values[i] -= step
                assert float(gradient[i]) == pytest.approx((found[0] - found[1]) / 2e-5, abs=1e-6)

    def test_another_penalty_is_refused(self) -> None:
        with pytest.raises(SpecError, match=r"`norm` \(='l3'\) of a penalty must be 'l1' or 'l2'"):
            SparseShift(9).penalty("l3")

    def test_few_channels_start_unshifted(self) -> None:
        assert SparseShift(8).unshifted_share() == 1


SHIFTS = [GroupedShift(20), GroupedShift(20, 3, 2), ActiveShift(20), ActiveShift(20, 2)]


@pytest.mark.parametrize("shift", [*SHIFTS, SparseShift(20)], ids=lambda s: type(s).__name__)
def test_keeps_channels_last(shift: Shift) -> None:
    x = torch.randn(2, 20, 6, 5).to(memory_format=torch.channels_last).requires_grad_()
    y = shift(x)
    y.backward(torch.randn_like(y))
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert x.grad.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("shift", [*SHIFTS, SparseShift(20)], ids=lambda s: type(s).__name__)
def test_trains_under_autocast(shift: Shift) -> None:
    x = torch.randn(2, 20, 6, 5, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = shift(x)
    y.backward(torch.randn_like(y))
    torch.testing.assert_close(y.float(), shift(x), atol=0.05, rtol=0.05)
    assert all(p.grad is not None for p in [x, *shift.shift_parameters()])


@pytest.mark.parametrize("shift_class", [ActiveShift, SparseShift])
def test_frozen_offsets_get_no_gradient(shift_class: type[Shift]) -> None:
    shift = shift_class(20)
    x = torch.randn(1, 20, 4, 4, requires_grad=True)
    expected = shift(x).detach()
    shift.freeze()
    y = shift(x)
    y.sum().backward()
    assert torch.equal(y, expected)
    assert x.grad is not None
    assert all(p.grad is None for p in shift.shift_parameters())


@pytest.mark.export
@pytest.mark.parametrize("scale", [1.0, 6.0])
@pytest.mark.parametrize("shift", [*SHIFTS, SparseShift(20)], ids=lambda s: type(s).__name__)
def test_export_is_plain_convolutions(shift: Shift, scale: float) -> None:
    import onnx

    with torch.no_grad():
        for parameter in shift.shift_parameters():
            parameter.uniform_(-scale, scale)
    x = torch.randn(1, 20, 7, 6)
    graph = onnx.load_from_string(export_onnx(shift, x)).graph
    assert {node.op_type for node in graph.node} <= {"Conv", "Constant"}
    torch.testing.assert_close(run_onnx(shift, x), shift(x).detach(), atol=1e-5, rtol=1e-5)


@pytest.mark.export
@pytest.mark.parametrize("offset", [0.0, 0.4])
def test_export_of_channels_that_all_stay_is_nothing(offset: float) -> None:
    import onnx

    shift = SparseShift(20)
    with torch.no_grad():
        for parameter in shift.shift_parameters():
            parameter.fill_(offset)
    x = torch.randn(1, 20, 7, 6)
    graph = onnx.load_from_string(export_onnx(shift, x)).graph
    assert {node.op_type for node in graph.node} <= {"Identity"}
    assert torch.equal(run_onnx(shift, x), x)


@pytest.mark.export
def test_export_of_an_active_shift_that_stays_keeps_its_stride() -> None:
    shift = ActiveShift(6, stride=2)
    with torch.no_grad():
        for parameter in shift.shift_parameters():
            parameter.zero_()
    x = torch.randn(1, 6, 7, 6)
    assert torch.equal(run_onnx(shift, x), x[:, :, ::2, ::2])


@pytest.mark.parametrize("compiled", ["0", "1"])
@pytest.mark.parametrize("scale", [0.5, 4.0])
def test_at_most_one_more_map_is_in_memory(
    monkeypatch: pytest.MonkeyPatch, compiled: str, scale: float
) -> None:
    """A forward pass makes one map, and a backward pass one; what comes on top is counted here."""
    monkeypatch.setenv("NAS_COMPILE", compiled)
    shift, channels_last = ActiveShift(16), torch.channels_last
    with torch.no_grad():
        for parameter in shift.shift_parameters():
            parameter.uniform_(-scale, scale)
    x = torch.randn(4, 16, 32, 32).to(memory_format=channels_last).requires_grad_()
    shift(x).sum().backward()  # kernels are made and remembered
    x.grad = None
    y, forward = peak(lambda: shift(x))
    _, backward = peak(lambda: y.backward(torch.ones_like(y)))
    size = 4 * x.numel()
    assert size <= forward < 2.1 * size
    assert size <= backward - size < 2.1 * size  # less the ones


def peak(run: Callable[[], Any]) -> tuple[Any, int]:
    """Return a result, and how many bytes of tensors were there at most on the way."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        result = run()
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    changes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
    return result, max(accumulate(changes))


@pytest.mark.parametrize("shift", [ActiveShift(6).double(), SparseShift(6).double()])
def test_kernels_are_remembered_only_for_the_same_offsets_and_map(shift: Shift) -> None:
    for scale, hw in ((1.0, (4, 5)), (1.0, (4, 5)), (1.0, (7, 2)), (3.0, (7, 2))):
        x = maps(6, hw)
        with torch.inference_mode():
            for parameter in shift.shift_parameters():
                parameter.data.copy_(scale * torch.tensor([0.3, -0.9, 1.2, 2.6, -1.5, 0.0]))
            found = shift(x)
        dy, dx = (p.tolist() for p in shift.shift_parameters())
        if isinstance(shift, SparseShift):
            dy, dx = ([math.copysign(math.floor(abs(d) + 0.5), d) for d in ds] for ds in (dy, dx))
        torch.testing.assert_close(found, interpolate(x, dy, dx))
    shift(maps(6, (7, 2))).sum().backward()  # what was made in inference mode may be saved
    assert all(p.grad is not None for p in shift.shift_parameters())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GroupedShift(0), r"`channels` \(=0\) of a shift must be at least 1"),
        (lambda: GroupedShift(9, kernel=2), r"`kernel` \(=2\) of a shift must be odd"),
        (lambda: GroupedShift(9, dilation=0), r"`dilation` \(=0\)"),
        (lambda: ActiveShift(9, stride=0), r"`stride` \(=0\)"),
        (lambda: SparseShift(9, init="typo"), r"`init` \(='typo'\)"),
    ],
)
def test_illegal_shifts_are_refused(make, message):
    with pytest.raises(SpecError, match=message):
        make()


def test_just_below_a_half_is_not_rounded_up():
    shift = SparseShift(1)
    with torch.no_grad():
        shift.a.fill_(0.49999997)
    assert shift.unshifted_share() == 1.0


@pytest.mark.parametrize("shift", [GroupedShift(90), ActiveShift(90), SparseShift(90)])
@pytest.mark.parametrize("shape", [(2, 18, 5, 5), (90, 5, 5), (2, 90, 0, 5), (2, 90, 5, 0)])
def test_a_map_of_other_channels_or_without_pixels_is_refused(shift, shape):
    with pytest.raises(SpecError, match="a shift of 90 `channels` takes no map of"):
        shift(torch.rand(shape))
