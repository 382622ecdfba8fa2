"""Arrows point downwards: nas -> evaluators -> search_spaces; heavy imports keep their corner."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]

# What a package imports beside the standard library and itself. `nas` may import everything.
ALLOWED = {
    "search_spaces": {"numpy", "torch", "yaml", "pydantic"},
    "evaluators": {"search_spaces", "torch", "numpy", "fvcore", "onnx", "onnxruntime"}
    | {"PIL", "rich", "safetensors"},
}
# What the contract tests that are shipped (testing.py) import on top of that.
TESTING = {"fvcore", "hypothesis", "numpy", "onnx", "onnxruntime", "pytest"}
# Packages with one corner each.
ONLY_IN: dict[str, tuple[str, ...]] = {
    "ray": ("nas/executors/ray.py", "nas/executors/_ray_"),
    "optuna": ("nas/study.py", "nas/trials.py", "nas/record.py", "nas/samplers"),
    "sqlalchemy": ("nas/storage.py", "nas/record.py"),
}
# What `nas --help` must not wait for.
HEAVY = {"torch", "optuna", "ray", "pandas"}


def violations(path: str, source: str) -> Iterator[str]:
    package, module = path.split("/")[:2]
    known = ALLOWED.get(package, set()) | {package} | sys.stdlib_module_names
    if module.startswith("testing"):
        known |= TESTING
    for line, name in imports(source):
        top = name.split(".")[0]
        upwards = package in ALLOWED and top not in known
        if upwards or not path.startswith(ONLY_IN.get(top, "")):
            yield f"{path}:{line} imports {name}"


def imports(source: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


@pytest.mark.parametrize("package", ["search_spaces", "evaluators", "nas"])
def test_arrows_point_downwards(package: str) -> None:
    files = {p.relative_to(ROOT).as_posix(): p for p in sorted((ROOT / package).rglob("*.py"))}
    assert files
    found = [v for path, p in files.items() for v in violations(path, p.read_text("utf-8"))]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("path", "source", "found"),
    [
        ("search_spaces/arch.py", "from .block import Block\nimport json, torch.nn", ""),
        ("search_spaces/testing.py", "import pytest", ""),
        ("nas/study.py", "import optuna, plotly, evaluators", ""),
        ("search_spaces/space.py", "\n\nfrom nas import study", ":3 imports nas.study"),
        ("search_spaces/space.py", "import pytest", ":1 imports pytest"),
        ("evaluators/latency.py", "def f():\n    import nas.study", ":2 imports nas.study"),
        ("nas/executors/ray.py", "import ray, optuna", ":1 imports optuna"),
        ("nas/cli.py", "from ray import tune", ":1 imports ray.tune"),
    ],
)
def test_a_violation_is_named(path: str, source: str, found: str) -> None:
    assert list(violations(path, source)) == ([path + found] if found else [])


@pytest.mark.parametrize("arguments", [[], ["--help"]], ids=["import nas.cli", "nas --help"])
def test_the_command_line_starts_light(arguments: list[str]) -> None:
    script = f"""
import atexit, json, sys
atexit.register(lambda: print(json.dumps([*sys.modules]), file=sys.stderr))
sys.argv = ["nas", *{arguments}]
from nas.cli import main
if sys.argv[1:]:
    main()
"""
    command = [sys.executable, "-c", script]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert not HEAVY & set(json.loads(run.stderr.splitlines()[-1]))
