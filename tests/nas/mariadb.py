"""A MariaDB server of the tests' own: a fresh folder on a free port of this machine."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

PASSWORD = "s3cret"  # a word that no file of a run may hold
_START_S = 60


def programs() -> Path | None:
    """The server; Debian keeps it off a user's path."""
    found = shutil.which("mariadbd", path=f"{os.environ['PATH']}:/usr/sbin")
    return Path(found) if found and shutil.which("mariadb-install-db") else None


class MariaDb:
    """The server; as root it is told whom to run as, for it wants that said."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="nas-my-"))
        self._user = pwd.getpwuid(os.geteuid()).pw_name
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._data = self._folder / "data"
        subprocess.run(
            ["mariadb-install-db", "--no-defaults", f"--datadir={self._data}", "--skip-test-db",
             f"--user={self._user}", "--auth-root-authentication-method=normal"],
            check=True, capture_output=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        self._init = self._folder / "init.sql"
        self._init.write_text(f"CREATE USER IF NOT EXISTS nas@127.0.0.1 IDENTIFIED BY '{PASSWORD}';"
                              "\nGRANT ALL ON *.* TO nas@127.0.0.1;\n")  # fmt: skip
        self.start()

    def url(self, database="", user="nas", password=PASSWORD, port=None):
        return f"mysql://{user}:{password}@127.0.0.1:{port or self.port}/{database}"

    def create(self, database):
        with self._connection() as here, here.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE `{database}`")
        return self.url(database)

    def start(self):
        self._server = subprocess.Popen(
            [programs(), "--no-defaults", f"--datadir={self._data}", f"--user={self._user}",
             "--bind-address=127.0.0.1", f"--port={self.port}", "--skip-name-resolve",
             f"--socket={self._folder / 'socket'}", f"--init-file={self._init}",
             f"--log-error={self._folder / 'log'}", "--innodb-flush-log-at-trx-commit=2"],
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + _START_S
        while True:
            assert self._server.poll() is None, (self._folder / "log").read_text()
            try:
                self._connection().close()
            except OSError:
                assert time.monotonic() < deadline, (self._folder / "log").read_text()
                time.sleep(0.1)
            else:
                return

    def kill(self):
        """End it at once, as a crash does; what is committed stays."""
        self._server.kill()
        self._server.wait()

    def remove(self):
        self.kill()
        shutil.rmtree(self._folder)

    def _connection(self):
        import pymysql

        try:
            return pymysql.connect(
                host="127.0.0.1", port=self.port, user="nas", password=PASSWORD, autocommit=True
            )
        except pymysql.err.OperationalError as error:
            raise OSError(*error.args) from None
