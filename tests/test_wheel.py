"""The wheel holds what it must, and works where there is neither a checkout nor a network."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PACKAGES = ("nas", "search_spaces", "evaluators")
TINY = "--budget-params 60K --trials 2 --epochs 1 --finalists 1 --final-epochs 1 --seed 0"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder), cwd=ROOT)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def bin_(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a new environment: the wheel, with the dependencies of the one we run in."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    pip = (sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"))
    run(*pip, "install", "--no-deps", "--no-index", str(wheel), cwd=folder)
    # A folder on a .pth line has its own .pth files ignored: so an editable install stays out.
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib"), "utf-8")
    return folder / "bin"


def run(*command: str, cwd: Path, **variables: str) -> str:
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | variables
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def offline(*command: str, cwd: Path) -> str:
    """Run in a network namespace of its own; where that is forbidden, behind a proxy of straw."""
    try:
        run("unshare", "--map-root-user", "--net", "true", cwd=cwd)
    except (AssertionError, FileNotFoundError):
        straw = "http://127.0.0.1:9"
        return run(*command, cwd=cwd, HTTP_PROXY=straw, HTTPS_PROXY=straw, ALL_PROXY=straw)
    return run("unshare", "--map-root-user", "--net", *command, cwd=cwd)


def test_contents(wheel: Path) -> None:
    names = ZipFile(wheel).namelist()
    assert {n.split("/")[0] for n in names if ".dist-info/" not in n} == set(PACKAGES)
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(names)
    assert "evaluators/bundled/LICENSE" in names
    assert any(n.startswith("evaluators/bundled/") and n.endswith(".npz") for n in names)
    assert any(n.endswith(".dist-info/licenses/LICENSE") for n in names)


@pytest.mark.parametrize("package", PACKAGES)
def test_comes_from_the_wheel(bin_: Path, tmp_path: Path, package: str) -> None:
    show = f"import {package}; print({package}.__file__)"
    file = run(str(bin_ / "python"), "-c", show, cwd=tmp_path).strip()
    assert Path(file).is_relative_to(bin_.parent)


@pytest.mark.parametrize("command", ["--help", "list blocks --json"])
def test_commands(bin_: Path, tmp_path: Path, command: str) -> None:
    assert offline(str(bin_ / "nas"), *command.split(), cwd=tmp_path)


@pytest.mark.timeout(900)  # about a minute of work, more on a busy machine
def test_search(bin_: Path, tmp_path: Path) -> None:
    offline(str(bin_ / "nas"), "search", *TINY.split(), "--out", "run", cwd=tmp_path)
    assert list((tmp_path / "run").iterdir())
