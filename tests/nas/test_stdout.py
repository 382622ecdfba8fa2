"""What a converter prints, from Python or from C, is on stderr."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

from nas.exporters._stdout import printing_to_stderr

_SCRIPT = """
import ctypes, os
from nas.exporters._stdout import printing_to_stderr
print("before")
with printing_to_stderr():
    print("python")
    os.write(1, b"descriptor\\n")
    ctypes.CDLL(None).puts(b"c library")
print("after")
"""


def test_all_that_is_printed_goes_to_stderr() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["before", "after"]
    assert set(done.stderr.splitlines()) == {"python", "descriptor", "c library"}


def test_it_comes_back_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="no"), printing_to_stderr():
        raise ValueError("no")
    os.write(1, b"out\n")
    ctypes.CDLL(None).fflush(None)
    assert capfd.readouterr().out == "out\n"
