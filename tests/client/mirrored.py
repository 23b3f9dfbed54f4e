"""The real command `valgnatt mirror` for a gateway, and a web server with its directory."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from tests.client.commands import running_command
from tests.running import Gateway

TIMEOUT_S = 60.0


@asynccontextmanager
async def mirrored(gateway: Gateway, election: str, directory: Path) -> AsyncIterator[str]:
    """Write an election to a directory, each second if it changes, and yield the URL of its mirror."""
    arguments = ("mirror", gateway.feed_url, directory, "--election", election, "--every", "1")
    directory.mkdir(exist_ok=True)  # noqa: ASYNC240 - once, before anything runs
    with running_command(*arguments, environ=os.environ) as process:
        async with asyncio.timeout(TIMEOUT_S), serving_files(directory) as url:
            while not _is_complete(directory / "v1/elections", election):
                assert process.poll() is None, process.communicate()
                await asyncio.sleep(0.02)
            yield url


def _is_complete(files: Path, election: str) -> bool:
    wanted = (
        "elections.json",
        *(f"elections/{election}{end}" for end in (".json", "/live.json", "/results.csv")),
    )
    return all((files.parent / each).exists() for each in wanted)


@asynccontextmanager
async def serving_files(directory: Path) -> AsyncIterator[str]:
    """Serve a directory below `/results` to pages of any origin, as the contract says of mirrors."""

    async def of_any_origin(_: web.Request, response: web.StreamResponse) -> None:
        response.headers["Access-Control-Allow-Origin"] = "*"

    application = web.Application()
    application.on_response_prepare.append(of_any_origin)
    application.router.add_static("/results", directory)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}/results"
    finally:
        await runner.cleanup()
