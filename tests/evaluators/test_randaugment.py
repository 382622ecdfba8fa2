"""The operations against Pillow's, where it has them."""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from evaluators.randaugment import OPERATIONS, randaugment

SIDE = 24
_rows, _columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
PHOTO = torch.stack([_rows * 8, _columns * 6 + 40, (_rows * _columns) % 200]).byte()


def with_pillow(name: str, image: Image.Image, m: float) -> Image.Image:
    enhance: dict[str, Any] = {
        "color": ImageEnhance.Color, "contrast": ImageEnhance.Contrast,
        "brightness": ImageEnhance.Brightness,
    }  # fmt: skip
    if name in enhance:
        return enhance[name](image).enhance(1 + 0.9 * m)
    match name:
        case "sharpness":
            return Image.blend(image.filter(ImageFilter.SMOOTH), image, 1 + 0.9 * m)
        case "posterize":
            return ImageOps.posterize(image, 8 - round(4 * m))
        case "solarize":
            return ImageOps.solarize(image, ceil(255 * (1 - m)))
        case "autocontrast":
            return ImageOps.autocontrast(image)
        case "equalize":
            return ImageOps.equalize(image)
        case "rotate":
            return image.rotate(30 * m, Image.Resampling.BILINEAR)
    raise AssertionError(name)


@pytest.mark.parametrize(
    "name", ["color", "contrast", "brightness", "sharpness", "posterize", "solarize",
             "autocontrast", "equalize", "rotate"],
)  # fmt: skip
@pytest.mark.parametrize("m", [0.25, 0.75])
def test_an_operation_is_pillows(name: str, m: float) -> None:
    found = OPERATIONS[name](PHOTO[None].float(), torch.tensor([m])).clamp(0, 255)[0]
    image = Image.fromarray(PHOTO.permute(1, 2, 0).numpy())
    expected = torch.from_numpy(np.array(with_pillow(name, image, m))).permute(2, 0, 1).float()
    error = (found - expected).abs()
    if name == "rotate":  # sampled otherwise at the border
        moved = (PHOTO - expected).abs()
        assert error[:, 6:-6, 6:-6].mean() < moved[:, 6:-6, 6:-6].mean() / 5
    else:
        assert error.max() <= 2


@pytest.mark.parametrize(("name", "axis"), [("translate_x", 2), ("translate_y", 1)])
def test_translation_moves_by_pixels_and_fills_with_black(name: str, axis: int) -> None:
    strength = torch.tensor([4 / (0.45 * SIDE)])
    (found,) = OPERATIONS[name](PHOTO[None].float(), strength)
    expected = PHOTO.float().roll(-4, axis)
    expected.narrow(axis, SIDE - 4, 4).zero_()
    torch.testing.assert_close(found, expected, atol=0.01, rtol=0)


@pytest.mark.parametrize(("name", "axis"), [("shear_x", 1), ("shear_y", 2)])
def test_shear_leaves_the_middle_line(name: str, axis: int) -> None:
    (found,) = OPERATIONS[name](PHOTO[None].float(), torch.tensor([1.0]))
    middle = (SIDE - 2) // 2
    near = found.narrow(axis, middle, 2) - PHOTO.float().narrow(axis, middle, 2)
    far = found.narrow(axis, 1, 1) - PHOTO.float().narrow(axis, 1, 1)
    assert near.abs().mean() < 8 < far.abs().mean()


@pytest.mark.parametrize("channels", [1, 3])
def test_shape_type_and_order_are_kept(channels: int) -> None:
    batch = PHOTO[:channels].expand(50, -1, -1, -1).contiguous(memory_format=torch.channels_last)
    before, rng = batch.clone(), torch.Generator().manual_seed(0)
    changed = randaugment(batch, 2, 9, rng)
    assert changed.shape == batch.shape
    assert changed.dtype == torch.uint8
    assert changed.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(batch, before)
    assert (changed == batch).flatten(1).all(1).sum() < 25
    assert len(changed.unique(dim=0)) > 20


def test_no_strength_changes_nothing_but_what_has_none() -> None:
    for name, operation in OPERATIONS.items():
        if name not in ("autocontrast", "equalize", "solarize"):
            (found,) = operation(PHOTO[None].float(), torch.zeros(1))
            torch.testing.assert_close(found, PHOTO.float(), atol=0.01, rtol=0, msg=name)
