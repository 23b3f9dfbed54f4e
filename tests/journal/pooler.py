"""PgBouncer between a test and the shared Postgres."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gateway.database_url import read_database_url
from gateway.journal.postgres_programs import as_permitted_user
from gateway.reserved_ports import reserved_ports

START_S = 20.0
"""Seconds within which PgBouncer has to accept connections."""


class Pooler:
    """A running PgBouncer."""

    def __init__(self, port: int, server: str) -> None:
        self.port = port
        self._server = server

    def url(self, of: str) -> str:
        """Return the URL of a database through the pooler, with the login of `of`."""
        parts = urlsplit(of)
        return f"postgresql://{parts.username}:{parts.password}@127.0.0.1:{self.port}{parts.path}"


@contextmanager
def pooler(
    directory: Path, urls: list[str], pool_mode: str, *, ignored: str = "", **options: object
) -> Iterator[Pooler]:
    """Run PgBouncer for the logins of `urls` in front of their server; skip the test where it is not installed."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        pytest.skip("pgbouncer is not installed")
    (host,) = read_database_url(urls[0]).hosts
    with reserved_ports(1) as (port,):
        users = [urlsplit(url) for url in urls]
        (directory / "users.txt").write_text(
            "".join(f'"{each.username}" "{each.password}"\n' for each in users)
        )
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": port,
            "auth_type": "plain",
            "auth_file": directory / "users.txt",
            "pool_mode": pool_mode,
            "unix_socket_dir": "",
            "ignore_startup_parameters": ignored,
            "logfile": directory / "pgbouncer.log",
            **options,
        }
        lines = [
            "[databases]",
            f"* = host={host.name} port={host.port}",
            "[pgbouncer]",
            *(f"{name} = {value}" for name, value in settings.items()),
        ]
        (directory / "pgbouncer.ini").write_text("\n".join(lines))
        prefix, owner = as_permitted_user()  # PgBouncer refuses to run as root too
        if owner:
            for path in (directory, *directory.iterdir()):
                os.chown(path, owner, -1)
        command = [*prefix, program, "-q", str(directory / "pgbouncer.ini")]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                _wait_accepting(port)
                yield Pooler(port, urls[0])
            finally:
                process.terminate()


def _wait_accepting(port: int) -> None:
    until = time.monotonic() + START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            assert time.monotonic() < until, "pgbouncer does not accept connections"
            time.sleep(0.02)
        else:
            return
