"""A process of its own for what may end a process: a runtime that crashes on a graph."""

from __future__ import annotations

import signal
import sys
import traceback
import weakref
from contextlib import contextmanager
from multiprocessing import get_context
from pickle import PickleError
from typing import TYPE_CHECKING, Any, TypeVar

from search_spaces.errors import NasError
from search_spaces.plugins import loaded_plugins

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    from search_spaces.plugins import Plugin

T = TypeVar("T")
Answer = tuple[Any, "Exception | None", str]  # result, error, and where that came from

GUARD = "a script must call nas under `if __name__ == '__main__':`, for its workers import it"
_READY = "ready"
_PATIENCE_S = 2.0  # for a process that is asked to end


class WorkerError(NasError, RuntimeError):
    """Worker processes that cannot be started."""


class ChildDied(NasError, RuntimeError):
    """A process that ended while it had something to do."""


class Child:
    """A process that runs functions for this one; it starts with the first and stays.

    One that dies takes only the call with it: the next call starts another.
    """

    def __init__(self) -> None:
        self._end: weakref.finalize[..., Child] | None = None

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Return `function(*arguments)`, run over there, or raise what it raises.

        Raises:
            ChildDied: the process died meanwhile; the message says of what.
            WorkerError: it could not start.
        """
        if self._end is None:
            self._start()
        try:
            self._connection.send((function, arguments))
            result, error, trace = self._connection.recv()
        except (EOFError, ConnectionError):
            self.end()
            raise ChildDied(f"the process died ({exit_text(self._process.exitcode)})") from None
        except BaseException:  # an interrupt: the answer would meet the next call
            self.end()
            raise
        if error is not None:
            raise error from _There(trace)
        return result  # type: ignore[no-any-return]

    def end(self) -> None:
        """End the process, if there is one."""
        if self._end is not None:
            self._end()
            self._end = None

    def _start(self) -> None:
        self._process, self._connection = spawn(_serve, loaded_plugins())
        self._end = weakref.finalize(self, _end, self._process, self._connection)
        try:
            self._connection.recv()
        except (EOFError, ConnectionError):
            self.end()
            raise WorkerError(f"a worker process could not start: {GUARD}") from None


class _There(Exception):
    """Where in the other process an error came from."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def spawn(serve: Callable[..., None], *arguments: Any) -> tuple[BaseProcess, Connection]:
    """Start a process that calls `serve(connection, *arguments)`, and return its near end.

    It dies with this process and never sees Ctrl-C, which the terminal sends to all: it is ours.
    """
    context = get_context("spawn")  # fork is unsafe once torch has threads
    near, far = context.Pipe()
    process = context.Process(target=serve, args=(far, *arguments), daemon=True)
    with _interrupts_blocked():
        process.start()
    far.close()
    return process, near


def exit_text(code: int | None) -> str:
    """Return how a process with this exit code ended: "signal SIGSEGV", "exit code 3"."""
    code = code or 0
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end(process: BaseProcess, connection: Connection) -> None:
    process.terminate()
    process.join(_PATIENCE_S)
    process.kill()  # a runtime that hangs hears nothing
    process.join()
    connection.close()


def _serve(connection: Connection, plugins: tuple[Plugin, ...]) -> None:
    """Call what comes and send back its result, its error and where that happened."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # so that temporary files are removed
    for plugin in plugins:
        plugin.load()
    try:
        connection.send(_READY)
        while True:
            function, arguments = connection.recv()
            answer = _answer(function, arguments)
            try:
                connection.send(answer)
            except (TypeError, AttributeError, PickleError) as error:  # it cannot be sent
                connection.send((None, RuntimeError(str(error)), answer[2]))
    except (EOFError, ConnectionError):  # the parent is gone
        return


def _answer(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Answer:
    try:
        return function(*arguments), None, ""
    except Exception as error:
        return None, error, traceback.format_exc()
