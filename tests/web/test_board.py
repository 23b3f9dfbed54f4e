"""The board at the door: for operators alone, of their own areas, over all push processes, also under embargo."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import asyncpg
import pytest

from gateway.rehearsal.generator import GeneratedElection
from tests.running import Gateway, Sender
from tests.web.doors import (
    COUNTRY,
    FOREIGN_UNIT,
    HERE,
    THERE,
    UNIT,
    a_registry,
    a_report,
    ask,
    connected,
    feed_url,
    head_locked,
    push,
    pushed,
    until,
)


@pytest.fixture
async def embargoed(gateway: Gateway, small: GeneratedElection) -> str:
    """An election whose embargo ends tomorrow."""
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    return await gateway.load(a_registry(small, publish_from=tomorrow))


async def board(http: aiohttp.ClientSession, operator: Sender) -> dict[str, Any]:
    answer = await ask(http, "GET", operator.url("/board"), headers=operator.headers)
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "private, no-store"
    return answer.document  # type: ignore[no-any-return]


async def test_only_an_operator_reads_the_board(
    gateway: Gateway, http: aiohttp.ClientSession, embargoed: str, election: str
) -> None:
    """Not a sender, not an operator of another election, nobody on the feed door; and of the operator's own areas."""
    sender = await gateway.issue(embargoed, [COUNTRY])
    other = await gateway.issue(election, [COUNTRY], role="operator")
    url = sender.url("/board")
    (await ask(http, "GET", url, headers=sender.headers)).problem(403, "role_forbidden")
    (await ask(http, "GET", url, headers=other.headers)).problem(401, "token_invalid")
    (await ask(http, "GET", url)).problem(401, "token_missing")
    (await ask(http, "GET", feed_url(gateway, embargoed, "/board"))).problem(404, "not_found")
    local = await gateway.issue(embargoed, [HERE], role="operator")
    shown = await board(http, local)
    assert [each["municipality"] for each in shown["municipalities"]] == [HERE]
    assert shown["refusals"] == shown["shared_tokens"] == []
    await gateway.revoke(local)
    (await ask(http, "GET", url, headers=local.headers)).problem(401, "token_invalid")


async def test_the_board_shows_who_sent_what_and_what_was_refused(
    gateway: Gateway, http: aiohttp.ClientSession, embargoed: str
) -> None:
    """Over both push processes and both transports, under embargo, without any figure of a report."""
    operator = await gateway.issue(embargoed, [COUNTRY], role="operator")
    here, there = await gateway.issue(embargoed, [HERE]), await gateway.issue(embargoed, [THERE])
    await pushed(http, here, a_report(votes=987_654))
    wrong = a_report(revision=2) | {"status": "none"}
    (await push(http, here, wrong)).problem(422, "invalid_report")
    (await push(http, here, a_report(FOREIGN_UNIT))).problem(403, "unit_forbidden")
    async with connected(http, here) as socket:
        await socket.send(1, wrong)
        assert (await socket.results(1))[0]["code"] == "invalid_report"
    for secret in ("none", "nobody's"):
        url, headers = here.url("/reports"), {"Authorization": f"Bearer {secret}"}
        (await ask(http, "POST", url, data=b"{}", headers=headers)).problem(401, "token_invalid")
    await written(gateway, embargoed, 5)
    shown = await board(http, operator)
    rows = {each["municipality"]: each for each in shown["municipalities"]}
    assert refusals(shown, HERE) == {"invalid_report": 2, "unit_forbidden": 1}
    assert {each["code"]: (each["count"], each["token"]) for each in shown["refusals"]} == {
        "token_invalid": (2, None)
    }
    assert (rows[HERE]["reported"], rows[HERE]["accepted"], rows[HERE]["refused"]) == (1, 1, 3)
    assert [token["token"] for token in rows[HERE]["tokens"]] == [here.key]
    assert rows[THERE]["last_contact_at"] is rows[THERE]["last_heard_at"] is None
    assert rows[THERE]["expected"]
    assert [token["token"] for token in rows[THERE]["tokens"]] == [there.key]
    assert (shown["accepted"], shown["unpublished"]["reports"], shown["released_at"]) == (1, 1, None)
    assert "987654" not in str(shown)
    assert here.secret not in str(shown)


async def written(gateway: Gateway, election: str, number: int) -> int:
    """Wait until so many refusals are written, and return in how many rows."""
    connection = await asyncpg.connect(gateway.database.url)
    query = (
        "SELECT coalesce(sum(count), 0), count(*) FROM valgnatt.refusal"
        " WHERE election = (SELECT key FROM valgnatt.election WHERE id = $1)"
    )
    found: list[int] = []

    async def all_written() -> bool:
        found[:] = await connection.fetchrow(query, election)
        return found[0] >= number

    try:
        await until(all_written)
    finally:
        await connection.close()
    assert found[0] == number
    return found[1]


def refusals(shown: dict[str, Any], municipality: str) -> dict[str, int]:
    (row,) = [each for each in shown["municipalities"] if each["municipality"] == municipality]
    return {each["code"]: each["count"] for each in row["refusals"]}


async def test_a_flood_of_refusals_is_one_row(
    gateway: Gateway, http: aiohttp.ClientSession, embargoed: str
) -> None:
    """Thousands of refused reports over both processes add to one count."""
    operator = await gateway.issue(embargoed, [HERE], role="operator")
    sender = await gateway.issue(embargoed, [HERE])
    lines = b"\n".join([b"{}"] * 2000)
    headers = {**sender.headers, "Content-Type": "application/x-ndjson"}
    await asyncio.gather(
        *(ask(http, "POST", sender.url("/reports"), data=lines, headers=headers) for _ in range(4))
    )
    assert await written(gateway, embargoed, 8000) == 1
    assert refusals(await board(http, operator), HERE) == {"invalid_report": 8000}


async def test_expired_tokens_are_attributed_to_their_municipality(
    gateway: Gateway, http: aiohttp.ClientSession, embargoed: str
) -> None:
    """So that the operator sees whose token has expired."""
    operator = await gateway.issue(embargoed, [HERE], role="operator")
    late = await gateway.issue(embargoed, [HERE], expires_at=datetime.now(UTC) - timedelta(seconds=1))
    (await push(http, late, a_report(UNIT))).problem(401, "token_invalid")
    await written(gateway, embargoed, 1)
    assert refusals(await board(http, operator), HERE) == {"token_invalid": 1}


async def test_reports_that_wait_in_any_process_are_on_the_board(
    gateway: Gateway, http: aiohttp.ClientSession, embargoed: str
) -> None:
    """Whichever process serves the board. A report with a receipt is no longer on it."""
    operator, sender = (
        await gateway.issue(embargoed, [COUNTRY], role="operator"),
        await gateway.issue(embargoed, [HERE]),
    )
    connection = await asyncpg.connect(gateway.database.url)
    key = await connection.fetchval("SELECT key FROM valgnatt.election WHERE id = $1", embargoed)

    async def noted() -> bool:
        return bool(await connection.fetch("SELECT FROM valgnatt.waiting WHERE election = $1", key))

    async def received() -> bool:
        return (await push(http, sender, a_report())).status in {200, 201}

    async def none_noted() -> bool:
        return not await noted()

    async def none_waits() -> bool:
        return (await board(http, operator))["waiting"] == {"reports": 0, "oldest_s": None}

    async def three_wait() -> bool:
        return (await board(http, operator))["waiting"] == {"reports": 3, "oldest_s": 40.0}

    try:
        async with head_locked(gateway, embargoed):
            sending = asyncio.create_task(until(received))
            await until(noted)
        await sending
        await until(none_waits)
        await until(none_noted)
        await connection.execute(
            "INSERT INTO valgnatt.waiting VALUES ($1, 1, 3, 40, clock_timestamp() + interval '1 hour')", key
        )
        await until(three_wait)
    finally:
        await connection.close()
