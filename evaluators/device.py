"""What this machine is called where its latencies are kept."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path


@cache
def device() -> str:
    """Return the processor, its cores and the system: "AMD EPYC 7R13, 2 cores, Linux x86_64"."""
    return f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    known = dict(line.split(":", 1) for line in lines if ":" in line)
    names = {name.strip(): value.strip() for name, value in known.items()}
    return names.get("model name") or names.get("Model") or "unknown processor"
