"""C++ that is compiled where it runs, once: next to nothing to install, and nothing to wait for.

The source needs no header and is called through ctypes, so that a compiler takes a second and any
Python and PyTorch will do. Every reason why it does not work is a debug message, for there is
always a slower form.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

TIMEOUT_S = 20.0  # for one call of a compiler, which takes 1 s, or a few on a busy machine
FLAGS = ("-O3", "-march=native", "-fPIC", "-w")

_log = logging.getLogger(__name__)


def load(source: Path) -> ctypes.CDLL | None:
    """Return the library made from the C++ file `source`, or nothing if that is not to be had.

    The library is kept in the user's cache, by all that it depends on. It appears there complete or
    not at all; two processes that build it at once replace each other's by its like, without locks.
    """
    try:
        runtime = _openmp()
        file = _cache() / f"{source.stem.strip('_')}-{_key(source, runtime)}.so"
        if not file.exists():
            _build(source, runtime, file)
        return ctypes.CDLL(str(file))
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        reason = getattr(error, "stderr", None) or error
        _log.debug("%s is not compiled, so a slower form is used: %s", source.name, reason)
        return None


def _build(source: Path, runtime: str | None, file: Path) -> None:
    compiler = next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)
    if compiler is None:
        raise RuntimeError("no C++ compiler is on the path")
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=".build-") as folder:
        code, library = Path(folder, "code.o"), Path(folder, "library.so")
        openmp = ["-fopenmp"] if runtime else []
        _run(compiler, *FLAGS, *openmp, "-c", str(source), "-o", str(code))
        _run(compiler, "-shared", str(code), *([runtime] if runtime else []), "-o", str(library))
        library.replace(file)


def _run(*command: str) -> None:
    options = {"capture_output": True, "text": True, "check": True}
    subprocess.run(command, stdin=subprocess.DEVNULL, timeout=TIMEOUT_S, **options)  # type: ignore[call-overload]


def _key(source: Path, runtime: str | None) -> str:
    cpu = _read("/proc/cpuinfo").split("\n\n")[0]
    known = [line for line in cpu.splitlines() if line.startswith(("flags", "Features", "model n"))]
    versions = [torch.__version__, str(sys.implementation.cache_tag), platform.machine()]
    parts = [*versions, str(runtime), *FLAGS, *known]
    digest = hashlib.sha256("\0".join(parts).encode())
    digest.update(source.read_bytes())
    return digest.hexdigest()[:24]


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nas" / "compiled"


def _openmp() -> str | None:
    """Return the OpenMP library that PyTorch has loaded: a second one would fight for the cores."""
    for line in _read("/proc/self/maps").splitlines():
        path = line.split(maxsplit=5)[-1]
        if Path(path).name.startswith(("libgomp", "libiomp5", "libomp")):
            return path
    return None


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8", "replace")
    except OSError:
        return ""
