"""`--screen`: who is not trained, whatever the order, and that nobody else notices."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import nas
from nas.config import ConfigError
from nas.setup import Setup
from nas.sieve import parse_screen
from search_spaces.errors import CandidateError, UnknownName


@pytest.fixture(scope="module")
def config(toy):
    return nas.SearchConfig(
        data=str(toy / "images.npz"),
        space=str(toy / "space.json"),
        screen="synflow:0.5",
        sampler="random",
        budget_params=1500,
        trials=8,
        timeout=None,
        epochs=1,
        finalists=1,
        final_epochs=1,
        workers=1,
    )


def test_the_text_of_a_screen():
    assert parse_screen("snip") == ("snip", 1 / 3)
    assert parse_screen("zen:0.25") == ("zen", 0.25)
    for text in ("snip:0", "snip:1", "snip:half", "snip:nan"):
        with pytest.raises(ConfigError, match=r"between 0 and 1: snip:0\.5"):
            parse_screen(text)
    with pytest.raises(UnknownName, match="unknown proxy 'snap'; did you mean 'snip'"):
        parse_screen("snap:0.5")


def test_the_worst_share_of_the_space_falls_through(config):
    sieve = Setup(config).sieve
    scores = [sieve.score(arch) for arch in sieve.inside.space.enumerate()]
    limit = sieve.limit()
    assert 0.3 < np.mean(np.array(scores) < limit) < 0.7
    assert limit == Setup(config).sieve.limit() != Setup(replace(config, seed=1)).sieve.limit()


def test_candidates_are_held_against_those_of_their_resolution(config, toy, tmp_path):
    sides = (8, 20)
    plain = json.loads((toy / "space.json").read_text()) | {"resolution": sides}
    (tmp_path / "sized.json").write_text(json.dumps(plain))
    sized = replace(
        config, space=str(tmp_path / "sized.json"), screen="naswot:0.5", budget_params=None
    )
    sieve = Setup(sized).sieve
    for side in sides:  # scores grow with the images: under one limit none of 20 pixels is bad
        every = [arch for arch in sieve.inside.space.enumerate() if arch.resolution == side][::9]
        bad = [bool(sieve.too_bad(a, {"naswot": sieve.score(a)})) for a in every]
        assert 0.2 < np.mean(bad) < 0.8
        short = {"naswot": sieve.limit(side) - 1}
        assert sieve.excess(every[0], short) == {"naswot": pytest.approx(1)}
        assert sieve.excess(every[0], {}) == {}


def test_a_score_that_fails_is_the_worst(config, monkeypatch):
    sieve = Setup(config).sieve

    def brittle(proxy, network, batch, seed):
        raise CandidateError("no score")

    monkeypatch.setattr("nas.sieve.score", brittle)
    assert sieve.limit() == -np.inf  # then nobody is kept out
    assert sieve.excess(next(sieve.inside.space.enumerate()), {"synflow": 1.0}) == {}


def test_who_is_screened_is_never_trained_or_measured_and_counted(config, tmp_path):
    result = nas.search(config, tmp_path / "run")
    trials = result.trials
    screened = trials["state"] == "screened"
    assert 0 < screened.sum() < 8
    limit = Setup(config).sieve.limit()
    assert ((trials["synflow"] < limit) == screened).all()
    assert trials["reason"][screened].str.fullmatch(r"synflow \S+ is below \S+").all()
    assert trials.loc[screened, ["accuracy", "latency_ms"]].isna().all(axis=None)
    assert trials.loc[~screened, "accuracy"].notna().all()
    assert not set(result.pareto["digest"]) & set(trials["digest"][screened])
    assert f"{screened.sum()} screened" in (tmp_path / "run/report.html").read_text("utf-8")


@pytest.mark.slow
def test_a_latency_limit_beside_it(config, tmp_path):
    both = replace(config, budget_latency=1e-6, trials=6, sampler="auto")
    states = nas.search(both, tmp_path / "run").trials["state"]
    assert set(states) == {"screened", "infeasible"}


def test_a_mistake_is_one_line_and_leaves_nothing(tmp_path):
    command = [sys.executable, "-m", "nas", "search", "--screen", "snip:2", "--out", tmp_path / "x"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "`screen` (='snip:2') must have a share between 0 and 1: snip:0.5" in run.stderr
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "x").exists()
