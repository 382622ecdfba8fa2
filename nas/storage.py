"""Where a study is kept: the URL of a database, its password out of sight."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search_spaces.errors import NasError

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

VARIABLE = "NAS_STORAGE"  # environment variable that stands for `--storage`
_FORM = "postgresql://USER:PASSWORD@HOST/DATABASE, mysql://... or sqlite:///FILE"
_DRIVERS = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql", "sqlite": "sqlite"}
_PATIENCE_S = 10  # for a server that does not answer
_MASK = "***"


class StudyError(NasError, RuntimeError):
    """A study's database that cannot be read, or figures that it cannot take."""


def database_url(storage: str) -> URL:
    """Return `storage` as SQLAlchemy wants it, with the driver that our extras install.

    Raises:
        StudyError: it is no URL of a database we know; a faulty one is not repeated, for it may
            hold a password.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(storage)
    except (ArgumentError, ValueError):
        raise StudyError(f"`storage` is no URL of a database: expected {_FORM}") from None
    name = url.get_backend_name()
    if name not in _DRIVERS:
        raise StudyError(f"`storage` names the unknown database {name!r}: expected {_FORM}")
    if any("pass" in key.lower() for key in url.query):
        raise StudyError(
            "`storage` has a password after the `?`; it belongs before the `@`, from where it is "
            f"not written down: {_FORM}"
        )
    if name == "sqlite" and url.database in (None, "", ":memory:"):
        raise StudyError("`storage` (=sqlite) must name a file: sqlite:///FILE")
    return url.set(drivername=_DRIVERS[name]) if "+" not in url.drivername else url


def masked(storage: str) -> str:
    """Return `storage` as it may be shown: three stars stand for the password."""
    return database_url(storage).render_as_string()


def located(storage: str) -> str:
    """Return `storage` with the file of a SQLite database as an absolute path."""
    url = database_url(storage)
    if url.get_backend_name() == "sqlite":
        url = url.set(database=str(Path(url.database or "").absolute()))
    return url.render_as_string(hide_password=False)


def with_password(kept: str, given: str | None) -> str:
    """Return the URL of a run's database, whose `kept` form may lack the password.

    Args:
        kept: from `run.json`.
        given: by the user, now; the environment stands in for it.

    Raises:
        StudyError: the password is needed, and nobody gives it.
    """
    given = given or os.environ.get(VARIABLE)
    if given:
        return located(given)
    if database_url(kept).password == _MASK:
        raise StudyError(
            f"the password of {kept} is not kept: give --storage URL or set {VARIABLE}"
        )
    return kept


def engine_options(url: URL) -> dict[str, Any]:
    """Return options of SQLAlchemy's: a server that is gone is noticed within seconds."""
    if url.get_backend_name() == "postgresql" and url.get_driver_name() == "psycopg":
        wait = {"connect_timeout": _PATIENCE_S, "tcp_user_timeout": 1000 * _PATIENCE_S}
    elif url.get_backend_name() == "mysql" and url.get_driver_name() == "pymysql":
        wait = {f"{what}_timeout": _PATIENCE_S for what in ("connect", "read", "write")}
    else:
        return {}
    return {"pool_pre_ping": True, "connect_args": wait}


def missing_driver(url: URL) -> StudyError:
    """Return what to say where the package is missing that speaks to this kind of database."""
    name, driver = url.get_backend_name(), url.get_driver_name()
    ours = _DRIVERS[name] == f"{name}+{driver}"
    package = f"'nas-compact[{name}]'" if ours else driver
    return StudyError(f"{name} needs the driver {driver}: pip install {package}")


def one_line(error: BaseException) -> str:
    """Return what the driver says, without SQLAlchemy's frame around it."""
    cause = error
    while (inner := getattr(cause, "orig", None) or cause.__cause__) is not None:
        cause = inner
    if len(cause.args) == 2 and isinstance(cause.args[0], int):  # PyMySQL: a number and a text
        cause = RuntimeError(cause.args[1])
    lines = str(cause).strip().splitlines()
    return lines[0] if lines else type(cause).__name__
