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
        ({"deterministic": True}, "`deterministic` needs `trials`: what fits into a time"),
        ({"deterministic": True, "trials": 1}, "rules out `timeout` .=600.: .*; give `trials` al"),
        ({"budget_params": "3.6M"}, "`budget_params` .='3.6M'. must be a number"),
        ({"budget_latency": {"cpu": "5ms"}}, "`budget_latency` .='5ms'. must be a number"),
        ({"trials": 2.5}, "`trials` .=2.5. must be a whole number"),
        ({"workers": True}, "`workers` .=True. must be a whole number"),
        (
            {"deterministic": True, "trials": 1, "timeout": None, "ray": True},
            "`deterministic` is for workers of this machine: leave out Ray",
        ),
    ],
)
def test_broken_rules_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        SearchConfig(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ray": True, "ray_address": "auto"}, "`ray_address` .='auto'. another one: leave out"),
        ({"latency_resource": "edge"}, "`latency_resource` .='edge'. is for searches on Ray: give"),
        ({"gpus_per_trial": 0.5}, "`gpus_per_trial` .=0.5. is for searches on Ray"),
        ({"concurrency": 1}, "`concurrency` .=1. is for searches on Ray"),
    ],
)
def test_what_a_search_would_ignore_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        SearchConfig(**options).refuse_ignored()
    SearchConfig(ray=True, latency_resource="edge").refuse_ignored()


def test_unknown_options_are_refused():
    with pytest.raises(ConfigError, match="unknown option 'colour'"):
        SearchConfig.from_plain({"colour": 1})
