"""A toy search that takes seconds: stripes of three directions, and a space of narrow networks."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from random import Random

SPACE = {
    "schema": 1,
    "name": "toy",
    "stem": {"width": 8, "stride": 2},
    "stages": [
        {
            "width": [8, 16],
            "depth": [1, 2],
            "stride": 2,
            "blocks": [
                {"kind": "mbconv", "expand": [1, 3], "se": False},
                {"kind": "csc", "expand": 1, "se": False},
                {"kind": "active_shift", "expand": 1, "se": False},
            ],
        }
    ],
    "head": {"width": 0},
}


def stripes(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return noisy images (count, 16, 16), uint8, and which of three ways they are striped."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:16, :16]
    labels = rng.integers(0, 3, count)
    phases = np.stack([rows, columns, rows + columns])[labels] + rng.integers(0, 4, (count, 1, 1))
    waves = np.sign(np.sin(phases * np.pi / 2 + 0.1))
    images = 128 + 60 * waves + rng.normal(0, 25, phases.shape)
    return images.clip(0, 255).astype(np.uint8), labels


@pytest.fixture(scope="session", autouse=True)
def brief_latencies():
    """Let measuring end after a second: beside other tests it rarely reaches its tolerance.

    Two workers of the tests take turns with it, so its usual 8 s would be most of their time.
    """
    from evaluators.latency import SECONDS, Latency
    from evaluators.remembered_latency import RememberedLatency

    with pytest.MonkeyPatch.context() as patch:
        for kind in (Latency, RememberedLatency):
            known = kind.__init__.__defaults__
            assert SECONDS in known
            brief = tuple(1.0 if value == SECONDS else value for value in known)
            patch.setattr(kind.__init__, "__defaults__", brief)
        yield


@pytest.fixture(scope="session")
def toy(tmp_path_factory):
    """Return a folder with `images.npz` and `space.json`."""
    folder = tmp_path_factory.mktemp("toy")
    splits = {}
    for seed, (name, count) in enumerate([("train", 192), ("val", 48), ("test", 48)]):
        splits[f"x_{name}"], splits[f"y_{name}"] = stripes(count, seed)
    np.savez(folder / "images.npz", **splits)
    (folder / "space.json").write_text(json.dumps(SPACE))
    return folder


@pytest.fixture(scope="session")
def postgres():
    """Lend a PostgreSQL server, which ends with the session."""
    server = server_or_skip()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def mariadb():
    """Lend a MariaDB server, which ends with the session."""
    module = beside("mariadb")
    if module.programs() is None:
        pytest.skip("needs MariaDB: apt install mariadb-server")
    pytest.importorskip("pymysql", reason="needs PyMySQL: pip install 'nas-compact[mysql]'")
    server = module.MariaDb()
    yield server
    server.remove()


def server_or_skip():
    """Start a PostgreSQL server, or skip the test where there is none."""
    module = beside("postgres")
    if module.programs() is None:
        pytest.skip("needs PostgreSQL: apt install postgresql")
    pytest.importorskip("psycopg", reason="needs psycopg: pip install 'nas-compact[postgresql]'")
    return module.Postgres()


def beside(name):
    """Load a module of this folder."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass
class Unruly:
    """An executor in this process that ends jobs in an order that nobody can foresee."""

    workers: int
    rng: Random

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def run(self, next_job, on_report, on_end):
        busy = []
        while True:
            while len(busy) < self.workers and (job := next_job()) is not None:
                busy.append(job)
            if not busy:
                return
            job = busy.pop(self.rng.randrange(len(busy)))
            on_end(job.key, None if all(on_report(job.key, r) for r in job.work()) else "stopped")


@pytest.fixture
def unruly():
    """Return that executor's class."""
    return Unruly
