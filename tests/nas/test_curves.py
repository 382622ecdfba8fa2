from __future__ import annotations

from xml.etree import ElementTree

import pytest

from nas.curves import Curve, curves, ticks


@pytest.mark.parametrize(
    ("low", "high", "found"),
    [
        (1, 4, [1, 2, 3, 4]),
        (0.31, 0.94, [0.4, 0.6, 0.8]),
        (1, 240, [50, 100, 150, 200]),
        (0.5, 0.5, [0.5]),
    ],
)
def test_ticks_are_round(low: float, high: float, found: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(found)


def test_the_picture_has_a_panel_a_title_and_a_line_a_curve() -> None:
    first, second = Curve("one", [1, 2, 3], [0.1, 0.9, 0.5]), Curve("two", [1, 2, 3], [1, 1, 1])
    root = ElementTree.fromstring(curves({"loss": [first], "a < b": [first, second]}, "epoch"))
    names = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert names.count("one") == 2
    assert {"two", "loss", "a < b", "epoch"} <= set(names)


def test_a_single_point_is_drawn() -> None:
    root = ElementTree.fromstring(curves({"loss": [Curve("one", [1], [2.5])]}, "epoch"))
    assert "M201.0 117.0z" in ElementTree.tostring(root).decode()
