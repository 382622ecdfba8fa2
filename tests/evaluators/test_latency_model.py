"""What the cache holds of a space: measured once, predicted from, measured where it must be."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest

from evaluators import latency_model, predicted_latency
from evaluators.latency import Latency
from evaluators.latency_cache import LatencyCache, Timing
from evaluators.latency_model import LatencyModel, parts_of
from evaluators.pairs import Reading
from evaluators.part_latency import part_key
from evaluators.predicted_latency import PredictedLatency
from evaluators.target import parse_target
from search_spaces.arch import Task
from search_spaces.block import BLOCKS
from search_spaces.errors import CandidateError
from search_spaces.heads import Head
from search_spaces.space import Space, StageSpace
from search_spaces.stems import Stem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from search_spaces.arch import Arch, Part

TASK = Task(5, (1, 12, 12))
MENUS = (
    BLOCKS["mbconv"].over(kernel=(3,), expand=(1, 2, 3), se=(False,)),
    BLOCKS["csc"].over(kernel=(3,), dilation=(1,), expand=(1, 2), se=(False,)),
)
SPACE = Space(
    "tiny",
    Stem(width=8),
    (8, 16),
    (StageSpace((8, 16), (1, 2), 2, MENUS),),
    Head(),
    (0, 32),
)


def guess(part: Part) -> float:
    return 0.01 + part.cost.macs / 1e6


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("evaluators.reference.ROUNDS", 4)
    monkeypatch.setattr(latency_model, "SAMPLES", 1000)
    predicted_latency.model_of.cache_clear()
    yield
    predicted_latency.model_of.cache_clear()


@pytest.fixture
def latency(tmp_path: Path) -> Latency:
    return Latency(seconds=0.2, cache=tmp_path / "latency.sqlite")


@pytest.fixture
def known(latency: Latency) -> Latency:
    """Return a latency whose cache holds all parts of the space, and 60 networks: their sums."""
    cache, rng = LatencyCache(parse_target("cpu"), latency.cache), Random(0)
    for part in parts_of(SPACE, TASK):
        cache.put(part_key(part), Timing(*[guess(part)] * 3))
    for _ in range(60):
        arch = SPACE.sample(rng)
        cache.put(f"network for {TASK}: {arch}", Timing(*[total(arch)] * 3))
    return latency


def total(arch: Arch) -> float:
    return 0.8 * sum(map(guess, arch.parts(TASK)))


def test_a_part_is_measured_once(latency: Latency, monkeypatch: pytest.MonkeyPatch) -> None:
    part = parts_of(SPACE, TASK)[0]
    first = LatencyModel(latency, TASK).part_ms(part)
    assert first > 0
    monkeypatch.setattr("evaluators.part_latency.part_program", None)
    assert LatencyModel(latency, TASK).part_ms(part) == first


def test_every_kind_of_part_can_be_timed(latency: Latency) -> None:
    space = Space(
        "all",
        Stem(width=16),
        (16,),
        (StageSpace((16,), (1,), 2, tuple(BLOCKS[k].over() for k in BLOCKS)),),
        Head(),
        (0,),
    )
    model, kinds = LatencyModel(latency, TASK), set()
    for part in parts_of(space, TASK):
        if type(part.spec) not in kinds:
            kinds.add(type(part.spec))
            assert model.part_ms(part) > 0
    assert len(kinds) >= len(list(BLOCKS)) + 2


def test_parts_of_a_space_are_those_of_its_networks() -> None:
    parts = {part_key(part) for part in parts_of(SPACE, TASK)}
    for arch in SPACE.enumerate():
        assert {part_key(part) for part in arch.parts(TASK)} <= parts


def test_parts_of_a_space_are_at_all_of_its_resolutions() -> None:
    sized = replace(SPACE, resolution=(8, 12))
    found = set(parts_of(sized, Task(5, (1, 20, 20))))
    each = (parts_of(SPACE, Task(5, (1, side, side))) for side in sized.resolution)
    assert found == set().union(*each)


def test_networks_with_a_resolution_are_known_by_it_whatever_the_task(known: Latency) -> None:
    arch, other = (SPACE.sample(Random(seed)) for seed in (100, 101))
    cache = LatencyCache(parse_target("cpu"), known.cache)
    for sized in (replace(arch, resolution=12), replace(other, resolution=8)):
        key = f"network for {sized.on(TASK)}: {sized}"
        cache.put(key, Timing(*[1.0] * 3))
    for task in (TASK, Task(5, (1, 28, 28))):
        model = LatencyModel(known, task)
        there = {n.arch for n in model.networks}
        assert {replace(arch, resolution=12), replace(other, resolution=8)} <= there
        assert model.measure_network(replace(arch, resolution=12)).ms == 1.0
    assert sum(n.arch.resolution is None for n in model.networks) == 0  # these are for TASK
    assert len(LatencyModel(known, Task(5, (3, 12, 12))).networks) == 0


def test_a_part_that_the_runtime_refuses_is_a_candidates_fault(
    latency: Latency, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    def refuse(*_: object, **__: object) -> None:
        raise torch.onnx.OnnxExporterError("no such operator")

    model, part = LatencyModel(latency, TASK), parts_of(SPACE, TASK)[0]
    latency.reference()
    monkeypatch.setattr("torch.onnx.export", refuse)
    monkeypatch.setattr("evaluators.onnx_tracer.WRITERS", {})  # all is left to the exporter
    with pytest.raises(CandidateError, match=r"Stem\(.*cpu: no ONNX graph: no such operator"):
        model.part_ms(part)


def test_predictions_follow_what_was_measured(known: Latency) -> None:
    model, rng = LatencyModel(known, TASK), Random(1)
    for _ in range(50):
        arch = SPACE.sample(rng)
        found = model.predict(arch)
        assert found is not None
        assert found.ms == pytest.approx(total(arch), rel=0.02)
        assert found.low_ms < found.ms < found.high_ms


def test_nothing_is_predicted_from_too_little(latency: Latency) -> None:
    assert LatencyModel(latency, TASK).predict(SPACE.sample(Random(0))) is None


def test_nothing_is_predicted_of_blocks_that_were_never_seen(known: Latency) -> None:
    space = Space(
        "other",
        Stem(width=8),
        (8,),
        (StageSpace((16,), (1,), 2, (BLOCKS["fe"].over(),)),),
        Head(),
        (0,),
    )
    assert LatencyModel(known, TASK).predict(space.sample(Random(0))) is None


def test_of_a_cache_that_is_half_warm_only_whole_networks_are_used(
    known: Latency, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[Part] = []

    def measure(_: LatencyModel, part: Part) -> Timing:
        measured.append(part)
        return Timing(*[guess(part)] * 3)

    monkeypatch.setattr(LatencyModel, "measure_part", measure)
    arch = SPACE.sample(Random(1))
    lost = [
        next(p for p in arch.parts(TASK) if p.name == name) for name in ("stem", "stage0_block0")
    ]

    def without(*parts: Part) -> LatencyModel:
        model = LatencyModel(known, TASK)
        for part in parts:
            del model._stored[part_key(part)]
        return model

    whole = without()
    assert whole.predict(arch) is not None
    assert len(whole.fitted) == len(whole.networks)
    model = without(lost[1])
    assert 40 <= len(model.fitted) < len(model.networks)
    assert model.predict(arch) is not None
    assert measured == lost[1:]  # of the network that is predicted, and no others
    assert without(*lost).predict(arch) is None
    assert measured == lost[1:]


def test_a_search_gets_predictions(known: Latency, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluators.pairs.rounds", None)  # nothing is measured
    arch = SPACE.sample(Random(1))
    (report,) = PredictedLatency(known)(arch, TASK)
    assert report.metrics["latency_measured"] == 0
    assert report.metrics["latency_ms"] == pytest.approx(total(arch), rel=0.02)


def test_what_crosses_the_limit_is_measured(
    known: Latency, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = Reading(2.0, 1.9, 2.1, 10, 100, 0, False, 0.0, 0.0)
    monkeypatch.setattr("evaluators.latency.read", lambda *_, **__: reading)
    arch = SPACE.sample(Random(1))
    found = LatencyModel(known, TASK).predict(arch)
    assert found is not None
    (report,) = PredictedLatency(known, limit_ms=found.ms)(arch, TASK)
    assert report.metrics["latency_measured"] == 1
    assert report.metrics["latency_ratio"] == 2
    (report,) = PredictedLatency(known, limit_ms=2 * found.ms)(arch, TASK)
    assert report.metrics["latency_measured"] == 0


FILL = """
import sys
from pathlib import Path
import evaluators.part_latency as pl
from evaluators import latency_model
latency_model.SAMPLES = 1000
from evaluators.latency import Latency
from evaluators.latency_model import LatencyModel, parts_of
from test_latency_model import SPACE, TASK
usual = pl.quick_ratio
def told(*arguments, **options):
    print("measured", flush=True)
    return usual(*arguments, **options)
pl.quick_ratio = told
model = LatencyModel(Latency(cache=Path(sys.argv[1])), TASK)
for part in parts_of(SPACE, TASK)[:12]:
    model.measure_part(part)
"""


@pytest.mark.slow
def test_two_processes_measure_nothing_twice(latency: Latency) -> None:
    latency.reference()
    command = [sys.executable, "-c", FILL, str(latency.cache)]
    environment = {**os.environ, "PYTHONPATH": f"{Path(__file__).parent}{os.pathsep}{os.getcwd()}"}
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(2)
    ]
    lines = [process.communicate()[0].split() for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert sum(map(len, lines)) == 12
    parts = parts_of(SPACE, TASK)[:12]
    stored = LatencyCache(parse_target("cpu"), latency.cache).all()
    assert {part_key(part) for part in parts} <= set(stored)


@pytest.mark.slow
def test_two_killed_processes_leave_a_sound_cache_and_others_go_on(latency: Latency) -> None:
    latency.reference()
    command = [sys.executable, "-c", FILL, str(latency.cache)]
    environment = {**os.environ, "PYTHONPATH": f"{Path(__file__).parent}{os.pathsep}{os.getcwd()}"}

    def start() -> list[subprocess.Popen[str]]:
        return [
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
            for _ in range(2)
        ]

    def stored() -> dict[str, Timing]:
        return LatencyCache(parse_target("cpu"), latency.cache).all()

    running = start()
    for _ in range(2):  # one of them, or both, is in the middle of a measurement or a write
        assert running[0].stdout is not None
        running[0].stdout.readline()
    for process in running:
        process.kill()
        process.communicate()
    before = stored()
    assert 1 <= len(before) <= 13
    running = start()
    lines = [process.communicate()[0].split() for process in running]
    assert [process.returncode for process in running] == [0, 0]
    after = stored()
    assert before.items() <= after.items()
    assert len(after) == 13  # the reference and twelve parts
    assert sum(map(len, lines)) == len(after) - len(before)
    assert not latency.cache.with_name("latency.sqlite.unreadable").exists()
