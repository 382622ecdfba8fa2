"""C++ that is compiled where it runs, once: next to nothing to install, and nothing to wait for.

The source needs no header and is called through ctypes, so that a compiler takes a second and any
Python and PyTorch will do. Every reason why it does not work is a debug message, for there is
always a slower form.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import logging
import os
import platform
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from .user_cache import user_cache

TIMEOUT_S = 20.0  # for one call of a compiler, which takes 1 s, or a few on a busy machine
FLAGS = ("-std=c++17", "-O3", "-march=native", "-fPIC", "-w")

_log = logging.getLogger(__name__)


def load(source: Path) -> ctypes.CDLL | None:
    """Return the library made from the C++ file `source`, or nothing if that is not to be had.

    The library is kept in the user's cache, by all that it depends on. It appears there complete or
    not at all, and its name has its digest: what is broken or foreign is made anew, not loaded. Two
    processes that build it at once replace each other's by its like, without locks.
    """
    try:
        runtime = _openmp()
        folder, name = _cache(), f"{source.stem.strip('_')}-{_key(source, runtime)}"
        return ctypes.CDLL(str(_kept(folder, name) or _build(source, runtime, folder, name)))
    except (OSError, RuntimeError) as error:
        _log.debug("%s is not compiled, so a slower form is used: %s", source.name, error)
        return None


def _cache() -> Path:
    """Return the folder of the libraries, which is the user's alone: others' code is not run."""
    if os.name != "posix":
        raise RuntimeError("only POSIX systems are known to work")
    folder = user_cache() / "compiled"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    if found.st_uid != os.getuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise RuntimeError(f"{folder} belongs to another user, or others can write to it")
    return folder


def _kept(folder: Path, name: str) -> Path | None:
    for file in folder.glob(f"{name}-*.so"):
        if file.name == f"{name}-{_digest(file.read_bytes())}.so":
            return file
        file.unlink(missing_ok=True)
    return None


def _build(source: Path, runtime: str | None, folder: Path, name: str) -> Path:
    compiler = next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)
    if compiler is None:
        raise RuntimeError("no C++ compiler is on the path")
    with tempfile.TemporaryDirectory(dir=folder, prefix=".build-") as scratch:
        code, library = Path(scratch, "code.o"), Path(scratch, "library.so")
        openmp = ["-fopenmp"] if runtime else []
        _run(compiler, *FLAGS, *openmp, "-c", str(source), "-o", str(code))
        _run(compiler, "-shared", str(code), *([runtime] if runtime else []), "-o", str(library))
        with library.open("rb") as file:
            digest = _digest(file.read())
            os.fsync(file.fileno())
        ctypes.CDLL(str(library))  # what cannot be loaded is not kept
        return library.replace(folder / f"{name}-{digest}.so")


def _run(*command: str) -> None:
    """Run a compiler, and leave nothing of it when its time is over."""
    none, pipe = subprocess.DEVNULL, subprocess.PIPE
    options = {"stdin": none, "stdout": none, "stderr": pipe, "start_new_session": True}
    with subprocess.Popen(command, **options, text=True) as process:  # type: ignore[call-overload]
        try:
            _, errors = process.communicate(timeout=TIMEOUT_S)
        except BaseException as error:  # an interrupt, too
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise RuntimeError(f"{command[0]} took more than {TIMEOUT_S:g} s") from None
            raise
    if process.returncode:
        raise RuntimeError(errors.strip() or f"{command[0]} returned {process.returncode}")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:24]


def _key(source: Path, runtime: str | None) -> str:
    cpu = _read("/proc/cpuinfo").split("\n\n")[0]
    known = [line for line in cpu.splitlines() if line.startswith(("flags", "Features", "model n"))]
    versions = [torch.__version__, str(sys.implementation.cache_tag), platform.machine()]
    parts = [*versions, str(runtime), *FLAGS, *known]
    return _digest("\0".join(parts).encode() + source.read_bytes())


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
