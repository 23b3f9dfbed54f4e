"""The election under load: at a running gateway, known by its addresses, or at one started for the measurement."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import msgspec

from bench.load.local import Local
from gateway.election.rules.policy import RULES
from gateway.errors import GatewayError
from gateway.journal.administration import administration
from gateway.rehearsal.dataset import RecordedReport
from gateway.rehearsal.replay import rehearsal_of
from gateway.rehearsal.schedule import as_fast_as_possible

PASSED_S = -60.0
"""End of an embargo that has passed, in s from now: every report is published at once."""


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
    """The processes and the database of the gateway, if they are our own."""


class NoTarget(GatewayError):
    """This gateway cannot be put under load; the text gives the reason."""

    code = "no_target"


class Data(Protocol):
    """A data set, on disk or generated in memory."""

    @property
    def registry(self) -> dict[str, Any]:
        """Election, areas, parties."""

    def reports(self) -> Iterable[RecordedReport]:
        """Yield the reports of all municipalities, in order."""


class Created(msgspec.Struct, frozen=True):
    """A new election."""

    id: str
    registry: dict[str, Any]
    publish_from: datetime
    secrets: list[str]
    """Tokens, one per group of senders."""


def without_rules(registry: dict[str, Any]) -> dict[str, Any]:
    """Return a registry with all rules off; rules that it does not name would be evaluated, and warn."""
    return {
        **registry,
        "election": {**registry["election"], "rules": {code: {"do": "off"} for code in RULES}},
    }


async def create_election(
    local: Local,
    registry: dict[str, Any],
    senders: Sequence[Sequence[str]] = (),
    publish_in_s: float = PASSED_S,
    counted_at: Sequence[datetime] = (),
) -> Created:
    """Load a registry as a new rehearsal at our own gateway, with a token for each group of senders."""
    started = datetime.now(UTC)
    publish_from = started + timedelta(seconds=publish_in_s)
    document = rehearsal_of(registry, started, as_fast_as_possible(counted_at or [started], publish_in_s))
    document["election"]["publish_from"] = publish_from.isoformat()
    async with administration(local.database_url, "bench") as acts:
        election = await acts.load_election(document)
        issued = await acts.issue_tokens(election, [(list(areas), "bench") for areas in senders])
    await asyncio.sleep(0.01)  # the identifier of a rehearsal contains the time, in ms
    return Created(election, document, publish_from, [token.secret for token in issued])


async def own_target(
    local: Local, data: Data, publish_in_s: float, tokens_max: int | None = None, *, rules: bool = True
) -> Target:
    """Create an election of a data set at our own gateway; its embargo ends after `publish_in_s`.

    Each municipality has its own token, or shares one of `tokens_max` with others. Without `rules`, all are off.
    """
    counted_at: list[datetime] = []
    senders: dict[str, None] = {}
    for each in data.reports():  # there may be millions, so the reports are not kept
        counted_at.append(each.counted_at)
        senders[each.municipality] = None
    tokens = min(len(senders), tokens_max or len(senders))
    groups = [list(senders)[place::tokens] for place in range(tokens)]
    registry = data.registry if rules else without_rules(data.registry)
    created = await create_election(local, registry, groups, publish_in_s, counted_at)
    await wait_served(local, created.id)
    return Target(
        local.push_url,
        local.feed_url,
        created.id,
        created.registry,
        {sender: created.secrets[place % tokens] for place, sender in enumerate(senders)},
        created.publish_from,
        local,
    )


async def wait_served(local: Local, election: str) -> None:
    """Wait until the feed port of our own gateway serves an election."""
    async with asyncio.timeout(30), local.session() as http:
        while True:
            async with http.get(f"{local.feed_url}/v1/elections/{election}") as answer:
                if answer.status == 200:
                    return
            await asyncio.sleep(0.05)


async def running_target(push_url: str, feed_url: str, election: str, tokens: Path) -> Target:
    """Return an election of a gateway that is running; `tokens` is a JSON file, municipality → token.

    Raises NoTarget, also for an election that is not marked as a rehearsal.
    """
    secrets = _read_tokens(tokens)
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
        raise NoTarget(f"{election} is not a rehearsal; a real election is never put under load")
    publish_from = datetime.fromisoformat(document["publish_from"])
    return Target(push_url, feed_url, election, document["registry"], secrets, publish_from)


def _read_tokens(path: Path) -> dict[str, str]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except (OSError, msgspec.DecodeError) as error:
        raise NoTarget(f"{path}: {error}") from None


@asynccontextmanager
async def publications(target: Target) -> AsyncIterator[AsyncIterator[bytes]]:
    """Read the public record from its beginning, one line per publication."""
    url = f"{target.feed_url.rstrip('/')}/v1/elections/{target.election}/publications"

    async def lines(http: aiohttp.ClientSession) -> AsyncIterator[bytes]:
        after = 0
        while True:
            async with http.get(url, params={"after": str(after), "limit": "1000"}) as answer:
                answer.raise_for_status()
                page = [line for line in (await answer.read()).split(b"\n") if line]
            if not page:
                return
            for line in page:
                yield line
            after += len(page)

    async with target.local.session() if target.local is not None else aiohttp.ClientSession() as http:
        yield lines(http)
