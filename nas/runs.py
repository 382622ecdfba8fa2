"""The run folder: what a search leaves behind, written so that a kill never leaves half a file."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from contextlib import contextmanager
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search_spaces.errors import NasError

from .config import ConfigError, SearchConfig
from .files import read_json, write_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    import pandas as pd

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

SCHEMA = 1
RUN_FILE = "run.json"
LOCK_FILE = "run.lock"  # stays; it is the lock on it that counts, and who holds it is written in it
TRAINING = ".training"  # folder in which `nas train` keeps what it needs for a resume
SPACE_FILE = "space.json"  # the space as a search found it, whatever becomes of its file
_PACKAGES = ("nas-compact", "torch", "optuna", "onnxruntime", "numpy", "pandas")


class RunError(NasError, OSError):
    """A run folder that exists, is missing, or cannot be written."""


def create_run(config: SearchConfig, out: Path | None, leave_out: Collection[str] = ()) -> Path:
    """Make a new run folder and return it; its default name is the time.

    Args:
        config: the options, for `run.json`.
        out: the folder, new or empty.
        leave_out: names of options that the run has no use for.

    Raises:
        RunError: it exists already, is in use, or cannot be written.
    """
    path = out or _free(Path("runs") / datetime.now().strftime("%Y%m%d-%H%M%S"))
    if (path / LOCK_FILE).is_file():
        with locked(path):
            pass  # nobody works here
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        way_on = f", or go on with: nas resume {path}" if (path / SPACE_FILE).is_file() else ""
        raise RunError(f"{path} exists; choose another --out{way_on}")
    try:
        (path / "models").mkdir(parents=True)
        options = {k: v for k, v in config.to_plain().items() if k not in leave_out}
        write_text(path / RUN_FILE, json.dumps(_header(options), indent=2))
    except OSError as error:
        raise RunError(
            f"{path} cannot be written: {error.strerror}; choose another --out"
        ) from None
    return path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes from working in a run folder; one that is killed lets go.

    Without `fcntl` (Windows) nobody is kept out.

    Raises:
        RunError: somebody works in it, or it cannot be written; the message says who.
    """
    try:
        file = (path / LOCK_FILE).open("a+", encoding="utf-8")
    except OSError as error:
        raise RunError(f"{path} cannot be locked: {error.strerror}") from None
    with file:  # closing it lets go
        try:
            if fcntl:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another one"
            raise RunError(
                f"{path} is in use by process {holder}; wait for its end, or end it first"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def read_run(path: Path) -> dict[str, Any]:
    """Return the contents of a run folder's `run.json`.

    Raises:
        RunError: this is no run folder.
    """
    try:
        data = read_json(path / RUN_FILE)
    except FileNotFoundError:
        lacks = "it has no run.json" if path.is_dir() else "there is no such folder"
        way_out = "name the folder that a run has left"
        if (path / "task.json").is_file() or (path / TRAINING).is_dir():
            way_out = "it is `nas train` that goes on with a training, by --resume"
        raise RunError(f"{path} is not a run folder: {lacks}; {way_out}") from None
    except (OSError, ValueError) as error:
        raise RunError(f"{path} is not a run folder: run.json: {error}") from None
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise RunError(f"{path}/run.json: expected schema {SCHEMA}")
    return data


def read_config(path: Path) -> SearchConfig:
    """Return the options of a run.

    Raises:
        RunError: this is no run folder, or its `run.json` is damaged.
    """
    try:
        return SearchConfig.from_plain(read_run(path)["config"])
    except (KeyError, TypeError, AttributeError, ConfigError) as error:
        raise RunError(f"{path}/run.json is damaged: config: {error}") from None


def update_run(path: Path, **values: Any) -> None:
    """Set keys of a run folder's `run.json`."""
    write_text(path / RUN_FILE, json.dumps(read_run(path) | values, indent=2))


def write_table(path: Path, frame: pd.DataFrame) -> None:
    """Write a table as CSV, atomically."""
    write_text(path, frame.to_csv(index=False))


def _free(path: Path) -> Path:
    """Return `path`, or with a number behind it if it is taken."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}-{number}")
    return free


def _header(options: dict[str, Any]) -> dict[str, Any]:
    return {"schema": SCHEMA, "status": "running", "config": options, "seconds": {}} | conditions()


def conditions() -> dict[str, Any]:
    """Return when, with which versions, and on which machine this process works."""
    return {
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version()} | {p: version(p) for p in _PACKAGES},
        "machine": {
            "cpu": _cpu_name(),
            "cores": len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else os.cpu_count(),
            "memory_bytes": _memory_bytes(),
            "os": platform.platform(),
        },
        "git_commit": _git_commit(),
    }


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith(("model name", "Model")):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def _git_commit() -> str | None:
    """Return the commit of the checkout in which this file is tracked, if it is in one."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)
        return git("rev-parse", "HEAD").strip()
    except (OSError, subprocess.SubprocessError):
        return None
