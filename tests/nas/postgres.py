"""A PostgreSQL server of the tests' own: a fresh cluster on a free port of this machine."""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from sqlalchemy.engine import make_url

PASSWORD = "s3cret"  # a word that no file of a run may hold


def programs() -> Path | None:
    """The folder of `initdb` and `postgres`; Debian keeps it off the path."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((f for f in folders if (f / "postgres").exists()), None)


class Postgres:
    """The server; it refuses to run as root, so root lends it another user."""

    def __init__(self) -> None:
        self._bin = programs()
        self._folder = Path(tempfile.mkdtemp(prefix="nas-pg-"))  # pytest's are closed to others
        self._user = None
        if os.geteuid() == 0:
            names = {entry.pw_name for entry in pwd.getpwall()}
            self._user = "postgres" if "postgres" in names else "nobody"
            shutil.chown(self._folder, self._user)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self._data = self._folder / "data"
        self._run("initdb", "-D", self._data, "-U", "nas", "-A", "scram-sha-256", "--pwfile",
                  secret, "--no-sync", "-E", "UTF8", "--locale=C")  # fmt: skip
        self.start()

    def url(self, database="postgres", user="nas", password=PASSWORD, port=None):
        return f"postgresql://{user}:{password}@127.0.0.1:{port or self.port}/{database}"

    def create(self, database):
        import psycopg

        url = make_url(self.url())
        with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as here:
            here.execute(f"CREATE DATABASE {database}")
        return self.url(database)

    def start(self):
        options = f"-h 127.0.0.1 -p {self.port} -k '' -F"
        self._run(
            "pg_ctl", "-D", self._data, "-w", "-l", self._folder / "log", "-o", options, "start"
        )

    def kill(self):
        """End it at once, as a crash does; what is committed stays."""
        self._run("pg_ctl", "-D", self._data, "-m", "immediate", "stop")

    def remove(self):
        if (self._data / "postmaster.pid").exists():
            self.kill()
        shutil.rmtree(self._folder)

    def _run(self, program, *arguments):
        who = {"user": self._user} if self._user not in (None, getpass.getuser()) else {}
        done = subprocess.run(
            [self._bin / program, *map(str, arguments)],
            cwd=self._folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, check=False, **who,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
