"""Debian's nginx as the origin of a mirror and as an edge in front of it, started with the shipped files.

    async with mirror_servers(directory) as servers:
        servers.edge_url, servers.origin_url
        servers.requests                       # what the edge requested from the origin

Only addresses, the directory and `max-age` are replaced, in the files that are meant to be changed.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import aiohttp

from gateway.reserved_ports import reserved_ports
from tests.deploy.proxies import DEPLOY, a_directory, end_process, require_program
from tests.faults.servers import Connection, a_link
from tests.web.doors import until

SHIPPED = DEPLOY / "mirror"
_HEAD = re.compile(rb"^(?:GET|HEAD) (\S+) HTTP/1\.1\r\n(.*?)\r\n\r\n", re.MULTILINE | re.DOTALL)


class Requested(NamedTuple):
    """A request of the edge to the origin."""

    path: str
    head: str

    @property
    def conditional(self) -> bool:
        return "if-none-match:" in self.head.lower()


class MirrorServers(NamedTuple):
    """A directory, as its origin and an edge serve it."""

    origin_url: str
    edge_url: str
    requests: list[Requested]
    origin: asyncio.subprocess.Process

    async def stop_origin(self) -> None:
        """Stop the origin; the edge goes on."""
        self.origin.terminate()
        await self.origin.wait()

    def count(self, path: str) -> int:
        """Return how many requests for a path have reached the origin."""
        return sum(each.path == path for each in self.requests)


@asynccontextmanager
async def mirror_servers(files: Path, max_age_s: int = 2) -> AsyncIterator[MirrorServers]:
    """Serve a directory, which every user has to be able to read. Skips the test if nginx is not installed."""
    require_program("nginx")
    requests: list[Requested] = []
    async with AsyncExitStack() as opened:
        origin_port, edge_port = opened.enter_context(reserved_ports(2))
        origin_dir, edge_dir = (opened.enter_context(a_directory()) for _ in range(2))
        network = await opened.enter_async_context(a_link(origin_port))

        def forward_request(_: Connection, data: bytes) -> bool:
            requests.extend(Requested(*(part.decode() for part in found)) for found in _HEAD.findall(data))
            return True

        network.forward_request = forward_request  # type: ignore[method-assign]
        _write(origin_dir, "origin.conf", {})
        _write(origin_dir, "origin-site.conf", {"default 2;": f"default {max_age_s};"})
        places = {
            "/var/lib/valgnatt-mirror/files": str(files),
            "listen 9082;": f"listen 127.0.0.1:{origin_port};",
        }
        _write(origin_dir, "origin-listen.conf", places)
        _write(edge_dir, "edge.conf", {})
        _write(edge_dir, "edge-listen.conf", {"listen 9083;": f"listen 127.0.0.1:{edge_port};"})
        _write(
            edge_dir, "edge-site.conf", {"127.0.0.1:9082": network.host, "/var/cache/nginx": str(edge_dir)}
        )
        origin = await opened.enter_async_context(_nginx(origin_dir, "origin.conf"))
        await opened.enter_async_context(_nginx(edge_dir, "edge.conf"))
        urls = [f"http://127.0.0.1:{port}" for port in (origin_port, edge_port)]
        servers = MirrorServers(*urls, requests, origin)
        await _wait_serving(servers)
        requests.clear()
        yield servers


def _write(directory: Path, name: str, replaced: dict[str, str]) -> None:
    text = (SHIPPED / name).read_text()
    for before, after in replaced.items():
        assert before in text, before
        text = text.replace(before, after)
    (directory / name).write_text(text)


@asynccontextmanager
async def _nginx(directory: Path, name: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run nginx with a configuration; its errors are added to those of the test."""
    options = f"daemon off; pid {directory}/nginx.pid; error_log stderr warn;"
    process = await asyncio.create_subprocess_exec(
        require_program("nginx"),
        *("-p", str(directory), "-c", str(directory / name), "-e", "stderr", "-g", options),
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    output = asyncio.create_task(process.communicate())
    try:
        yield process
    except BaseException as error:
        end_process(process)
        error.add_note(f"output of nginx with {name}: {(await output)[1].decode()}")
        raise
    finally:
        end_process(process)
        await output


async def _wait_serving(servers: MirrorServers) -> None:
    async with aiohttp.ClientSession() as http:

        async def serving() -> bool:
            try:
                for url in (servers.origin_url, servers.edge_url):
                    async with http.get(f"{url}/not-there") as response:
                        if response.status != 404:
                            return False
            except aiohttp.ClientError:
                return False
            return True

        await until(serving)
