from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.block import Site
from search_spaces.blocks.eesp import EESP
from search_spaces.errors import SpecError
from search_spaces.testing import BlockContract

SITE = Site(32, 64, stride=2, hw=(9, 6), image=(3, 36, 22))


class TestEESP(BlockContract):
    block = EESP

    @pytest.mark.parametrize(
        ("branches", "dilation", "expected"),
        [(4, 4, (1, 2, 3, 4)), (4, 3, (1, 1, 2, 3)), (4, 2, (1, 1, 1, 2)), (2, 4, (1, 2))],
    )
    def test_dilations(self, branches: int, dilation: int, expected: tuple[int, ...]) -> None:
        assert EESP(branches=branches, dilation=dilation).dilations == expected

    def test_params_of_a_unit(self) -> None:
        reduce = 128 * 32 // 4 + 3 * 32
        merge = 128 * 128 // 4 + 2 * 128
        expected = reduce + 4 * 9 * 32 + 3 * 128 + merge + 128
        assert EESP().cost(Site(128, 128, hw=(28, 28))).params == expected

    def test_params_of_a_strided_unit(self) -> None:
        reduce = 32 * 8 // 4 + 3 * 8
        merge = 32 * 32 // 4 + 2 * 32
        image = 9 * 3 * 3 + 3 * 3 + 3 * 64 + 2 * 64
        expected = reduce + 4 * 9 * 8 + 3 * 32 + merge + image + 64
        assert EESP().cost(SITE).params == expected
        assert EESP(image=False).cost(SITE).params == expected - image

    def test_the_reduction_has_as_many_groups_as_divide_it(self) -> None:
        unit = EESP().build(Site(24, 24))
        assert unit.reduce[0].groups == 2  # 24 -> 6 channels
        assert EESP().build(Site(20, 20)).reduce[0].groups == 1  # 20 -> 5 channels

    def test_an_image_of_another_size_is_refused(self) -> None:
        site = Site(32, 64, stride=2, hw=(9, 6), image=(3, 32, 32))
        with pytest.raises(SpecError, match=r"`image` .* cannot be halved to `hw_out` \(=\(5, 3\)"):
            EESP().cost(site)

    @pytest.mark.parametrize("dilation", [2, 3, 4])
    @pytest.mark.parametrize("image", [False, True])
    def test_strided_unit_equals_the_reference(self, image: bool, dilation: int) -> None:
        self.check(EESP(dilation=dilation, image=image), SITE, image)

    @pytest.mark.parametrize("dilation", [2, 3, 4])
    @pytest.mark.parametrize("branches", [2, 4])
    def test_unit_equals_the_reference(self, branches: int, dilation: int) -> None:
        self.check(EESP(branches, dilation), Site(16, 16, hw=(5, 7)), image=False)

    def check(self, spec: EESP, site: Site, image: bool) -> None:
        unit = spec.build(site).double()
        for parameter in unit.parameters():
            nn.init.normal_(parameter)
        x = torch.randn(2, site.c_in, *site.hw, dtype=torch.double, requires_grad=True)
        picture = torch.randn(2, *site.image, dtype=torch.double)
        y, expected = unit(x, picture), reference(unit, x, spec, site, picture if image else None)
        torch.testing.assert_close(y, expected)
        grad = torch.randn_like(y)
        inputs = x, *unit.parameters()
        for ours, theirs in zip(
            torch.autograd.grad(y, inputs, grad),
            torch.autograd.grad(expected, inputs, grad),
            strict=True,
        ):
            torch.testing.assert_close(ours, theirs)


def reference(unit: nn.Module, x: Tensor, spec: EESP, site: Site, image: Tensor | None) -> Tensor:
    """Follow the paper step by step, tap by tap, with the weights of `unit`, in training mode."""
    conv, norm, act = unit.reduce
    reduced = prelu(batch_norm(grouped(x, conv.weight, spec.branches), norm), act)
    h_out, w_out = site.hw_out
    sums: list[Tensor] = []
    for branch, dilation in zip(unit.branches, spec.dilations, strict=True):
        padded = F.pad(reduced, [dilation] * 4)
        total = torch.zeros(2, reduced.shape[1], h_out, w_out, dtype=x.dtype)
        for i in range(3):
            for j in range(3):
                rows = torch.arange(h_out) * site.stride + i * dilation
                columns = torch.arange(w_out) * site.stride + j * dilation
                taps = padded[:, :, rows][:, :, :, columns]
                total = total + taps * branch.weight[:, 0, i, j][:, None, None]
        sums.append(total + sums[-1] if sums else total)
    merged = prelu(batch_norm(torch.cat(sums, 1), unit.norm[0]), unit.norm[1])
    y = batch_norm(grouped(merged, unit.merge[0].weight, spec.branches), unit.merge[1])
    if site.stride == 1:
        return prelu(x + y, unit.act)
    y = torch.cat((halve(x), y), 1)
    if image is not None:
        while image.shape[2] > h_out:
            image = halve(image)
        path = [m for m in unit.image if not isinstance(m, nn.AvgPool2d)]
        (full, full_norm, full_act), (point, point_norm) = path
        image = prelu(batch_norm(square(image, full.weight), full_norm), full_act)
        y = y + batch_norm(grouped(image, point.weight, 1), point_norm)
    return prelu(y, unit.act)


def grouped(x: Tensor, weight: Tensor, groups: int) -> Tensor:
    """A 1x1 convolution of each group of channels by itself."""
    parts = zip(x.chunk(groups, 1), weight.chunk(groups, 0), strict=True)
    return torch.cat([torch.einsum("bihw,oi->bohw", p, w[:, :, 0, 0]) for p, w in parts], 1)


def square(x: Tensor, weight: Tensor) -> Tensor:
    """A 3x3 convolution, tap by tap and channel by channel, zeros beyond the border."""
    (h, w), padded, outputs = x.shape[2:], F.pad(x, [1] * 4), []
    for kernel in weight:
        y = torch.zeros(x.shape[0], h, w, dtype=x.dtype)
        for channel in range(x.shape[1]):
            for i in range(3):
                for j in range(3):
                    taps = padded[:, channel, i : i + h, j : j + w]
                    y = y + taps * kernel[channel, i, j]
        outputs.append(y)
    return torch.stack(outputs, 1)


def batch_norm(x: Tensor, norm: nn.Module) -> Tensor:
    mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), correction=0, keepdim=True)
    x = (x - mean) / torch.sqrt(var + norm.eps)
    return x * norm.weight[:, None, None] + norm.bias[:, None, None]


def prelu(x: Tensor, act: nn.Module) -> Tensor:
    return torch.where(x > 0, x, x * act.weight[:, None, None])


def halve(x: Tensor) -> Tensor:
    """Average 3x3 at stride 2, zeros beyond the border counted."""
    padded, total = F.pad(x, [1, 2, 1, 2]), 0.0
    h_out, w_out = (x.shape[2] + 1) // 2, (x.shape[3] + 1) // 2
    for i in range(3):
        for j in range(3):
            total = total + padded[:, :, i : i + 2 * h_out : 2, j : j + 2 * w_out : 2]
    return total[:, :, :h_out, :w_out] / 9
