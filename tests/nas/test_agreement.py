"""Two files are timed in turn, neither at the cost of the other."""

from __future__ import annotations

from time import perf_counter

import torch
from torch import Tensor

from nas.agreement import Runner, in_turn


def spin(ms: float) -> None:
    end = perf_counter() + ms / 1e3
    while perf_counter() < end:
        pass


def test_a_first_run_after_the_other_is_not_timed() -> None:
    last: list[str] = [""]

    def runner(name: str, cold: float) -> Runner:
        def run(image: Tensor) -> Tensor:
            spin(0.1 if last[0] == name else cold)
            last[0] = name
            return image

        return run

    low, ratio, high = in_turn(runner("ours", 1.0), runner("theirs", 0.1), torch.zeros(1))
    assert low <= ratio <= high
    assert 0.5 < ratio < 2, "with the first runs it would be 10"


def test_the_ratio_is_that_of_the_first_to_the_second() -> None:
    def runner(ms: float) -> Runner:
        def run(image: Tensor) -> Tensor:
            spin(ms)
            return image

        return run

    _, ratio, _ = in_turn(runner(0.4), runner(0.1), torch.zeros(1))
    assert 3 < ratio < 5
