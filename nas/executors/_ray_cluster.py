"""The way to a cluster, or to a Ray of this machine, and to its nodes."""

from __future__ import annotations

import logging
import os
import socket
from functools import wraps
from typing import Any

from search_spaces.errors import NasError

HEAD = "node:__internal_head__"  # the resource that only the head node has
RETRIES = 3  # of what is under way on a worker or node that is lost
# Tune writes three logs a trial, a state of its own and a table on the terminal: the run folder
# has what we need of it. Set before Ray is imported.
_QUIET = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "inf",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_SLOW_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "inf",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
_TOKEN = "if it asks for a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH=FILE"
_LOST = "A worker died or was killed"


class RayError(NasError, ConnectionError):
    """A cluster that cannot be reached, or has no room for a single job."""


def connect(address: str | None) -> bool:
    """Connect this process unless it is connected, and say whether that was needed.

    Args:
        address: "auto" or HOST:PORT of a cluster; None starts a Ray on this machine.

    Raises:
        RayError: there is no such cluster.
    """
    os.environ.update(_QUIET)
    import ray
    from ray.exceptions import AuthenticationError

    if ray.is_initialized():
        return False
    try:
        if address not in (None, "auto"):
            _knock(address)
        ray.init(
            address=address or "local",
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env={"env_vars": {"RAY_CHDIR_TO_TRIAL_DIR": "0"}},
        )
    except RayError:
        raise
    except AuthenticationError as error:
        raise RayError(f"no Ray cluster at {address}: {error.message}; {_TOKEN}") from None
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        if type(error) is ConnectionError:  # Ray's own, which does not say that this was the cause
            reason += f"; {_TOKEN}"
        raise RayError(f"no Ray cluster at {address}: {reason}") from None
    _keep_stdout()
    return True


def disconnect() -> None:
    """Undo `connect`, which ends a Ray of our own."""
    import ray
    from ray._private import worker

    ray.shutdown()
    show = worker.print_to_stdstream
    worker.print_to_stdstream = getattr(show, "__wrapped__", show)


def _keep_stdout() -> None:
    """Keep what Ray prints on stdout from it, and its word of a lost worker, for we have our own.

    It has no option for that.
    """
    from ray._private import worker

    show = worker.print_to_stdstream

    @wraps(show)
    def shown(data: dict[str, Any], *arguments: Any, **named: Any) -> None:
        if not any(_LOST in line for line in data["lines"]):
            show({**data, "is_err": True}, *arguments, **named)

    worker.print_to_stdstream = shown


def nodes() -> list[dict[str, Any]]:
    """Return the nodes that are alive, as Ray tells of them."""
    import ray

    return [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def _knock(address: str) -> None:
    """Find out in seconds that nobody is at HOST:PORT; Ray takes minutes.

    Raises:
        RayError: this is no such address.
        OSError: nobody is there.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise RayError(f"`ray_address` (={address!r}) must be 'auto' or HOST:PORT")
    socket.create_connection((host, int(port)), timeout=10).close()
