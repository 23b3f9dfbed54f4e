"""The command `valgnatt watch`."""

import asyncio
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from time import monotonic
from typing import Any
from urllib.parse import quote

import msgspec
from rich.console import Group
from rich.live import Live
from rich.text import Text

from gateway.client.documents import (
    REQUEST_S,
    feed_document,
    is_no_gateway,
    read_document,
    registry_of,
    the_election,
)
from gateway.client.failures import Failure
from gateway.client.feed_notices import FeedNotices, mirror_age, source_line
from gateway.client.http_json import NoDocument, open_door
from gateway.client.server_clock import ServerClock
from gateway.client.subscriber import Block, Source, Subscriber
from gateway.client.tables import Area, area_table, ballots, seats_line
from gateway.client.transfers_report import clock_time
from gateway.election.area_search import find_area
from gateway.election.registry import Registry
from gateway.errors import GatewayError
from gateway.humanize import counted
from gateway.output import say, say_json
from gateway.terminal import Terminal
from gateway.wire.transfers import Moment

ROWS_MAX = 40
REDRAWS_PER_S = 4
SILENT_S = 15.0
"""Seconds without a block after which the display says so; the gateway sends one every 10 s."""
HIDDEN_REFRESH_S = 10.0
"""Seconds between two requests for the end of the embargo, which may be moved, while the figures are hidden."""


HELD_READS_S = (0.5, 3.0)
"""Seconds between learning that the list of holds has grown, and two reads of which units are held: the answer may
come from a process that reads the list a little later."""


class _Hidden(msgspec.Struct, frozen=True):
    hidden_until: Moment | None = None


class _Transfer(msgspec.Struct, frozen=True):
    municipality: str
    held: int = 0


class _Transfers(msgspec.Struct, frozen=True):
    transfers: list[_Transfer]


async def watch(feed_url: str, election: str | None, area: str | None, *, as_json: bool) -> None:
    """Follow an area and its children until interrupted; as JSON, print one line per area and block."""
    election = await the_election(feed_url, election)
    registry = await registry_of(feed_url, election)
    here = find_area(registry, area) if area else registry.root
    levels = ",".join(sorted({here.level, *(registry.areas[child].level for child in here.children)}))
    if as_json:
        await _lines(feed_url, election, levels, here.id)
    else:
        await _board(feed_url, registry, levels, here.id)


async def _lines(feed_url: str, election: str, levels: str, chosen: str) -> None:
    notices = FeedNotices()

    def on_change(failure: Failure | None) -> None:
        if (line := notices.on_change(failure, monotonic())) is not None:
            say(line, err=True)

    def on_source(source: Source) -> None:
        if (line := source_line(source.kind, source.url, sources[-1] if sources else None)) is not None:
            say(line, err=True)
        sources.append(source.kind)

    sources: deque[str] = deque(maxlen=1)
    async with Subscriber(
        feed_url, election, levels=levels, areas=chosen, on_change=on_change, on_source=on_source
    ) as subscriber:
        async for block in subscriber.blocks():
            for area in block.areas.values():
                say_json({"cursor": block.cursor, **area})


async def _board(feed_url: str, registry: Registry, levels: str, chosen: str) -> None:
    board = _Board(chosen, registry.name)
    console = Terminal()
    async with (
        Subscriber(feed_url, registry.id, levels=levels, areas=chosen, on_change=board.note) as subscriber,
        asyncio.TaskGroup() as parts,
    ):
        board.subscriber = subscriber
        parts.create_task(_follow_embargo(board, feed_url, registry), name="embargo")
        parts.create_task(_follow_holds(board, feed_url, registry), name="holds")
        with Live(board, console=console, refresh_per_second=REDRAWS_PER_S, screen=console.is_terminal):
            async for block in subscriber.blocks():
                board.apply(block, read_document(block.areas, dict[str, Area], feed_url), monotonic())
                await asyncio.sleep(0)


async def _follow_embargo(board: "_Board", feed_url: str, registry: Registry) -> None:
    """Keep a board's end of the embargo current until the release."""
    while not board.released:
        with suppress(GatewayError):  # the feed shows why there is no answer
            board.hidden_until = await _hidden_until(feed_url, registry)
            if board.hidden_until is None:
                return
        await asyncio.sleep(HIDDEN_REFRESH_S)


async def _follow_holds(board: "_Board", feed_url: str, registry: Registry) -> None:
    """Read how many units are held whenever the list of holds has grown."""
    while True:
        await board.holds_changed.wait()
        board.holds_changed.clear()
        for wait_s in HELD_READS_S:
            await asyncio.sleep(wait_s)
            with suppress(GatewayError):  # the feed shows why there is no answer
                board.held = await _held_units(feed_url, registry)


async def _held_units(feed_url: str, registry: Registry) -> dict[str, int]:
    """Return how many units are held in each municipality and in each area above. Raises GatewayError."""
    path = f"/v1/elections/{quote(registry.id, safe='')}/transfers"
    async with open_door("feed door", feed_url, total_s=REQUEST_S) as door:
        transfers = read_document(await feed_document(door, path), _Transfers, feed_url).transfers
    held: dict[str, int] = {}
    for each in transfers:
        area = registry.by_id.get(each.municipality)
        if area is None or not each.held:
            continue
        for index in (area.index, *area.path):
            name = registry.areas[index].id
            held[name] = held.get(name, 0) + each.held
    return held


class _Board:
    """An area and its children, rendered at each redraw.

    Invariant: it shows a lag for the areas that changed while it was connected; those of a snapshot changed before.
    """

    def __init__(self, chosen: str, title: str) -> None:
        self.lag_s: dict[str, float] = {}
        """Seconds from the publication of an area's latest count to its arrival here, by the server's clock."""
        self.hidden_until: datetime | None = None
        """The end of the embargo; ignored once anything was published."""
        self.held: Mapping[str, int] = {}
        """Held units, by municipality and by the areas above."""
        self.holds_changed = asyncio.Event()
        self.subscriber: Subscriber | None = None
        self._holds = 0
        self._clock = ServerClock()
        self._block_at_s: float | None = None
        self._sequence = 0
        self._failure: Failure | None = None
        self._copy: dict[str, Area] = {}
        self._chosen = chosen
        self._title = title

    @property
    def released(self) -> bool:
        """Whether anything was published."""
        return self._sequence > 0

    @property
    def _hidden(self) -> bool:
        return self.hidden_until is not None and not self.released

    def note(self, failure: Failure | None) -> None:
        """Take note of why there is no feed at present, or that there is one."""
        self._failure = failure

    def apply(self, block: Block, areas: Mapping[str, Area], at_s: float) -> None:
        """Apply a block that arrived at `at_s` seconds of a steady clock."""
        self._block_at_s = at_s
        self._sequence = block.sequence
        if block.holds != self._holds:
            self._holds = block.holds
            self.holds_changed.set()
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
        hidden = self._hidden
        table = area_table(above, below, self.lag_s, ROWS_MAX, hidden=hidden)
        seats = seats_line(above[0]) if above and not hidden else None
        return Group(self._headline(above), *([] if seats is None else [Text(seats)]), table)

    def _headline(self, above: list[Any]) -> Text:
        source = self.subscriber.source if self.subscriber is not None else None
        from_mirror = source is not None and source.kind == "mirror"
        if self._block_at_s is None:
            fresh = "connecting …"
        elif not from_mirror and (silent_s := monotonic() - self._block_at_s) > SILENT_S:
            fresh = f"no data for {silent_s:.0f} s, reconnecting"
        elif self.hidden_until is not None and self._hidden:
            fresh = f"hidden until {clock_time(self.hidden_until, datetime.now(UTC))}"
        else:
            fresh = f"sequence {self._sequence}"
        if (
            self.subscriber is not None
            and source is not None
            and (age_s := self.subscriber.age_s) is not None
        ):
            closed = self.subscriber.closed_at is not None
            age = mirror_age(source.url, age_s, behind=self.subscriber.is_behind, closed=closed)
            fresh = f"{fresh}, {age}"
        if self._failure is not None:
            fresh = f"{fresh} ({self._failure.text})"
        held = self.held.get(self._chosen, 0)
        checked = f", {counted(held, 'unit')} being checked" if held else ""
        counted_ballots = f", {counted(ballots(above[0]), 'ballot')}" if above and not self._hidden else ""
        return Text(f"{self._title}: {fresh}{counted_ballots}{checked}", style="bold")


async def _hidden_until(feed_url: str, registry: Registry) -> datetime | None:
    """Return until when the figures of an election are hidden; None if they are not. Raises GatewayError."""
    municipality = registry.municipality(next(iter(registry.units.values()))).id
    path = f"/v1/elections/{quote(registry.id, safe='')}/transfers"
    async with open_door("feed door", feed_url, total_s=REQUEST_S) as door:
        try:
            document = await door.get(f"{path}/{quote(municipality, safe='')}")
        except NoDocument as error:
            if not is_no_gateway(error):
                raise
            document = await feed_document(door, path)  # a mirror has no file for each municipality
        return read_document(document, _Hidden, feed_url).hidden_until
