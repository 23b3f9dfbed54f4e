"""The commands `valgnatt watch` and `valgnatt status`."""

import asyncio
from collections.abc import Mapping
from time import monotonic
from typing import Any, TypedDict, TypeVar
from urllib.parse import quote

import msgspec
from rich.console import Group
from rich.live import Live
from rich.text import Text

from gateway.client.failures import Failure
from gateway.client.feed_notices import FeedNotices
from gateway.client.http_json import open_door
from gateway.client.proxies import without_user
from gateway.client.push_files import registry_of
from gateway.client.server_clock import ServerClock
from gateway.client.subscriber import Block, Subscriber
from gateway.client.tables import Area, area_table, ballots, state_of, transfers_table
from gateway.errors import GatewayError
from gateway.humanize import counted
from gateway.output import say, say_json
from gateway.terminal import Terminal
from gateway.wire.transfers import PublicTransfers

T = TypeVar("T")

ROWS_MAX = 40
REDRAWS_PER_S = 4
SILENT_S = 15.0
"""Seconds without a block after which the display says so; the gateway sends one every 10 s."""
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
    if as_json:
        await _lines(feed_url, election, levels, chosen)
    else:
        await _board(feed_url, election, levels, chosen, registry.name)


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


async def _lines(feed_url: str, election: str, levels: str, chosen: str) -> None:
    notices = FeedNotices()

    def on_change(failure: Failure | None) -> None:
        if (line := notices.on_change(failure, monotonic())) is not None:
            say(line, err=True)

    async with Subscriber(feed_url, election, levels=levels, areas=chosen, on_change=on_change) as subscriber:
        async for block in subscriber.blocks():
            for area in block.areas.values():
                say_json({"cursor": block.cursor, **area})


async def _board(feed_url: str, election: str, levels: str, chosen: str, title: str) -> None:
    board = _Board(chosen, title)
    console = Terminal()
    async with Subscriber(
        feed_url, election, levels=levels, areas=chosen, on_change=board.note
    ) as subscriber:
        with Live(board, console=console, refresh_per_second=REDRAWS_PER_S, screen=console.is_terminal):
            async for block in subscriber.blocks():
                board.apply(block, _read(block.areas, dict[str, Area], feed_url), monotonic())
                await asyncio.sleep(0)


class _Board:
    """An area and its children, rendered at each redraw.

    Invariant: it shows a lag for the areas that changed while it was connected; those of a snapshot changed before.
    """

    def __init__(self, chosen: str, title: str) -> None:
        self.lag_s: dict[str, float] = {}
        """Seconds from the publication of an area's latest count to its arrival here, by the server's clock."""
        self._clock = ServerClock()
        self._block_at_s: float | None = None
        self._sequence = 0
        self._failure: Failure | None = None
        self._copy: dict[str, Area] = {}
        self._chosen = chosen
        self._title = title

    def note(self, failure: Failure | None) -> None:
        """Take note of why there is no feed at present, or that there is one."""
        self._failure = failure

    def apply(self, block: Block, areas: Mapping[str, Area], at_s: float) -> None:
        """Apply a block that arrived at `at_s` seconds of a steady clock."""
        self._block_at_s = at_s
        self._sequence = block.sequence
        self._clock.observe(block.server_time, at_s)
        if block.snapshot:
            self._copy = dict(areas)
            self.lag_s.clear()
            return
        self._copy |= areas
        for identifier, area in areas.items():
            published_at = area["published_at"]
            if published_at is not None:
                self.lag_s[identifier] = self._clock.age_s(published_at, at_s)

    def __rich__(self) -> Group:
        copy = self._copy
        above = [copy[self._chosen]] if self._chosen in copy else []
        below = [area for area in copy.values() if area["parent"] == self._chosen]
        return Group(self._headline(above), area_table(above, below, self.lag_s, ROWS_MAX))

    def _headline(self, above: list[Any]) -> Text:
        if self._block_at_s is None:
            fresh = "connecting …"
        elif (silent_s := monotonic() - self._block_at_s) > SILENT_S:
            fresh = f"no data for {silent_s:.0f} s, reconnecting"
        else:
            fresh = f"sequence {self._sequence}"
        if self._failure is not None:
            fresh = f"{fresh} ({self._failure.text})"
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
