"""The gateway under load: one that runs already, known by its addresses, or one of our own."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import msgspec

from bench.load.local import Local
from gateway.errors import GatewayError
from gateway.journal.administration import administration
from gateway.rehearsal.dataset import RecordedReport
from gateway.rehearsal.replay import rehearsal_of
from gateway.rehearsal.schedule import as_fast_as_possible


class Target(msgspec.Struct, frozen=True):
    """An election at a gateway, and the tokens of its senders."""

    push_url: str
    feed_url: str
    election: str
    registry: Mapping[str, Any]
    tokens: Mapping[str, str]
    """By municipality."""
    publish_from: datetime
    local: Local | None = None
    """The gateway's processes and database, where they are our own."""


class NoTarget(GatewayError):
    """A gateway that cannot be put under load; the text says why."""

    code = "no_target"


class Election(Protocol):
    """A data set, or what is as good as one."""

    @property
    def registry(self) -> dict[str, Any]:
        """Election, areas, parties."""

    def reports(self) -> Iterable[RecordedReport]:
        """What each municipality pushed, in order."""


async def rehearsal(
    local: Local, dataset: Election, publish_in_s: float, tokens_max: int | None = None
) -> Target:
    """Make an election of its own of a data set at our own gateway, whose embargo ends in so many seconds.

    Each municipality has a token of its own, or shares one with others where there may be only so many.
    """
    started = datetime.now(UTC)
    publish_from = started + timedelta(seconds=publish_in_s)
    counted_at: list[datetime] = []
    senders: dict[str, None] = {}
    for each in dataset.reports():  # which may be many, so none is kept
        counted_at.append(each.counted_at)
        senders[each.municipality] = None
    document = rehearsal_of(dataset.registry, started, as_fast_as_possible(counted_at, publish_in_s))
    document["election"]["publish_from"] = publish_from.isoformat()
    async with administration(local.database_url, "bench") as acts:
        election = await acts.load_election(document)
        count = min(len(senders), tokens_max or len(senders))
        issued = await acts.issue_tokens(
            election, [(list(senders)[place::count], "bench") for place in range(count)]
        )
    tokens = {sender: issued[place % count].secret for place, sender in enumerate(senders)}
    target = Target(local.push_url, local.feed_url, election, document, tokens, publish_from, local)
    await shown(local, election)
    return target


async def shown(local: Local, election: str) -> None:
    """Wait until the feed door of our own gateway knows an election."""
    async with asyncio.timeout(30), local.session() as http:
        while True:
            async with http.get(f"{local.feed_url}/v1/elections/{election}") as answer:
                if answer.status == 200:
                    return
            await asyncio.sleep(0.05)


async def running(push_url: str, feed_url: str, election: str, tokens: Path) -> Target:
    """Find an election at a gateway that runs; `tokens` is a JSON file, municipality → token. Raises NoTarget."""
    held = _tokens(tokens)
    try:
        async with (
            asyncio.timeout(20),
            aiohttp.ClientSession() as http,
            http.get(f"{feed_url.rstrip('/')}/v1/elections/{election}") as answer,
        ):
            document = await answer.json()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise NoTarget(f"{feed_url}: {str(error) or type(error).__name__}") from None
    if answer.status != 200:
        raise NoTarget(f"{feed_url}: {document.get('detail', answer.status)}")
    if not document["registry"]["election"].get("rehearsal"):
        raise NoTarget(f"{election} is no rehearsal; load goes into no real election")
    publish_from = datetime.fromisoformat(document["publish_from"])
    return Target(push_url, feed_url, election, document["registry"], held, publish_from)


def _tokens(path: Path) -> dict[str, str]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except (OSError, msgspec.DecodeError) as error:
        raise NoTarget(f"{path}: {error}") from None


@asynccontextmanager
async def publications(target: Target) -> AsyncIterator[AsyncIterator[bytes]]:
    """Read the whole record, a line a publication, as anybody can."""
    url = f"{target.feed_url.rstrip('/')}/v1/elections/{target.election}/publications"

    async def lines(http: aiohttp.ClientSession) -> AsyncIterator[bytes]:
        after = 0
        while True:
            async with http.get(url, params={"after": str(after), "limit": "1000"}) as answer:
                answer.raise_for_status()
                found = [line for line in (await answer.read()).split(b"\n") if line]
            if not found:
                return
            for line in found:
                yield line
            after += len(found)

    async with target.local.session() if target.local is not None else aiohttp.ClientSession() as http:
        yield lines(http)
