"""FastAPI on uvicorn with uvloop and httptools, in a virtual environment that is created at first use."""

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from bench.figures import Unavailable
from bench.load.crowd import crowd, readers
from bench.load.hub import Hub
from bench.load.processes import cpu_s, end, pss_kb, running
from bench.peers.posting import posting
from bench.peers.report_table import report_table
from gateway.reserved_ports import reserved_port

PACKAGES = ("fastapi", "uvicorn", "uvloop", "httptools", "asyncpg", "sse-starlette")
APPS = Path(__file__).parent / "apps"
REPORTS = "/reports"
"""Path of `one_insert`, to which reports are posted."""
TABLE = report_table("peer")
INSTALL_S = 240.0
COMPLETE = "complete"
"""A file of the environment that exists once everything is installed."""


async def python_of(scratch: Path) -> Path:
    """Return a Python with FastAPI, and install it if necessary. Raises Unavailable."""
    environment = (scratch / "fastapi").resolve()
    python = environment / "bin" / "python"
    if not (environment / COMPLETE).exists():
        await _run(sys.executable, "-m", "venv", "--clear", str(environment))
        await _run(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES)
        (environment / COMPLETE).touch()
    return python


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE)
    try:
        _, output = await asyncio.wait_for(process.communicate(), INSTALL_S)
    except TimeoutError:
        output = b"it took too long"
    finally:
        await end(process)
    if process.returncode:
        words = output.decode(errors="replace").strip().splitlines()[-1:] or ["pip reported nothing"]
        raise Unavailable("FastAPI", f"cannot be installed: {words[0]}", f"pip install {' '.join(PACKAGES)}")


class Served:
    """A running app."""

    def __init__(self, port: int, pid: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.pid = pid


@asynccontextmanager
async def served(app: str, scratch: Path, **variables: str) -> AsyncIterator[Served]:
    """Run an app of `apps/` in one process. Raises Unavailable."""
    python = await python_of(scratch)
    log = scratch / f"{app}.log"
    with reserved_port() as port:
        command = [
            str(python), "-m", "uvicorn", f"{app}:app", "--app-dir", str(APPS), "--host", "127.0.0.1",
            "--port", str(port), "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning",
            "--backlog", "4096",
        ]  # fmt: skip
        async with running("FastAPI", command, port, log, variables=variables) as process:
            yield Served(port, process.pid)


@asynccontextmanager
async def one_insert(database_url: str, scratch: Path) -> AsyncIterator[Served]:
    """FastAPI with one INSERT per request, into a table that is empty at first. Raises Unavailable."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(TABLE)
    finally:
        await connection.close()
    async with served("one_insert", scratch, DATABASE_URL=database_url) as app:
        yield app


@asynccontextmanager
async def queue_per_subscriber(scratch: Path) -> AsyncIterator[Hub]:
    """FastAPI with sse-starlette and one queue per subscriber. Raises Unavailable."""
    async with (
        served("queues", scratch) as app,
        crowd(
            readers("127.0.0.1", app.port, "/changes", marker='data: {"sequence":', end_of_event="\n\n\r\n")
        ) as audience,
        posting(app.port, "/changes") as publish,
    ):
        yield Hub("FastAPI", audience, publish, lambda: cpu_s(app.pid), lambda: pss_kb(app.pid))
