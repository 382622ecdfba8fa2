"""Any program that takes an ONNX file and prints milliseconds: the way to a phone or a board."""

from __future__ import annotations

import hashlib
import math
import os
import shlex
import shutil
import signal
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen, TimeoutExpired
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from search_spaces.errors import SpecError

from ..child import exit_text
from ..runtimes import GraphError, TargetUnavailable
from ..target import TARGETS, Target

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from ..target import Timer

_SHOWN = 300  # characters of what a program prints, in a message


@TARGETS.register("command")
@dataclass(frozen=True)
class Command(Target):
    """A program of yours that takes an ONNX file and prints milliseconds, by adb or ssh, say.

    It gets the path of the file as its last argument and NAS_THREADS, NAS_BATCH and NAS_SHAPE (of
    the input, "1,3,32,32"; of several "1,3,32,32 1,8,4,4") in its environment. The last line that
    it prints is the time of one inference in milliseconds, a number and nothing else; how often it
    repeats is its own affair.

    Args:
        threads: handed on; the cores of this machine do not matter.
        timeout: seconds that a call may take.
        program: with its arguments, in the quotes of a shell; no shell runs it.

    Raises:
        SpecError: an option has none of its values.
    """

    timeout: float = 600.0
    program: str = ""

    repeats = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.timeout > 0:
            raise SpecError(f"`timeout` (={self.timeout}) must be positive")
        try:
            words = self._words
        except ValueError as error:
            raise SpecError(f"`program` (={self.program!r}) is no command: {error}") from None
        if not words:
            raise SpecError("`program` is missing, as in command:program=./measure.sh")

    @contextmanager
    def load(self, model: bytes, *examples: Tensor) -> Iterator[Timer]:
        """See `Target.load`; what the program refuses it refuses when it is timed."""
        with TemporaryDirectory(prefix="nas-") as folder:
            file = Path(folder) / "model.onnx"
            file.write_bytes(model)
            yield lambda _: self._milliseconds(file, examples)

    @property
    def runtime(self) -> str:
        """Return the program's name with a digest of its file: another program, another figure."""
        path = shutil.which(self._words[0])
        if path is None:
            raise TargetUnavailable(f"{self._words[0]} is no program that can be run here")
        return f"{Path(path).name} {hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12]}"

    @property
    def _words(self) -> list[str]:
        return shlex.split(self.program)

    def _milliseconds(self, file: Path, examples: Sequence[Tensor]) -> float:
        variables = {
            "NAS_THREADS": str(self.threads),
            "NAS_BATCH": str(self.batch),
            "NAS_SHAPE": " ".join(",".join(map(str, example.shape)) for example in examples),
        }
        try:
            code, out, err = _run([*self._words, str(file)], variables, self.timeout)
        except OSError as error:
            raise TargetUnavailable(f"{self._words[0]}: {error.strerror}") from error
        except TimeoutExpired:
            raise GraphError(f"{self.program} took longer than {self.timeout:g} s") from None
        said = err.strip()[-_SHOWN:] or "nothing on its standard error"
        if code:
            raise GraphError(f"{self.program} failed ({exit_text(code)}): {said}")
        line = (out.strip().splitlines() or [""])[-1].strip()
        try:
            ms = float(line)
        except ValueError:
            ms = math.nan
        if not 0 < ms < math.inf:
            raise GraphError(
                f"{self.program} must print milliseconds, a positive number, as its last line; it "
                f"printed {line[:_SHOWN]!r} and {said}"
            )
        return ms


def _run(command: list[str], variables: dict[str, str], seconds: float) -> tuple[int, str, str]:
    """Return exit code, output and errors; whatever happens, the program and its children end."""
    with Popen(
        command,
        env=os.environ | variables,
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=seconds)
        except BaseException:
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            else:  # Windows
                process.kill()
            raise
        return process.returncode, out, err
