"""Pushing over a WebSocket: hello and credit, results, order, and how a connection ends."""

import asyncio
import contextlib
import itertools
import json
import socket
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

from gateway.rehearsal.generator import GeneratedElection
from gateway.web.sender_allowance import CONTROL_BURST, SENDER_CONTROL_BURST
from tests.running import Gateway, Sender
from tests.web.doors import (
    CLOSE,
    COUNTRY,
    FOREIGN_UNIT,
    HERE,
    PING,
    PONG,
    SUBPROTOCOL,
    TEXT,
    TIMEOUT_S,
    UNIT,
    PushSocket,
    RawSocket,
    a_registry,
    a_report,
    ask,
    connected,
    digest_of,
    framed,
    head_locked,
    moment,
    push,
    pushed,
    revoked_at_of,
    terminate_waiting_sessions,
    units_of,
    until,
    waiting_for_lock,
)

UPGRADE = {"Connection": "Upgrade", "Upgrade": "websocket"}


async def test_the_first_frame_announces_the_credit(http: aiohttp.ClientSession, sender: Sender) -> None:
    """How many reports may be unanswered, and the time of the server."""
    async with connected(http, sender) as socket:
        assert socket.socket.protocol == SUBPROTOCOL
        assert set(socket.hello) == {"type", "credit", "server_time"}
        assert socket.hello["credit"] == 64
        assert abs(datetime.now(UTC) - moment(socket.hello["server_time"])) < timedelta(seconds=10)


async def test_every_report_gets_a_result_under_its_id(http: aiohttp.ClientSession, sender: Sender) -> None:
    """The same receipts and refusals as over HTTP; an id is a number or a text that the sender chooses."""
    report = a_report()
    async with connected(http, sender) as socket:
        await socket.send("first", report)
        (receipt,) = await socket.results(1)
        assert receipt.pop("id") == "first"
        assert receipt.pop("accepted_at") == receipt.pop("published_at")
        assert receipt == {
            "unit": UNIT,
            "revision": 1,
            "outcome": "accepted",
            "state": "published",
            "sequence": 1,
            "digest": digest_of(report),
            "warnings": [],
        }
        for identifier, (sent, code) in enumerate(
            (
                (a_report(votes=11), "revision_conflict"),
                ({**a_report(), "revision": 0}, "invalid_report"),
                (5, "invalid_report"),
            ),
            start=-1,
        ):
            await socket.send(identifier, sent)
            (result,) = await socket.results(1)
            assert (result["id"], result["outcome"], result["code"]) == (identifier, "refused", code)
        await socket.send("first", report)
        (again,) = await socket.results(1)
        assert (again["outcome"], again["sequence"]) == ("duplicate", 1)
    assert (await push(http, sender, report)).document["outcome"] == "duplicate"


async def test_reports_of_a_connection_are_decided_in_the_order_sent(
    http: aiohttp.ClientSession, sender: Sender
) -> None:
    """Several revisions of a unit in flight at once are all published, in order."""
    async with connected(http, sender) as socket:
        for revision in range(1, 61):
            await socket.send(revision, a_report(revision=revision))
        results = await socket.results(60)
    assert [result["id"] for result in results] == list(range(1, 61))
    assert [result["sequence"] for result in results] == list(range(1, 61))


async def test_a_sender_may_use_its_full_credit_at_all_times(
    http: aiohttp.ClientSession, sender: Sender
) -> None:
    """Each result makes room for another report; a sender within its credit is never answered `retry`."""
    async with connected(http, sender) as socket:
        for revision in range(1, 65):
            await socket.send(revision, a_report(revision=revision))
        answered = 0
        while answered < 1000:
            frame = await socket.frame()
            assert frame["credit"] == 64
            for result in frame["results"]:
                answered += 1
                assert (result["id"], result["outcome"]) == (answered, "accepted")
                if answered + 64 <= 1000:
                    await socket.send(answered + 64, a_report(revision=answered + 64))


async def test_a_token_reports_only_for_its_own_units(
    gateway: Gateway, http: aiohttp.ClientSession, election: str
) -> None:
    """`unit_forbidden`, without further details."""
    local = await gateway.issue(election, [HERE])
    async with connected(http, local) as socket:
        for identifier, unit in enumerate((FOREIGN_UNIT, "no-such-unit")):
            await socket.send(identifier, {**a_report(unit), "status": "done"})
            (result,) = await socket.results(1)
            assert (result["unit"], result["code"], len(result["violations"])) == (unit, "unit_forbidden", 1)


# Credit.


async def test_reports_sent_under_a_larger_credit_are_decided_in_the_order_sent(
    tight: Gateway, http: aiohttp.ClientSession, small: GeneratedElection
) -> None:
    """A lower credit applies once it was read; more than was ever announced closes the connection."""
    election = await tight.load(a_registry(small))
    sender = await tight.issue(election, [COUNTRY])
    async with connected(http, sender) as first:
        assert first.hello["credit"] == 4
        async with head_locked(tight, election):
            for revision in (1, 2):
                await first.send(revision, a_report(revision=revision))
            await waiting_for_lock(tight)
            async with connected(http, sender) as second:
                await first.credit(2)
                await second.credit(2) if second.hello["credit"] < 2 else None
                for revision in (3, 4):
                    await first.send(revision, a_report(revision=revision))
                await first.socket.ping()  # it is read behind reports that have to wait
        results = await first.results(4)
        assert [(result["id"], result["outcome"]) for result in results] == [
            (revision, "accepted") for revision in (1, 2, 3, 4)
        ]
        await first.credit(4)
        async with head_locked(tight, election):
            for identifier in range(50):
                await first.send(identifier, a_report(revision=100 + identifier))
            assert await first.end() == 1008


async def test_no_report_is_lost_if_connections_of_a_token_share_shrinking_credit(
    tight: Gateway, http: aiohttp.ClientSession, small: GeneratedElection
) -> None:
    """Each uses all the credit that it read last, while others open and close: all are accepted, in order."""
    sender = await tight.issue(await tight.load(a_registry(small)), [COUNTRY])
    units = units_of(small)

    async def keep_full(unit: str, revisions: int) -> list[tuple[int, str]]:
        found: list[tuple[int, str]] = []
        async with connected(http, sender) as socket:
            sent, credit = 0, socket.hello["credit"]
            while len(found) < revisions:
                while sent < revisions and sent - len(found) < credit:
                    sent += 1
                    await socket.send(sent, a_report(unit, revision=sent))
                frame = await socket.frame()
                credit = frame["credit"]
                found += [(result["id"], result["outcome"]) for result in frame.get("results", ())]
        return found

    for outcomes in await asyncio.gather(
        *(keep_full(unit, 10 + 30 * (place % 2)) for place, unit in enumerate(units[:4]))
    ):
        assert outcomes == [(revision, "accepted") for revision in range(1, len(outcomes) + 1)]


async def test_a_later_revision_in_flight_is_not_accepted_before_one_to_be_sent_again(
    tight: Gateway, http: aiohttp.ClientSession, small: GeneratedElection
) -> None:
    """Postgres fails with the first; the second was sent before that could be known, so it must be sent again."""
    election = await tight.load(a_registry(small))
    sender = await tight.issue(election, [COUNTRY])
    other = units_of(small)[-1]
    async with connected(http, sender) as socket:
        async with head_locked(tight, election):
            await socket.send(1, a_report(revision=1))
            await waiting_for_lock(tight)
            await terminate_waiting_sessions(tight)
            await waiting_for_lock(
                tight
            )  # the writer asks whether Postgres is back: what it had in hand is given up
            await socket.send(2, a_report(revision=2))
            await socket.send(3, a_report(other))
        results = await socket.results(3)
        assert [(result["id"], result["outcome"], result.get("code")) for result in results] == [
            (1, "retry", "journal_unavailable"),
            (2, "retry", "out_of_order"),
            (3, "accepted", None),
        ]
        assert all(result["retry_after_s"] > 0 for result in results[:2])
        for revision in (1, 2, 3):
            await socket.send(revision, a_report(revision=revision))
        outcomes = [(result["id"], result["outcome"]) for result in await socket.results(3)]
        assert outcomes == [(revision, "accepted") for revision in (1, 2, 3)]


# What carries no report.


async def test_a_flood_of_pings_closes_with_1008_and_affects_no_other(
    gateway: Gateway, http: aiohttp.ClientSession, election: str, sender: Sender
) -> None:
    """Over 14 connections of one token, no more is answered than its allowance; others continue."""
    flooder = await gateway.issue(election, [COUNTRY])
    flood = framed(PING, b"") * 150_000

    async def pongs_until_closed() -> int:
        raw = await RawSocket.connected(flooder)
        writing = asyncio.create_task(drained(raw, flood))
        pongs = 0
        try:
            async with asyncio.timeout(TIMEOUT_S):
                while (frame := await raw.frame())[0] != CLOSE:
                    pongs += frame[0] == PONG
        finally:
            writing.cancel()
            await asyncio.wait({writing})
            raw.writer.transport.abort()
        assert int.from_bytes(frame[1][:2]) == 1008
        return pongs

    async with connected(http, sender) as honest:
        flooding = [asyncio.create_task(pongs_until_closed()) for _ in range(14)]
        await honest.send(1, a_report())
        assert (await honest.results(1))[0]["outcome"] == "accepted"
        pongs = await asyncio.gather(*flooding)
        await honest.send(2, a_report(revision=2))
        assert (await honest.results(1))[0]["outcome"] == "accepted"
    assert max(pongs) < 2 * CONTROL_BURST
    assert sum(pongs) < 3 * SENDER_CONTROL_BURST


async def drained(raw: RawSocket, data: bytes) -> None:
    """Write, for as long as the other side takes it."""
    with contextlib.suppress(ConnectionError):
        raw.writer.write(data)
        await raw.writer.drain()


@pytest.mark.parametrize("opcode", [PING, PONG])
async def test_a_few_control_frames_are_allowed(sender: Sender, opcode: int) -> None:
    """A client that pings once per second, or sends pongs without a ping, is served."""
    raw = await RawSocket.connected(sender)
    raw.writer.write(framed(opcode, b"x") * 50)
    raw.writer.write(framed(TEXT, json.dumps({"type": "report", "id": 1, "report": a_report()}).encode()))
    async with asyncio.timeout(TIMEOUT_S):
        while (frame := await raw.frame())[0] != TEXT:
            assert frame == (PONG, b"x")
    assert json.loads(frame[1])["results"][0]["outcome"] == "accepted"
    raw.writer.transport.abort()


@pytest.mark.parametrize(
    "frames",
    [
        framed(PONG, b"") * 5000,
        framed(TEXT, b"", last=False) + framed(0, b"", last=False) * 5000,
        framed(TEXT, b"{", last=False) + framed(0, b" ", last=False) * 5000,
    ],
    ids=["pongs", "empty fragments", "fragments of one byte"],
)
async def test_other_frames_without_content_close_with_1008_too(sender: Sender, frames: bytes) -> None:
    """Pongs without a ping, and messages in tiny fragments."""
    raw = await RawSocket.connected(sender)
    writing = asyncio.create_task(drained(raw, frames))
    async with asyncio.timeout(TIMEOUT_S):
        assert await raw.close_code() == 1008
        await writing
    raw.writer.transport.abort()


@pytest.mark.parametrize("opcode", [TEXT, PING, CLOSE])
@pytest.mark.parametrize("bytewise", [False, True])
async def test_a_frame_without_a_mask_closes_with_1002(sender: Sender, opcode: int, bytewise: bool) -> None:
    """As RFC 6455 requires of a server (section 5.1), in any segments; frames before it are answered."""
    raw = await RawSocket.connected(sender)
    connection = raw.writer.get_extra_info("socket")
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    good = framed(TEXT, json.dumps({"type": "report", "id": 1, "report": a_report()}).encode())
    data = good + bytes([0x80 | opcode, 2]) + b"{}"
    for piece in [data[place : place + 1] for place in range(len(data))] if bytewise else [data]:
        raw.writer.write(piece)
        await raw.writer.drain()
        await asyncio.sleep(0)
    async with asyncio.timeout(TIMEOUT_S):
        kind, payload = await raw.frame()
        assert kind == TEXT
        assert json.loads(payload)["results"][0]["outcome"] == "accepted"
        assert await raw.close_code() == 1002
    raw.writer.transport.abort()


async def test_all_credit_together_never_exceeds_the_queue(
    tight: Gateway, http: aiohttp.ClientSession, small: GeneratedElection
) -> None:
    """A new connection may start at 0; it gets its part once others have read theirs, and gives it back."""
    sender = await tight.issue(await tight.load(a_registry(small)), [COUNTRY])
    opened: list[PushSocket] = []
    async with aiohttp.ClientSession() as session:
        for _ in range(4):
            socket = await session.ws_connect(
                sender.url("/push"), protocols=[SUBPROTOCOL], headers=sender.headers
            )
            opened.append(PushSocket(socket))
            opened[-1].hello = await opened[-1].frame()
        for socket in opened:
            if socket.hello["credit"] != 1:
                await socket.credit(1)
        for number, socket in enumerate(opened):
            await socket.send(1, a_report(units_of(small)[number]))
            (result,) = await socket.results(1)
            assert result["outcome"] == "accepted"
        for socket in opened[1:]:
            await socket.socket.close()
        await opened[0].credit(4)
        await opened[0].socket.close()


async def test_credit_of_a_closed_connection_is_not_given_again_while_its_reports_wait(
    tight: Gateway, http: aiohttp.ClientSession, small: GeneratedElection
) -> None:
    """However often a sender connects, sends and closes, no more reports wait than all credit."""
    election = await tight.load(a_registry(small))
    sender = await tight.issue(election, [COUNTRY])
    units = iter(units_of(small))
    given = []
    async with head_locked(tight, election):
        for _ in range(10):
            async with connected(http, sender) as socket:
                given.append(socket.hello["credit"])
                for identifier in range(socket.hello["credit"]):
                    await socket.send(identifier, a_report(next(units)))
        assert given == [4] + [0] * 9
        await waiting_for_lock(tight)
        assert (await tight.metrics())['valgnatt_waiting_reports{process="push-0"}'] == 3
    async with connected(http, sender) as socket:
        await socket.credit(4)


# How a connection begins and ends.


async def test_a_request_without_upgrade_is_426_and_one_without_subprotocol_400(
    http: aiohttp.ClientSession, sender: Sender
) -> None:
    """The token is checked first: without one, neither is revealed."""
    answer = await ask(http, "GET", sender.url("/push"), headers=sender.headers)
    answer.problem(426, "upgrade_required")
    assert answer.headers["Upgrade"] == "websocket"
    for protocols in ([], ["valgnatt.push.v0"], ["chat", "valgnatt"]):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(sender.url("/push"), protocols=protocols, headers=sender.headers)
        assert refused.value.status == 400
    (await ask(http, "GET", sender.url("/push"), headers={**sender.headers, **UPGRADE})).problem(
        400, "subprotocol_missing"
    )
    (await ask(http, "GET", sender.url("/push"), headers=UPGRADE)).problem(401, "token_missing")
    async with http.ws_connect(
        sender.url("/push"), protocols=["chat", SUBPROTOCOL], headers=sender.headers
    ) as socket:
        assert socket.protocol == SUBPROTOCOL


async def test_connections_of_a_revoked_token_close_with_1008(
    gateway: Gateway, http: aiohttp.ClientSession, election: str, sender: Sender
) -> None:
    """In every worker; those of other tokens stay open."""
    other = await gateway.issue(election, [COUNTRY])
    async with connected(http, other) as staying:
        opened = [
            PushSocket(
                await http.ws_connect(sender.url("/push"), protocols=[SUBPROTOCOL], headers=sender.headers)
            )
            for _ in range(8)
        ]
        await opened[0].send(1, a_report())
        await opened[0].results(1)
        await gateway.revoke(sender)
        assert [await socket.end() for socket in opened] == [1008] * 8
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(sender.url("/push"), protocols=[SUBPROTOCOL], headers=sender.headers)
        assert refused.value.status == 401
        await staying.send(1, a_report(revision=2))
        assert (await staying.results(1))[0]["outcome"] == "accepted"


async def test_a_report_in_flight_when_its_token_is_revoked_is_not_accepted_afterwards(
    gateway: Gateway, http: aiohttp.ClientSession, election: str, sender: Sender
) -> None:
    """Reports that the journal accepts after the act are checked by the election as it is then."""
    async with connected(http, sender) as socket:
        await socket.send(0, a_report("0604-0002"))
        await socket.receive()  # the election is released: nothing but what is sent below waits for its head
        async with head_locked(gateway, election):
            await socket.send(1, a_report())
            await waiting_for_lock(gateway)
            revoking = asyncio.create_task(gateway.revoke(sender))
            await waiting_for_lock(gateway, 2)
            await socket.send(2, a_report(revision=2))
        await revoking
        outcomes = {}
        while (message := await socket.receive()).type is aiohttp.WSMsgType.TEXT:
            outcomes |= {result["id"]: result for result in json.loads(message.data)["results"]}
        assert socket.socket.close_code == 1008
    assert outcomes[1]["outcome"] == "accepted"
    revoked_at = await revoked_at_of(sender)
    for result in outcomes.values():
        assert result["outcome"] != "accepted" or moment(result["accepted_at"]) <= revoked_at


async def test_the_connection_of_an_expired_token_closes_with_1008(
    gateway: Gateway, http: aiohttp.ClientSession, election: str
) -> None:
    """Without waiting for it to send anything."""
    expires_at = datetime.now(UTC) + timedelta(seconds=4)
    sender = await gateway.issue(election, [COUNTRY], expires_at=expires_at)
    async with connected(http, sender) as socket:
        assert await socket.end() == 1008
        assert datetime.now(UTC) >= expires_at


async def test_a_client_that_reads_no_results_affects_no_other(
    gateway: Gateway, http: aiohttp.ClientSession, election: str, sender: Sender
) -> None:
    """The door stops reading from it, so memory for it is bounded, and others are answered as usual."""
    deaf = await gateway.issue(election, [COUNTRY])
    raw = await RawSocket.connected(deaf, receive_buffer=4096)
    raw.writer.transport.pause_reading()
    raw.writer.transport.set_write_buffer_limits(high=1 << 16)
    frame = framed(TEXT, json.dumps({"type": "x" * 1000, "id": "y" * 64}).encode())
    taken = 0

    async def flood() -> None:
        nonlocal taken
        while True:
            raw.writer.write(frame)
            await raw.writer.drain()
            taken += len(frame)

    flooding = asyncio.create_task(flood())
    revisions = itertools.count(1)

    async def stuck() -> bool:
        before = taken
        for revision in itertools.islice(revisions, 10):
            assert (await push(http, sender, a_report(revision=revision))).status == 201
        return taken == before

    try:
        await until(stuck)
        assert taken < 64 << 20  # the kernel's buffers of both, and little more
        async with connected(http, sender) as socket:
            await socket.send(1, a_report(revision=next(revisions)))
            assert (await socket.results(1))[0]["outcome"] == "accepted"
    finally:
        flooding.cancel()
        raw.writer.transport.abort()

    async def forgotten() -> bool:
        samples = await gateway.metrics()
        return not sum(value for name, value in samples.items() if name.startswith("valgnatt_push_sockets"))

    await until(forgotten)


async def test_two_that_push_the_same_report_get_one_receipt(
    http: aiohttp.ClientSession, sender: Sender
) -> None:
    """Over two connections at once, and over HTTP at the same time: one is first, the others are duplicates."""
    async with connected(http, sender) as first, connected(http, sender) as second:
        await asyncio.gather(first.send(1, a_report()), second.send(1, a_report()))
        answers = await asyncio.gather(first.results(1), second.results(1), push(http, sender, a_report()))
    results = [answers[0][0], answers[1][0], answers[2].document]
    assert sorted(result["outcome"] for result in results) == ["accepted", "duplicate", "duplicate"]
    assert len({result["accepted_at"] for result in results}) == 1
    assert await pushed(http, sender, a_report(revision=2))
