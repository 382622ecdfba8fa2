"""Energy: counters of the processor, read as they are, and never made up."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import torch

from evaluators.child import Child
from evaluators.energy import READINGS, energy, measure_energy, packages, used
from evaluators.program import Prepared
from evaluators.target import CpuTarget, parse_target

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from evaluators.target import Timer

RANGE = 1_000_000
INFERENCE_UJ = 300


def zone(root: Path, folder: str, name: str, energy: int = 0) -> Path:
    path = root / folder
    path.mkdir(parents=True)
    for file, value in {"name": name, "energy_uj": energy, "max_energy_range_uj": RANGE}.items():
        (path / file).write_text(f"{value}\n", "ascii")
    return path


@dataclass(frozen=True)
class Burner(CpuTarget):
    """Takes 1 ms an inference, and makes two packages count what it uses."""

    zones: tuple[Path, ...] = ()

    @contextmanager
    def load(self, model: object, example: object) -> Iterator[Timer]:
        def timer(calls: int) -> float:
            for path in self.zones:
                file = path / "energy_uj"
                file.write_text(str((int(file.read_text()) + calls * INFERENCE_UJ) % RANGE))
            return 1.0

        yield timer


def test_it_is_the_sum_of_the_packages_across_their_range(tmp_path: Path) -> None:
    zones = tuple(zone(tmp_path, f"intel-rapl:{i}", f"package-{i}", RANGE - 9) for i in (0, 1))
    zone(tmp_path, "intel-rapl:0:0", "core")
    zone(tmp_path, "intel-rapl:2", "psys", 7)
    program = Prepared(Burner(zones=zones), None, torch.zeros(1))
    found = measure_energy(program, tmp_path, seconds=0.1)
    assert found["energy_mj"] == pytest.approx(2 * INFERENCE_UJ / 1e3)
    assert found["energy_low_mj"] == found["energy_high_mj"] == pytest.approx(found["energy_mj"])
    assert READINGS > 1


def test_a_counter_starts_again(tmp_path: Path) -> None:
    path = zone(tmp_path, "intel-rapl:0", "package-0", 40)
    assert used(path, 10) == 30
    assert used(path, RANGE - 10) == 50


def test_a_package_that_is_there_twice_counts_once(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl-mmio:0", "package-0")
    path = zone(tmp_path, "intel-rapl:0", "package-0")
    assert packages(tmp_path) == [path]


def test_where_nothing_tells_nothing_is_told(tmp_path: Path) -> None:
    program = Prepared(parse_target("cpu"), b"", torch.zeros(1))
    assert energy(program, Child(), tmp_path) == {}
    path = zone(tmp_path, "intel-rapl:0", "package-0")
    (path / "energy_uj").unlink()  # as good as unreadable, also for root
    assert packages(tmp_path) == []
    assert energy(program, Child(), tmp_path) == {}


def test_another_device_has_another_counter(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0")
    program = Prepared(parse_target("command:program=true"), b"", torch.zeros(1))
    assert energy(program, Child(), tmp_path) == {}
