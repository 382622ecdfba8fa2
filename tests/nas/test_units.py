import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.units import (
    QuantityError,
    format_count,
    format_seconds,
    parse_bytes,
    parse_count,
    parse_ms,
    parse_seconds,
)


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (parse_count, "3.6M", 3_600_000),
        (parse_count, "300k", 300_000),
        (parse_count, " 1200 ", 1200),
        (parse_count, "1.5G", 1_500_000_000),
        (parse_bytes, "4MB", 4_000_000),
        (parse_bytes, "2MiB", 2 * 2**20),
        (parse_ms, "5ms", 5.0),
        (parse_ms, "800us", 0.8),
        (parse_ms, "0.1s", 100.0),
        (parse_seconds, "10m", 600.0),
        (parse_seconds, "90", 90.0),
        (parse_seconds, "1.5h", 5400.0),
    ],
)
def test_quantities_are_read(parse, text, value):
    assert parse(text) == pytest.approx(value)


@pytest.mark.parametrize("parse", [parse_count, parse_bytes, parse_ms, parse_seconds])
@pytest.mark.parametrize("text", ["3.6Q", "-1M", "0", "0ms", "", "M", "nan", "inf", "1e9", "٣M"])
def test_what_is_no_positive_quantity_is_refused(parse, text):
    with pytest.raises(QuantityError, match="is not a positive quantity; write it like"):
        parse(text)


def test_a_latency_needs_its_unit():
    with pytest.raises(QuantityError, match="5ms, 800us"):
        parse_ms("5")


@given(st.integers(1, 10**11))
def test_counts_survive_formatting_to_three_digits(value):
    assert parse_count(format_count(value)) == pytest.approx(value, rel=6e-3)


def test_durations():
    assert format_seconds(95) == "1:35"
    assert format_seconds(3_725) == "1:02:05"
    assert format_seconds(-3) == "0:00"
