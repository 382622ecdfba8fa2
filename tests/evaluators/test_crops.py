from __future__ import annotations

import math

from evaluators.crops import Crop


def test_boxes_have_the_areas_and_aspects_of_the_source() -> None:
    crop, width, height = Crop(0.08, seed=1), 500, 375
    boxes = [crop.box(i, width, height) for i in range(2_000)]
    for left, upper, right, lower in boxes:
        assert 0 <= left < right <= width
        assert 0 <= upper < lower <= height
    shares = [(r - a) * (d - u) / (width * height) for a, u, r, d in boxes]
    assert 0.079 < min(shares) < 0.1
    assert 0.4 < sum(shares) / len(shares) < 0.5  # 0.54, less the large ones that do not fit
    ratios = [math.log((r - a) / (d - u)) for a, u, r, d in boxes]
    assert max(map(abs, ratios)) < math.log(4 / 3) + 0.03
    assert len({box[:2] for box in boxes}) > 1_000


def test_an_image_has_its_crop_whoever_asks() -> None:
    crop = Crop(0.2, seed=3)
    assert crop.box(7, 60, 40) == Crop(0.2, seed=3).box(7, 60, 40)
    assert crop.box(7, 60, 40) != crop.box(8, 60, 40)
    assert crop.box(7, 60, 40) != Crop(0.2, seed=4).box(7, 60, 40)


def test_what_no_box_fits_gets_the_square_in_the_centre() -> None:
    assert Crop(0.9, seed=0).box(0, 400, 20) == (190, 0, 210, 20)
