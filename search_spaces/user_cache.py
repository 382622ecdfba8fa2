"""Where files go that can be made again: compiled code, latencies, downloads, copies of runs."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache() -> Path:
    """Return `nas` in the user's cache folder, which may not exist yet.

    Source: XDG Base Directory Specification; an empty variable counts as none.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nas"
