"""Calls side by side: they overlap, come as they end, and one at a time needs no thread."""

import threading

import pytest

from nas.side_by_side import SideBySide


def test_calls_overlap_and_come_as_they_end():
    both, later = threading.Barrier(2, timeout=20), threading.Event()

    def slow():
        both.wait()
        assert later.wait(20)
        return "slow"

    def quick():
        both.wait()
        return "quick"

    calls = SideBySide(2)
    calls.begin(1, slow)
    assert not calls.full
    calls.begin(2, quick)
    assert calls.full
    key, future = calls.take()
    assert (key, future.result()) == (2, "quick")
    assert len(calls) == 1
    later.set()
    key, future = calls.take()
    assert (key, future.result()) == (1, "slow")
    calls.end()


@pytest.mark.parametrize("places", [1, 2])
def test_an_error_comes_with_its_key(places):
    calls = SideBySide(places)
    calls.begin("bad", lambda: 1 / 0)
    key, future = calls.take()
    assert key == "bad"
    with pytest.raises(ZeroDivisionError):
        future.result()
    calls.end()


def test_one_at_a_time_is_made_where_it_begins():
    calls = SideBySide(1)
    calls.begin("here", threading.get_ident)
    assert calls.full
    assert calls.take()[1].result() == threading.get_ident()

    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        calls.begin("stopped", interrupted)
    assert not calls
