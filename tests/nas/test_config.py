import pytest

from nas.config import ConfigError, SearchConfig


def test_plain_values_give_the_configuration_back():
    config = SearchConfig(budget_params=3_600_000, trials=7, timeout=None)
    assert SearchConfig.from_plain(config.to_plain()) == config


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trials": 0}, "`trials` .=0. must be at least 1"),
        ({"workers": -1}, "`workers` .=-1. must be at least 1"),
        ({"budget_latency": 0.0}, "`budget_latency` .=0.0. must be positive"),
        ({"timeout": None}, "`trials` or `timeout` must be given"),
        ({"seed": -1}, "`seed` .=-1. must be from 0 to"),
        ({"repeats": -1}, "`repeats` .=-1. must be at least 0"),
        ({"deterministic": True}, "rules out `timeout` .=600.: .*; give `trials` alone"),
        (
            {"deterministic": True, "trials": 1, "timeout": None, "ray": True},
            "`deterministic` is for workers of this machine: leave out Ray",
        ),
    ],
)
def test_broken_rules_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        SearchConfig(**options)


def test_unknown_options_are_refused():
    with pytest.raises(ConfigError, match="unknown option 'colour'"):
        SearchConfig.from_plain({"colour": 1})
