"""The layers that blocks share."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.cost import squeeze_excite_cost
from search_spaces.layers import (
    Activation,
    DilatedDepthwise,
    SqueezeExcite,
    activation,
    bn_relu,
    channel_shuffle,
    conv,
    conv_bn,
)
from search_spaces.testing import count_macs, export_onnx, run_onnx


def channels_last(*shape: int) -> Tensor:
    return torch.randn(*shape).to(memory_format=torch.channels_last)


@pytest.mark.parametrize("hw", [(1, 1), (5, 8), (7, 2)])
@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (3, 1), (3, 4), (5, 2), (7, 1)])
@pytest.mark.parametrize("stride", [1, 2])
def test_conv_rounds_sizes_up(stride: int, kernel: int, dilation: int, hw: tuple[int, int]) -> None:
    layer = conv(4, 6, kernel, stride=stride, groups=2, dilation=dilation)
    expected = 1, 6, -(-hw[0] // stride), -(-hw[1] // stride)
    assert layer(torch.randn(1, 4, *hw)).shape == expected
    assert layer.bias is None


def test_a_strided_pointwise_convolution_is_that_of_pytorch() -> None:
    layer, x = conv(8, 6, 1, stride=2), channels_last(3, 8, 7, 6).requires_grad_()
    expected = F.conv2d(x, layer.weight, None, 2)
    torch.testing.assert_close(layer(x), expected)
    grad = torch.randn_like(expected)
    ours = torch.autograd.grad(layer(x), (x, layer.weight), grad)
    torch.testing.assert_close(ours, torch.autograd.grad(expected, (x, layer.weight), grad))


def test_a_strided_pointwise_convolution_writes_within_bounds_on_two_threads() -> None:
    """In a process of its own, which PyTorch's gradient ended in nine of ten tries."""
    script = (
        "import torch; from search_spaces.layers import conv; torch.set_num_threads(2)\n"
        "layer = conv(8, 8, 1, stride=2).to(memory_format=torch.channels_last)\n"
        "x = torch.randn(63, 8, 14, 14).to(memory_format=torch.channels_last).requires_grad_()\n"
        "for _ in range(200): layer(x).sum().backward()\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=100)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("relu", [0.0, 1.0, 9.0]),
        ("relu6", [0.0, 1.0, 6.0]),
        ("prelu", [-0.5, 1.0, 9.0]),
        ("none", [-2.0, 1.0, 9.0]),
    ],
)
def test_activations(name: Activation, expected: list[float]) -> None:
    x = torch.tensor([-2.0, 1.0, 9.0]).view(3, 1, 1, 1)
    assert activation(name, 1)(x).flatten().tolist() == expected


def test_prelu_has_a_slope_a_channel() -> None:
    assert sum(p.numel() for p in activation("prelu", 5).parameters()) == 5


def test_conv_bn_leaves_no_activation_out_of_the_module() -> None:
    assert [type(m) for m in conv_bn(2, 2, 1, act="none")] == [nn.Conv2d, nn.BatchNorm2d]
    assert [type(m) for m in conv_bn(2, 2, 1)] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU6]


def test_bn_relu_does_not_change_its_input() -> None:
    x = torch.randn(4, 3, 2, 2)
    before = x.clone()
    for training in (True, False):
        bn_relu(3).train(training)(x)
        assert torch.equal(x, before)


@pytest.mark.parametrize("groups", [2, 3])
def test_channel_shuffle_follows_the_paper(groups: int) -> None:
    x = channels_last(2, 12, 3, 4)
    y = channel_shuffle(x, groups)
    size = 12 // groups
    for i in range(groups):
        for j in range(size):
            assert torch.equal(y[:, j * groups + i], x[:, i * size + j])
    assert y.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dilation", [1, 2, 4])
@pytest.mark.parametrize("stride", [1, 2])
def test_dilated_depthwise_is_a_convolution(stride: int, dilation: int) -> None:
    layer = DilatedDepthwise(3, stride=stride, dilation=dilation).double()
    x = torch.randn(2, 3, 5, 6, dtype=torch.double, requires_grad=True)
    inputs = x, layer.weight
    expected = F.conv2d(x, layer.weight, None, stride, dilation, dilation, 3)
    grad = torch.randn_like(expected)
    torch.testing.assert_close(layer(x), expected)
    ours = torch.autograd.grad(layer(x), inputs, grad)
    torch.testing.assert_close(ours, torch.autograd.grad(expected, inputs, grad))


class Shuffle(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return channel_shuffle(x, 2)


@pytest.mark.export
def test_channel_shuffle_exports() -> None:
    import onnx

    x = channels_last(2, 6, 3, 4)
    torch.testing.assert_close(run_onnx(Shuffle(), x), channel_shuffle(x, 2))
    nodes = onnx.load_from_string(export_onnx(Shuffle(), x)).graph.node
    assert [n.op_type for n in nodes if n.op_type != "Constant"] == [
        "Reshape",
        "Transpose",
        "Reshape",
    ]


@pytest.mark.parametrize("channels", [2, 24])
def test_squeeze_excite(channels: int) -> None:
    layer, x = SqueezeExcite(channels).eval(), channels_last(2, channels, 3, 4)
    hidden = torch.relu(layer.squeeze(x.mean((2, 3))))
    gate = torch.sigmoid(layer.excite(hidden))
    y = layer(x)
    torch.testing.assert_close(y, x * gate[:, :, None, None])
    assert y.is_contiguous(memory_format=torch.channels_last)
    cost = squeeze_excite_cost(channels, (3, 4))
    assert cost.params == sum(p.numel() for p in layer.parameters())
    assert cost.macs == count_macs(layer, x[:1])
