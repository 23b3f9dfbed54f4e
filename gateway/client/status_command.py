"""The command `valgnatt status`."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from gateway.client.documents import REQUEST_S, read_document, the_election
from gateway.client.http_json import Door, open_door
from gateway.client.http_session import bearer
from gateway.client.transfers_report import (
    PROBLEMS_MAX,
    Transfers,
    is_hidden,
    problems_of,
    state_of,
    summary_of,
    transfers_table,
)
from gateway.output import say_json
from gateway.terminal import Terminal
from gateway.wire.transfers import OwnTransfers, PublicTransfers, by_waiting


async def status(feed_url: str, election: str | None, *, as_json: bool, every_row: bool = False) -> int:
    """Show once what is public of the transfers of an election; return 1 if a report is late. Raises GatewayError."""
    election = await the_election(feed_url, election)
    async with open_door("feed door", feed_url, total_s=REQUEST_S) as door:
        document = await _transfers(door, election)
    transfers = read_document(document, PublicTransfers, feed_url)
    _show(document, transfers, transfers.server_time, as_json=as_json, every_row=every_row)
    return 1 if transfers.late else 0


async def own_status(
    push_url: str, feed_url: str, election: str | None, token: str, *, as_json: bool, every_row: bool = False
) -> int:
    """Show once what a token may see of the transfers of an election, also under embargo. Raises GatewayError.

    Returns 0: the push door does not know what feeds have applied, and so not what is late.
    """
    election = await the_election(feed_url, election)
    async with open_door("push door", push_url, total_s=REQUEST_S) as door:
        document = await _transfers(door, election, bearer(token))
        now = door.server_time or datetime.now(UTC)
    transfers = read_document(document, OwnTransfers, push_url)
    _show(document, transfers, now, as_json=as_json, every_row=every_row)
    return 0


async def _transfers(door: Door, election: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
    return await door.get(f"/v1/elections/{quote(election, safe='')}/transfers", headers)


def _show(
    document: dict[str, Any], transfers: Transfers, now: datetime, *, as_json: bool, every_row: bool
) -> None:
    if as_json:
        say_json(document)
        return
    console = Terminal()
    console.say(state_of(transfers, now), "bold")
    if is_hidden(transfers):
        console.say("An operator sees what has been received with --token-file FILE.")
    if problems := problems_of(transfers):
        console.print(transfers_table(transfers, problems, PROBLEMS_MAX))
    for line in summary_of(transfers):
        console.say(line)
    if every_row:
        console.print(transfers_table(transfers, by_waiting(transfers.transfers)))
    else:
        console.say("Every municipality is shown with --all.", "dim")
