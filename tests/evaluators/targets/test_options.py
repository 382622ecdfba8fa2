"""Options of targets: choices, and the cores that matter."""

from __future__ import annotations

import pytest

from evaluators.target import Target, parse_target
from search_spaces.errors import SpecError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "cpu-torch:precision=int4",
            r"int4': `precision` \(='int4'\) must be one of float32, bfloat16$",
        ),
        ("cuda:precision=", r"`precision` \(=''\) must be one of float16, bfloat16, float32$"),
        ("cpu-int8:precision=int8", "option 'precision' is unknown; cpu-int8 has: threads, batch$"),
        ("cpu-int8:threads=9999", r"`threads` \(=9999\) must be at most \d+: no more cores here"),
        ("cpu-openvino:threads=9999", r"`threads` \(=9999\) must be at most"),
    ],
)
def test_a_fault_is_named(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        parse_target(text)


def test_a_usual_choice_is_left_out_of_the_text() -> None:
    assert str(parse_target("cpu-torch:precision=float32,threads=1")) == "cpu-torch"
    assert str(parse_target("cuda:precision=float32")) == "cuda:precision=float32"


def test_the_cores_here_do_not_bind_other_devices() -> None:
    assert Target(threads=9999).threads == 9999
    assert parse_target("command:threads=9999,program=a").threads == 9999
