import pandas as pd
import pytest

from nas.finalists import choose_finalists, plan


def trials(*rows):
    columns = ["digest", "state", "accuracy", "latency_ms"]
    return pd.DataFrame([dict(zip(columns, row, strict=True)) for row in rows])


class TestChoose:
    FOUND = trials(
        ("a", "complete", 0.90, 9.0),
        ("b", "stopped", 0.89, 1.0),
        ("c", "complete", 0.895, 8.5),
        ("d", "stopped", 0.80, 5.0),  # dominated by b
        ("e", "failed", 0.99, 0.1),
        ("f", "infeasible", None, 0.01),
    )

    def test_the_most_accurate_comes_first_then_what_widens_the_front(self):
        assert choose_finalists(self.FOUND, 9) == ["a", "b", "c"]

    def test_no_more_than_wished(self):
        assert choose_finalists(self.FOUND, 2) == ["a", "b"]

    def test_nothing_found_nothing_chosen(self):
        assert choose_finalists(self.FOUND[4:], 3) == []


@pytest.mark.parametrize(
    ("times", "seconds", "planned"),
    [
        ([10.0] * 4, None, (4, 24)),  # no limit
        ([10.0] * 4, 480.0, (4, 24)),  # two rounds of 24 epochs of 10 s
        ([10.0] * 4, 360.0, (4, 18)),  # three quarters of the epochs are enough
        ([10.0] * 4, 300.0, (3, 20)),  # less is not
        ([10.0] * 4, 20.0, (2, 2)),  # but both workers work
        ([10.0, 40.0], 400.0, (2, 10)),  # the slowest sets the pace
        ([10.0] * 4, 0.0, (2, 1)),
        ([], 100.0, (0, 24)),
    ],
)
def test_the_plan_fits_the_time(times, seconds, planned):
    assert plan(times, epochs=24, workers=2, seconds=seconds) == planned
