"""Real proxies in front of a real gateway, started with the shipped files.

    async with a_proxy("nginx", gateway) as proxy:
        sender = proxy.sender(await gateway.issue(election, ["0301"]))
        proxy.requests                   # request lines that reached the feed door

HAProxy reads the shipped file and gets its addresses from the variables at its beginning. nginx reads the shipped
nginx.conf; in site.conf and listen-*.conf, which are meant to be changed, only the addresses are replaced.
Connections between proxy and gateway pass through a recorder of requests.
"""

import asyncio
import os
import pwd
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from gateway.reserved_ports import reserved_ports
from tests.faults.servers import Connection, a_link
from tests.running import Gateway, Sender
from tests.web.doors import until

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
KINDS = ("haproxy", "nginx")
IDLE_S = 60
"""The timeouts of idle connections in the shipped files, in seconds."""
_REQUEST = re.compile(rb"^([A-Z]+ \S+) HTTP/1\.1\r$", re.MULTILINE)


class Proxied:
    """A gateway seen through a proxy; everything but the addresses of the doors is that of the gateway."""

    def __init__(self, gateway: Gateway, push_port: int, feed_port: int, requests: list[str]) -> None:
        self._gateway = gateway
        self.push_url = f"http://127.0.0.1:{push_port}"
        self.feed_url = f"http://127.0.0.1:{feed_port}"
        self.requests = requests
        """The requests to the feed door, such as `GET /v1/elections`, without health checks."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._gateway, name)

    def sender(self, direct: Sender) -> Sender:
        """The same token, through the proxy."""
        through = object.__new__(Sender)
        vars(through).update({**vars(direct), "gateway": self})
        return through

    def request_count(self, path: str) -> int:
        """Return how many requests whose path starts with `path` reached the feed door."""
        return sum(each.startswith(f"GET {path}") for each in self.requests)


@asynccontextmanager
async def a_proxy(kind: str, gateway: Gateway, idle_s: int = IDLE_S) -> AsyncIterator[Proxied]:
    """Start a proxy in front of both doors; skip the test if the proxy is not installed.

    It closes connections that are idle for `idle_s`.
    """
    program = require_program(kind)
    requests: list[str] = []
    async with AsyncExitStack() as opened:
        ports = [urlsplit(url).port or 0 for url in (gateway.push_url, gateway.feed_url)]
        push, feed = [await opened.enter_async_context(a_link(port)) for port in ports]

        def forward_request(_: Connection, data: bytes) -> bool:
            requests.extend(found.decode() for found in _REQUEST.findall(data) if b"/health/" not in found)
            return True

        feed.forward_request = forward_request  # type: ignore[method-assign]
        directory = opened.enter_context(a_directory())
        ports = opened.enter_context(reserved_ports(2))
        command, environ = {"haproxy": _haproxy, "nginx": _nginx}[kind](
            directory, ports, [push.host, feed.host], idle_s
        )
        process = await asyncio.create_subprocess_exec(
            program,
            *command,
            env=os.environ | environ,
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        output = asyncio.create_task(process.communicate())
        proxied = Proxied(gateway, *ports, requests)
        try:
            await _wait_serving(proxied, output)
            yield proxied
        except BaseException as error:
            end_process(process)
            error.add_note(f"output of {kind}: {(await output)[1].decode()}")
            raise
        finally:
            end_process(process)
            await output


def require_program(kind: str) -> str:
    """Return the path of a program; skip the test if it is not installed."""
    program = shutil.which(kind) or shutil.which(kind, path="/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip(f"{kind} is not installed")
    return program


@contextmanager
def a_directory() -> Iterator[Path]:
    """Yield a new directory that every user can read."""
    with tempfile.TemporaryDirectory(prefix="valgnatt-proxy-") as name:
        os.chmod(name, 0o755)  # a proxy may drop root privileges
        yield Path(name)


def end_process(process: asyncio.subprocess.Process) -> None:
    """End a process, if it still runs."""
    if process.returncode is None:
        process.terminate()


def _with_timeouts(text: str, idle_s: int) -> str:
    assert text.count(f" {IDLE_S}s") >= 4
    return text.replace(f" {IDLE_S}s", f" {idle_s}s")


def _haproxy(
    directory: Path, ports: list[int], doors: list[str], idle_s: int
) -> tuple[list[str], dict[str, str]]:
    shipped = DEPLOY / "haproxy"
    environ = {
        "PUSH_BIND": f"127.0.0.1:{ports[0]}",
        "FEED_BIND": f"127.0.0.1:{ports[1]}",
        "PUSH_SERVER": doors[0],
        "FEED_SERVER": doors[1],
        "PROXY_MAXCONN": "200",
    }
    if os.getuid() != 0:
        environ["PROXY_USER"] = pwd.getpwuid(os.getuid()).pw_name
    if idle_s == IDLE_S:
        return ["-db", "-f", str(shipped / "haproxy.cfg")], environ
    shutil.copy(shipped / "come-back.http", directory)
    (directory / "haproxy.cfg").write_text(_with_timeouts((shipped / "haproxy.cfg").read_text(), idle_s))
    return ["-db", "-f", str(directory / "haproxy.cfg")], environ


def _nginx(
    directory: Path, ports: list[int], doors: list[str], idle_s: int
) -> tuple[list[str], dict[str, str]]:
    shipped = DEPLOY / "nginx"
    (directory / "cache").mkdir()
    site = (shipped / "site.conf").read_text()
    places = {"127.0.0.1:8081": doors[0], "127.0.0.1:8080": doors[1]}
    for place, door in places.items():
        assert site.count(place) == 1
        site = site.replace(place, door)
    (directory / "site.conf").write_text(site.replace("/var/cache/nginx", str(directory / "cache")))
    doors_listen = (("push", "listen 127.0.0.1:9081;", ports[0]), ("feed", "listen 9080;", ports[1]))
    for name, listens, port in doors_listen:
        text = (shipped / f"listen-{name}.conf").read_text()
        assert text.count(listens) == 1
        (directory / f"listen-{name}.conf").write_text(text.replace(listens, f"listen 127.0.0.1:{port};"))
    (directory / "nginx.conf").write_text(_with_timeouts((shipped / "nginx.conf").read_text(), idle_s))
    options = f"daemon off; pid {directory}/nginx.pid; error_log stderr warn;"
    return ["-p", str(directory), "-c", str(directory / "nginx.conf"), "-e", "stderr", "-g", options], {}


async def _wait_serving(proxied: Proxied, output: "asyncio.Task[tuple[bytes, bytes]]") -> None:
    async with aiohttp.ClientSession() as http:

        async def serving() -> bool:
            assert not output.done(), f"the proxy exited: {output.result()[1].decode()}"
            try:
                for url in (proxied.push_url, proxied.feed_url):
                    async with http.get(f"{url}/health/ready") as response:
                        if response.status != 200:
                            return False
            except aiohttp.ClientError:
                return False
            return True

        await until(serving)
