"""Each score beside its formula, written out slowly, on networks of a few weights."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from evaluators.proxy import Batch, score

BATCH = Batch(torch.randn(5, 3, generator=torch.Generator().manual_seed(1)), torch.arange(5) % 2)
MAPS = torch.randn(5, 2, 4, 4, generator=torch.Generator().manual_seed(2))


def linear() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4, bias=False), nn.Linear(4, 2, bias=False))


def rectified() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 6), nn.ReLU(inplace=True), nn.Linear(6, 4), nn.PReLU())


def test_synflow_of_two_linear_layers_counts_every_path_once_a_layer() -> None:
    model = linear()
    first, second = (layer.weight.detach().double().abs().numpy() for layer in model)
    paths = sum(second[k, j] * first[j, i] for i in range(3) for j in range(4) for k in range(2))
    assert score("synflow", model, BATCH) == pytest.approx(math.log(2 * paths), rel=1e-9)


def test_synflow_passes_norms_and_relu6_and_survives_depth() -> None:
    torch.manual_seed(0)
    convs = [nn.Conv2d(2, 2, 1, bias=False) for _ in range(3)]
    plain = nn.Sequential(*convs, nn.Flatten())
    others = [nn.Sequential(conv, nn.BatchNorm2d(2), nn.ReLU6(inplace=True)) for conv in convs]
    for conv in convs:
        nn.init.constant_(conv.weight, -1e30)
    maps = Batch(MAPS, torch.arange(5))
    expected = math.log(3 * 2**3 * 2 * 16) + 3 * math.log(1e30)  # layers x paths a pixel x pixels
    assert score("synflow", plain, maps) == pytest.approx(expected, rel=1e-6)
    found = score("synflow", nn.Sequential(*others, nn.Flatten()), maps)
    assert found == pytest.approx(expected, rel=1e-6)


def test_naswot_is_the_determinant_of_the_hamming_kernel() -> None:
    model = rectified()
    x = BATCH.images
    first = model[0](x)
    second = model[2](torch.relu(first))
    codes = torch.cat([first > 0, second > 0], dim=1).tolist()
    kernel = np.zeros((5, 5))
    for i in range(5):
        for j in range(5):
            distance = sum(a != b for a, b in zip(codes[i], codes[j], strict=True))
            kernel[i, j] = 10 - distance + (i == j)
    expected = math.log(np.linalg.det(kernel))
    assert score("naswot", model, BATCH) == pytest.approx(expected, rel=1e-9)


def softmax_gradients(model: nn.Sequential) -> list[np.ndarray]:
    """The gradients of the mean cross-entropy of two linear layers, by hand."""
    first, second = (layer.weight.detach().double().numpy() for layer in model)
    x = BATCH.images.double().numpy()
    hidden = x @ first.T
    logits = hidden @ second.T
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    delta = (p - np.eye(2)[BATCH.labels]) / len(x)
    return [(delta @ second).T @ x, delta.T @ hidden]


def test_gradnorm_is_the_sum_of_the_layers_norms() -> None:
    model = linear()
    expected = sum(np.sqrt((gradient**2).sum()) for gradient in softmax_gradients(model))
    assert score("gradnorm", model, BATCH) == pytest.approx(expected, rel=1e-5)


def test_snip_is_the_sum_of_weight_times_gradient() -> None:
    model = linear()
    pairs = zip(model, softmax_gradients(model), strict=True)
    expected = sum(np.abs(layer.weight.detach().numpy() * g).sum() for layer, g in pairs)
    assert score("snip", model, BATCH) == pytest.approx(expected, rel=1e-5)


def test_zen_adds_what_the_norms_take_away() -> None:
    model = nn.Sequential(
        nn.Conv2d(2, 3, 1, bias=False),
        nn.BatchNorm2d(3),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(3, 2),
    )
    torch.manual_seed(7)  # of the score: weights in order, the images, what disturbs them
    weight = torch.randn(3, 2, 1, 1)
    torch.randn(2, 3)
    image = torch.randn(5, 2, 4, 4)
    near = image + 0.01 * torch.randn(5, 2, 4, 4)
    maps = [torch.einsum("oc,bchw->bohw", weight[:, :, 0, 0], x).double() for x in (image, near)]
    variances = [[m[:, c].var(correction=0) for c in range(3)] for m in maps]
    seen = [
        torch.stack([(m[:, c] - m[:, c].mean()) / (v[c] + 1e-5).sqrt() for c in range(3)], dim=1)
        for m, v in zip(maps, variances, strict=True)
    ]
    change = (seen[0].relu() - seen[1].relu()).abs().mean()
    expected = change.log() + 0.5 * torch.stack(variances[0]).mean().log()
    found = score("zen", model, Batch(MAPS, torch.arange(5)), seed=7)
    assert found == pytest.approx(float(expected), rel=1e-4)
