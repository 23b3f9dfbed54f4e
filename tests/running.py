"""A real gateway for tests: `python -m gateway serve` as separate processes, on ports chosen by the kernel.

They are forked (`tests/fork_server.py`), unless a test that looks at memory or environments wants a `usual_start`.

    async with running(database, push_workers=2) as gateway:
        election = await gateway.load(registry_document)
        token = await gateway.issue(election, ["0301"])

The log is kept in memory, and printed if a test fails inside the block.
"""

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import orjson

from gateway.journal.administration import Administration, IssuedToken, administration
from tests.fork_server import Command

START_S = 30.0
"""The maximum time until every worker is ready; normally about one second."""
END_S = 30.0
"""The maximum time until every process has exited; normally `drain_s` at most."""
LINES_MAX = 5000


@cache
def log_events() -> frozenset[str]:
    """Return the events that the gateway's code logs."""
    source = "".join(path.read_text() for path in (Path(__file__).parents[1] / "gateway").rglob("*.py"))
    return frozenset(re.findall(r'log\.\w+\(\s*"([^"]+)"', source))


class DatabaseUrls(Protocol):
    """A migrated database, with the URLs of the owner and of the feed's login."""

    url: str
    feed_url: str


class Gateway:
    """A running gateway as its users see it: three addresses, a process, and its log."""

    def __init__(self, database: DatabaseUrls, config: dict[str, Any], *, usual_start: bool = False) -> None:
        self.database = database
        self.log: deque[str] = deque(maxlen=LINES_MAX)
        self.elections = 0
        self._terminated = False
        self._ports: Future[dict[str, int]] = Future()
        environ = {name: value for name, value in os.environ.items() if not name.startswith("VALGNATT_")}
        options = {
            "database_url": database.url,
            "feed_database_url": database.feed_url,
            "push_port": 0,
            "feed_port": 0,
            "admin_port": 0,
            "drain_s": 2,
            "log_format": "json",
            **config,
        }
        environ |= {f"VALGNATT_{name.upper()}": str(value) for name, value in options.items()}
        self._process = Command(
            "serve", environ=environ, usual_start=usual_start, stdout=subprocess.DEVNULL, text=False
        )
        self._log_reader = threading.Thread(target=self._read_log, daemon=True)
        self._log_reader.start()

    def _read_log(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            for line in lines:
                self.log.append(line.decode("utf-8", "replace").rstrip("\n"))
                if b'"started"' in line and not self._ports.done():
                    self._ports.set_result(orjson.loads(line))
        if not self._ports.done():
            self._ports.set_exception(AssertionError("the gateway exited before it was ready"))

    def wait_ready(self) -> None:
        """Block until all workers are ready."""
        self._ports.result(START_S)

    @property
    def pid(self) -> int:
        """The pid of the supervisor, whose children are the workers."""
        return self._process.pid

    @property
    def push_url(self) -> str:
        """The address of the push door."""
        return f"http://127.0.0.1:{self._ports.result(0)['push']}"

    @property
    def feed_url(self) -> str:
        """The address of the feed door."""
        return f"http://127.0.0.1:{self._ports.result(0)['feed']}"

    @property
    def admin_url(self) -> str:
        """The address of the admin port."""
        return f"http://127.0.0.1:{self._ports.result(0)['admin']}"

    def logged_errors(self) -> list[str]:
        """Return the lines logged as errors or worse; a healthy gateway logs none, regardless of its input."""
        return [line for line in self.log if '"level":"error"' in line or '"level":"critical"' in line]

    def logged(self, event: str) -> list[str]:
        """Return the lines of the events that begin like this. The gateway has to have one, or the text is outdated."""
        assert any(each.startswith(event) for each in log_events()), f"nothing logs this event: {event}"
        return [line for line in self.log if f'"event":"{event}' in line]

    def terminate(self) -> None:
        """Send SIGTERM, but only once: a second SIGTERM would end it immediately."""
        if not self._terminated:
            self._terminated = True
            self._process.send_signal(signal.SIGTERM)

    def signal(self, number: int) -> None:
        """Send the supervisor a signal."""
        self._process.send_signal(number)

    def wait_ended(self) -> int:
        """Block until it has exited and return its exit status; after END_S kill it and fail."""
        try:
            return self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the gateway did not exit within {END_S:.0f} s of SIGTERM") from None
        finally:
            self._log_reader.join(END_S)

    def kill(self) -> None:
        """Kill the supervisor (SIGKILL); the workers detect that and exit as well."""
        self._process.kill()
        self._process.wait()

    @property
    def ended(self) -> bool:
        """Whether the process has exited."""
        return self._process.poll() is not None

    @asynccontextmanager
    async def administration(self) -> AsyncIterator[Administration]:
        """Open a session for administrative acts."""
        async with administration(self.database.url, "test") as acts:
            yield acts

    async def load(self, registry: dict[str, Any], previous: dict[str, Any] | None = None) -> str:
        """Load an election, and its previous one, and return its identifier."""
        self.elections += 1
        async with self.administration() as acts:
            return await acts.load_election(registry, previous)

    async def open_election(self, registry: dict[str, Any], areas: Sequence[str]) -> "Sender":
        """Load an election and issue a token for some areas, in one session."""
        self.elections += 1
        async with self.administration() as acts:
            election = await acts.load_election(registry)
            return Sender(self, election, await acts.issue_token(election, areas))

    async def issue(
        self,
        election: str,
        areas: Sequence[str],
        *,
        role: str = "sender",
        expires_at: datetime | None = None,
    ) -> "Sender":
        """Issue a token for some areas."""
        async with self.administration() as acts:
            issued = await acts.issue_token(election, areas, role=role, expires_at=expires_at)
            return Sender(self, election, issued)

    async def revoke(self, sender: "Sender") -> None:
        """Revoke a token."""
        async with self.administration() as acts:
            await acts.revoke_token(sender.key)

    async def metrics(self) -> dict[str, float]:
        """Return the samples of the admin port by name with labels, such as `valgnatt_readers{process="feed-0"}`."""
        async with aiohttp.ClientSession() as http, http.get(f"{self.admin_url}/metrics") as response:
            assert response.status == 200
            lines = (await response.text()).splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in pairs}


class Sender:
    """A token and its election."""

    def __init__(self, gateway: Gateway, election: str, issued: IssuedToken) -> None:
        self.gateway = gateway
        self.election = election
        self.key = issued.key
        self.secret = issued.secret

    @property
    def headers(self) -> dict[str, str]:
        """The request headers that contain the token."""
        return {"Authorization": f"Bearer {self.secret}"}

    def url(self, path: str = "/reports") -> str:
        """Return a URL of the push door below the election."""
        return f"{self.gateway.push_url}/v1/elections/{self.election}{path}"


_running: list[Gateway] = []


def running_gateways() -> Iterator[Gateway]:
    """Return the gateways that are running now, so that their logs can be checked and printed."""
    return iter(tuple(_running))


@contextmanager
def served(database: DatabaseUrls, *, usual_start: bool = False, **config: Any) -> Iterator[Gateway]:
    """Run a gateway for fixtures that several tests share: like `running`, but blocking."""
    gateway = Gateway(database, config, usual_start=usual_start)
    _running.append(gateway)
    try:
        gateway.wait_ready()
        yield gateway
        gateway.terminate()
        status = gateway.wait_ended()
        assert status == 0, f"the gateway exited with status {status}"
    except BaseException:
        sys.stderr.write("the gateway's log:\n" + "\n".join(gateway.log) + "\n")
        raise
    finally:
        _running.remove(gateway)
        if not gateway.ended:
            gateway.kill()


@asynccontextmanager
async def running(
    database: DatabaseUrls, *, usual_start: bool = False, **config: Any
) -> AsyncIterator[Gateway]:
    """Run a gateway on a database; `config` gives options by name, such as `heartbeat_s=1`.

    At the end of the block it is terminated with SIGTERM, and must exit with status 0.
    """
    serving = served(database, usual_start=usual_start, **config)
    gateway = await asyncio.to_thread(serving.__enter__)
    try:
        yield gateway
    except BaseException as error:
        if not await asyncio.to_thread(serving.__exit__, type(error), error, error.__traceback__):
            raise
    else:
        await asyncio.to_thread(serving.__exit__, None, None, None)
