"""The commands `valgnatt watch` and `valgnatt status`."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypedDict, TypeVar
from urllib.parse import quote

import msgspec
from rich.console import Group
from rich.live import Live
from rich.text import Text

from gateway.client.http_json import open_door
from gateway.client.proxies import without_user
from gateway.client.push_files import registry_of
from gateway.client.subscriber import Subscriber
from gateway.client.tables import Area, area_table, ballots, state_of, transfers_table
from gateway.errors import GatewayError
from gateway.humanize import counted
from gateway.output import say_json
from gateway.terminal import Terminal
from gateway.wire.transfers import PublicTransfers

T = TypeVar("T")

ROWS_MAX = 40
REDRAWS_PER_S = 4
REQUEST_S = 30.0
"""How long a document may take to arrive, in seconds."""


class _Election(TypedDict):
    id: str
    rehearsal: bool


class _Elections(TypedDict):
    elections: list[_Election]


async def the_election(feed_url: str, election: str | None) -> str:
    """Return the election that was named, or else the only one that is not a rehearsal.

    Raises GatewayError.
    """
    if election is not None:
        return election
    document = await _get(feed_url, "/v1/elections")
    found = _read(document, _Elections, feed_url)["elections"]
    real = [each["id"] for each in found if not each["rehearsal"]] or [each["id"] for each in found]
    if len(real) != 1:
        names = ", ".join(each["id"] for each in found) or "none"
        raise GatewayError(f"select an election with --election; available: {names}")
    return str(real[0])


async def watch(feed_url: str, election: str | None, area: str | None, *, as_json: bool) -> None:
    """Follow an area and its children until interrupted; as JSON, print one line per area and block."""
    election = await the_election(feed_url, election)
    registry = await registry_of(feed_url, election)
    chosen = area or registry.root.id
    if chosen not in registry.by_id:
        raise GatewayError(f"no area {chosen} in {election}")
    here = registry.by_id[chosen]
    levels = ",".join(sorted({here.level, *(registry.areas[child].level for child in here.children)}))
    async with Subscriber(feed_url, election, levels=levels, areas=chosen) as subscriber:
        if as_json:
            await _lines(subscriber)
        else:
            await _board(subscriber, chosen, registry.name, feed_url)


async def status(feed_url: str, election: str | None, *, as_json: bool) -> int:
    """Show the transfers once; return 1 if a report is late."""
    election = await the_election(feed_url, election)
    document = await _get(feed_url, f"/v1/elections/{quote(election, safe='')}/transfers")
    transfers = _read(document, PublicTransfers, feed_url)
    if as_json:
        say_json(document)
    else:
        console = Terminal()
        console.say(state_of(transfers), "bold")
        console.print(transfers_table(transfers, ROWS_MAX))
    return 1 if transfers.late else 0


async def _lines(subscriber: Subscriber) -> None:
    async for block in subscriber.blocks():
        for area in block.areas.values():
            say_json({"cursor": block.cursor, **area})


async def _board(subscriber: Subscriber, chosen: str, title: str, feed_url: str) -> None:
    board = _Board(subscriber, chosen, title)
    console = Terminal()
    with Live(board, console=console, refresh_per_second=REDRAWS_PER_S, screen=console.is_terminal):
        async for block in subscriber.blocks():
            areas = _read(block.areas, dict[str, Area], feed_url)
            board.apply(areas, snapshot=block.snapshot)
            await asyncio.sleep(0)


class _Board:
    """An area and its children, rendered at each redraw."""

    def __init__(self, subscriber: Subscriber, chosen: str, title: str) -> None:
        self._lag_s: dict[str, float] = {}
        self._block_at: datetime | None = None
        self._subscriber = subscriber
        self._copy: dict[str, Area] = {}
        self._chosen = chosen
        self._title = title

    def apply(self, areas: Mapping[str, Area], *, snapshot: bool) -> None:
        """Apply a block that has just arrived."""
        self._block_at = datetime.now(UTC)
        self._copy = dict(areas) if snapshot else self._copy | dict(areas)
        for identifier, area in areas.items():
            published_at = area["published_at"]
            if published_at is not None:
                self._lag_s[identifier] = max(0.0, (self._block_at - published_at).total_seconds())

    def __rich__(self) -> Group:
        copy = self._copy
        above = [copy[self._chosen]] if self._chosen in copy else []
        below = [area for area in copy.values() if area["parent"] == self._chosen]
        return Group(self._headline(above), area_table(above, below, self._lag_s, ROWS_MAX))

    def _headline(self, above: list[Any]) -> Text:
        if self._block_at is None:
            return Text(f"{self._title}: connecting …", style="bold")
        silent_s = (datetime.now(UTC) - self._block_at).total_seconds()
        fresh = f"sequence {self._subscriber.sequence}"
        if silent_s > 15.0:
            fresh = f"no data for {silent_s:.0f} s, reconnecting"
        counted_ballots = f", {counted(ballots(above[0]), 'ballot')}" if above else ""
        return Text(f"{self._title}: {fresh}{counted_ballots}", style="bold")


async def _get(feed_url: str, path: str) -> dict[str, Any]:
    async with open_door("feed door", feed_url, total_s=REQUEST_S) as door:
        return await door.get(path)


def _read(document: Any, kind: type[T], feed_url: str) -> T:
    """Convert a document from a feed door to a type. Raises GatewayError if it does not match."""
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise GatewayError(f"{without_user(feed_url)}: not a feed door of version 1: {error}") from None
