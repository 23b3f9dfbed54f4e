"""What `valgnatt watch` and `valgnatt status` show."""

import asyncio
import sys
from datetime import UTC, datetime
from typing import Any

import aiohttp
import orjson
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from gateway.client.subscriber import Subscriber
from gateway.client.tables import area_table, ballots, spaced, state_of, transfers_table
from gateway.errors import GatewayError

ROWS_MAX = 40
REDRAWS_A_SECOND = 4
REQUEST_S = 10.0


async def the_election(feed_url: str, election: str | None) -> str:
    """Return the election that is meant: the one named, or the only one there is that is no rehearsal.

    Raises GatewayError.
    """
    if election is not None:
        return election
    found = (await _get(feed_url, "/v1/elections"))["elections"]
    real = [each["id"] for each in found if not each["rehearsal"]] or [each["id"] for each in found]
    if len(real) != 1:
        names = ", ".join(each["id"] for each in found) or "none"
        raise GatewayError(f"which election? --election is one of: {names}")
    return str(real[0])


async def watch(feed_url: str, election: str | None, area: str | None, *, as_json: bool) -> None:
    """Follow an area and what is right below it, until interrupted; as JSON, a line for each area of each block."""
    election = await the_election(feed_url, election)
    document = (await _get(feed_url, f"/v1/elections/{election}"))["registry"]
    areas = {each["id"]: each for each in document["areas"]}
    root = next(each["id"] for each in document["areas"] if each.get("parent") is None)
    chosen = area or root
    if chosen not in areas:
        raise GatewayError(f"no area {chosen} in {election}")
    below = {each["level"] for each in document["areas"] if each.get("parent") == chosen}
    levels = ",".join(sorted({areas[chosen]["level"], *below}))
    async with Subscriber(feed_url, election, levels=levels, areas=chosen) as subscriber:
        if as_json:
            await _lines(subscriber)
        else:
            await _board(subscriber, chosen, document["election"]["name"])


async def status(feed_url: str, election: str | None, *, as_json: bool) -> int:
    """Show the transfers in one look; return 1 where a count waits too long."""
    election = await the_election(feed_url, election)
    document = await _get(feed_url, f"/v1/elections/{election}/transfers")
    if as_json:
        sys.stdout.write(orjson.dumps(document).decode() + "\n")
    else:
        console = Console()
        console.print(state_of(document["transfers"]), style="bold", highlight=False)
        console.print(transfers_table(document["transfers"], ROWS_MAX), highlight=False)
    return 1 if "municipalities wait" in state_of(document["transfers"]) else 0


async def _lines(subscriber: Subscriber) -> None:
    async for block in subscriber.blocks():
        for area in block.areas.values():
            line = {"cursor": block.cursor, **area}
            sys.stdout.write(orjson.dumps(line).decode() + "\n")
        sys.stdout.flush()


async def _board(subscriber: Subscriber, chosen: str, title: str) -> None:
    board = _Board(subscriber, chosen, title)
    console = Console()
    with Live(board, console=console, refresh_per_second=REDRAWS_A_SECOND, screen=console.is_terminal):
        async for block in subscriber.blocks():
            board.block_at = datetime.now(UTC)
            for identifier, area in block.areas.items():
                if area["published_at"] is not None:
                    published_at = datetime.fromisoformat(area["published_at"])
                    board.late_s[identifier] = max(0.0, (board.block_at - published_at).total_seconds())
            await asyncio.sleep(0)


class _Board:
    """The area and what is below it, as they are at each redraw."""

    def __init__(self, subscriber: Subscriber, chosen: str, title: str) -> None:
        self.late_s: dict[str, float] = {}
        self.block_at: datetime | None = None
        self._subscriber = subscriber
        self._chosen = chosen
        self._title = title

    def __rich__(self) -> Group:
        copy = self._subscriber.copy
        above = [copy[self._chosen]] if self._chosen in copy else []
        below = [area for area in copy.values() if area["parent"] == self._chosen]
        return Group(self._headline(above), area_table(above, below, self.late_s, ROWS_MAX))

    def _headline(self, above: list[Any]) -> Text:
        if self.block_at is None:
            return Text(f"{self._title}: connecting …", style="bold")
        silent_s = (datetime.now(UTC) - self.block_at).total_seconds()
        fresh = f"sequence {self._subscriber.sequence}"
        if silent_s > 15.0:
            fresh = f"nothing heard for {silent_s:.0f} s, trying again"
        told = f", {spaced(ballots(above[0]))} ballots" if above else ""
        return Text(f"{self._title}: {fresh}{told}", style="bold")


async def _get(feed_url: str, path: str) -> Any:
    url = feed_url.rstrip("/") + path
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REQUEST_S)) as http,
            http.get(url) as answer,
        ):
            document = await answer.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise GatewayError(f"{url}: {str(error) or type(error).__name__}") from None
    if answer.status != 200:
        raise GatewayError(f"{url}: {document.get('detail', answer.status)}")
    return document
