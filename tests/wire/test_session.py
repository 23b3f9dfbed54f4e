"""One push connection: credit is kept to, and no frame breaks it."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.election.outcome import Outcome, Receipt, Refusal, Retry
from gateway.wire.session import (
    ID_MAX,
    AboveCredit,
    CreditExceeded,
    PushSession,
    Sent,
    Unreadable,
    text_frame,
)
from tests.election.makers import BEYOND_BMP

AT = datetime(2025, 9, 8, 20, 36, 55, tzinfo=UTC)
RECEIPT = Receipt("a-1-1", 2, False, None, bytes(32), AT, None, ())
ids = st.integers(-(2**63), 2**63 - 1) | st.text(max_size=ID_MAX)


def a_frame(identifier: Any, report: str = "{}", kind: str = "report") -> str:
    return f'{{"type":{json.dumps(kind)},"id":{json.dumps(identifier)},"report":{report}}}'


def a_session(credit: int = 8) -> PushSession:
    return PushSession(credit, rehearsal=False)


# Credit --------------------------------------------------------------------------------------------------


class Session(RuleBasedStateMachine):
    """A client that keeps to nothing, and a queue that grows and shrinks."""

    def __init__(self) -> None:
        super().__init__()
        self.session = PushSession(3, rehearsal=False)
        self.announced = [3]
        self.handed_on: list[Any] = []
        self.closed = False

    @precondition(lambda self: not self.closed)
    @rule(identifier=ids, report=st.sampled_from(["{}", "[1]", ' {"unit": "é"} ', "null"]))
    def send(self, identifier: Any, report: str) -> None:
        """A report is handed on within the credit, told to come again above it, and above every credit the last."""
        frame = a_frame(identifier, report)
        unanswered = len(self.handed_on)
        if unanswered >= max(self.announced):
            with pytest.raises(CreditExceeded):
                self.session.receive(frame)
            self.closed = True
        elif unanswered >= self.announced[-1]:
            assert self.session.receive(frame) == AboveCredit(identifier)
        else:
            assert self.session.receive(frame) == Sent(identifier, report.strip().encode())
            self.handed_on.append(identifier)

    @precondition(lambda self: not self.closed)
    @rule(frame=st.sampled_from(["", "{}", "[]", '{"type":"hello"}', a_frame(None), a_frame([1]), "\x00"]))
    def send_nonsense(self, frame: str) -> None:
        """What is no report takes no credit, and is answered."""
        assert isinstance(self.session.receive(frame), Unreadable)

    @rule(data=st.data(), credit=st.integers(0, 6))
    def answer(self, data: st.DataObject, credit: int) -> None:
        """Some of what was handed on is answered, in any order, and a credit announced with it."""
        count = data.draw(st.integers(0, len(self.handed_on)))
        answered = data.draw(st.permutations(self.handed_on))[:count]
        frame = json.loads(self.session.results([(name, RECEIPT) for name in answered], credit))
        assert (frame["type"], frame["credit"]) == ("results", credit)
        assert [result["id"] for result in frame["results"]] == answered
        self.session.answered(count)
        self.announced.append(credit)
        for name in answered:
            self.handed_on.remove(name)

    @rule(credit=st.integers(0, 6))
    def grant(self, credit: int) -> None:
        """A credit is announced alone."""
        assert json.loads(self.session.grant(credit)) == {"type": "credit", "credit": credit}
        self.announced.append(credit)

    @invariant()
    def no_more_is_unanswered_than_was_ever_allowed(self) -> None:
        assert self.session.unanswered == len(self.handed_on) <= self.session.ceiling
        assert self.session.ceiling == max(self.announced)
        assert self.session.credit == self.announced[-1]


Session.TestCase.settings = settings(
    deadline=None, max_examples=100, stateful_step_count=30, report_multiple_bugs=False
)
TestCredit = Session.TestCase


def test_a_lower_credit_does_not_close_who_has_not_read_it() -> None:
    """Reports above it are told to come again; only above the largest credit announced the connection ends."""
    session = a_session(credit=2)
    assert isinstance(session.receive(a_frame(1)), Sent)
    session.grant(0)
    assert session.receive(a_frame(2)) == AboveCredit(2)
    assert session.receive(a_frame(3)) == AboveCredit(3)
    session.grant(2)
    assert isinstance(session.receive(a_frame(4)), Sent)
    with pytest.raises(CreditExceeded, match="more than 2 reports"):
        session.receive(a_frame(5))


def test_without_any_credit_a_report_is_too_many() -> None:
    """A connection may start at 0, and then has to wait for more."""
    session = a_session(credit=0)
    with pytest.raises(CreditExceeded):
        session.receive(a_frame(1))
    session.grant(1)
    assert isinstance(session.receive(a_frame(1)), Sent)


def test_more_answers_than_reports_are_a_mistake_of_ours() -> None:
    """A broken invariant is an assertion."""
    with pytest.raises(AssertionError):
        a_session().answered(1)


# Frames in -----------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=100)
@given(ids)
def test_an_id_comes_back_as_it_was_sent(identifier: Any) -> None:
    """Numbers of 64 bits and texts of 64 characters, nothing about them is ours to judge."""
    session = a_session()
    for frame in (a_frame(identifier), a_frame(identifier).encode()):
        sent = session.receive(frame)
        assert sent == Sent(identifier, b"{}")
        assert type(sent.id) is type(identifier)
        answer = json.loads(session.results([(sent.id, RECEIPT)], 8))
        assert answer["results"][0]["id"] == identifier


@pytest.mark.parametrize(
    ("frame", "identifier", "code"),
    [
        ("", None, "malformed"),
        ("report", None, "malformed"),
        ("null", None, "malformed"),
        ("7", None, "malformed"),
        ("[]", None, "malformed"),
        ("{}", None, "malformed"),
        ('{"id":7,"report":{}}', None, "malformed"),
        ('{"type":7,"id":7,"report":{}}', None, "malformed"),
        ('{"type":"report","id":7,"report":{}', None, "malformed"),
        ('{"type":"report","id":7,"report":{}}{}', None, "malformed"),
        ('{"type":"report","id":7}', 7, "malformed"),
        ('{"type":"report","report":{}}', None, "malformed"),
        (a_frame(None), None, "malformed"),
        (a_frame(7.0), None, "malformed"),
        (a_frame(True), None, "malformed"),
        (a_frame([7]), None, "malformed"),
        (a_frame(2**63), None, "malformed"),
        (a_frame(-(2**63) - 1), None, "malformed"),
        (a_frame(10**40), None, "malformed"),
        (a_frame("x" * 65), None, "malformed"),
        (a_frame("\ud800"), None, "malformed"),
        ('{"type":"report","id":"\ud800","report":{}}', None, "malformed"),
        (b'{"type":"report","id":"\xff","report":{}}', None, "malformed"),
        (b'{"type":"\xff","id":7,"report":{}}', None, "malformed"),
        (b"\xff\xfe", None, "malformed"),
        (a_frame(7, "[" * 30_000 + "]" * 30_000), None, "malformed"),
        (a_frame(7, kind="Report"), 7, "unknown_message"),
        (a_frame("seven", kind="hello"), "seven", "unknown_message"),
        (a_frame(7, kind="x" * 9_000), 7, "unknown_message"),
        ('{"type":"ping"}', None, "unknown_message"),
    ],
)
def test_a_frame_that_is_no_report_is_answered_in_short(
    frame: str | bytes, identifier: Any, code: str
) -> None:
    """With its id where it has one; and the answer can be written."""
    session = a_session(credit=0)
    read = session.receive(frame)
    assert isinstance(read, Unreadable)
    assert (read.id, read.code) == (identifier, code)
    assert len(read.detail) < 200
    (result,) = json.loads(session.results([(read.id, read)], 0))["results"]
    assert result == {
        "id": identifier,
        "outcome": "refused",
        "code": code,
        "violations": [{"code": code, "path": "$", "detail": read.detail}],
    }


def test_members_that_are_not_known_are_ignored() -> None:
    """A client of a later version may say more."""
    session = a_session()
    frame = '{"later":{"x":[1]},"type":"report","report": {"unit":1e2} ,"id":"7","id":8}'
    assert session.receive(frame) == Sent(8, b'{"unit":1e2}')


def test_a_report_is_handed_on_as_it_was_sent() -> None:
    """What is wrong within it is not found here: bytes that no text may hold, numbers of any form."""
    report = b'{"unit":"\xff","x":-0.0,"x": 1e999,"\xed\xa0\x80": "\\u0000"}'
    assert a_session().receive(b'{"type":"report","id":1,"report":' + report + b"}") == Sent(1, report)


@settings(deadline=None, max_examples=400)
@given(st.data())
def test_no_bytes_break_a_session(data: st.DataObject) -> None:
    """A frame may hold anything: it is a report, or it is answered, and every answer can be written."""
    session = a_session(credit=data.draw(st.sampled_from((1_000, 0))))
    session.grant(1)
    frame = data.draw(st.binary(max_size=60) | st.text(st.characters(), max_size=60) | _near_frames)
    read = session.receive(frame)
    assert isinstance(read, Sent | AboveCredit | Unreadable)
    outcome = read if isinstance(read, Unreadable) else Retry("overloaded", 1.0)
    assert json.loads(session.results([(read.id, outcome)], 1))["results"][0]["id"] == read.id


_near_frames = st.builds(
    lambda frame, at, noise: frame[:at].encode() + noise + frame[at:].encode(),
    st.builds(
        a_frame, ids | st.none() | st.floats(allow_nan=False), st.sampled_from(["{}", '{"a":[1,"é"]}'])
    ),
    st.integers(0, 60),
    st.sampled_from([b"", b'"', b"\\", b"\\ud800", b"\xff", b"\x00", b"0", b"-", b"{", b",", b" "]),
)


# Frames out ----------------------------------------------------------------------------------------------


def test_the_first_and_the_last_frame_are_as_the_contract_has_them() -> None:
    """Hello with credit and time, goodbye with when to come back."""
    session = a_session(credit=64)
    assert session.hello(AT) == b'{"type":"hello","credit":64,"server_time":"2025-09-08T20:36:55Z"}'
    assert session.goodbye(2.4391) == b'{"type":"goodbye","retry_after_s":2.4}'


@pytest.mark.parametrize("rehearsal", [False, True])
def test_results_carry_each_outcome_beside_its_id(rehearsal: bool) -> None:
    """Many at a time, in the order given; a rehearsal shows in every receipt."""
    session = PushSession(4, rehearsal=rehearsal)
    outcomes: list[tuple[Any, Outcome | Unreadable]] = [
        (1, RECEIPT),
        (BEYOND_BMP, Refusal("stale_revision", "a-1-1", 1, current_revision=2)),
        ("", Retry("draining", 1.5)),
        (None, Unreadable(None, "malformed", "what")),
    ]
    frame = json.loads(session.results(outcomes, 2))
    results = frame.pop("results")
    assert frame == {"type": "results", "credit": 2}
    assert [result["id"] for result in results] == [1, BEYOND_BMP, "", None]
    assert [result["outcome"] for result in results] == ["accepted", "refused", "retry", "refused"]
    assert results[0]["accepted_at"] == "2025-09-08T20:36:55Z"
    assert [result.get("rehearsal", False) for result in results[:3]] == [rehearsal] * 3


async def test_a_text_frame_is_read_by_others() -> None:
    """At every length of its head (RFC 6455, section 5.2)."""
    texts = ["x" * size for size in (0, 1, 125, 126, 127, 65_535, 65_536, 70_000)]

    async def serve(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        assert request.transport is not None
        request.transport.write(b"".join(text_frame(text.encode()) for text in texts))
        await socket.receive()
        return socket

    application = web.Application()
    application.router.add_get("/", serve)
    async with (
        TestServer(application) as server,
        TestClient(server) as client,
        client.ws_connect("/", max_msg_size=0) as socket,
    ):
        assert [await socket.receive_str(timeout=10) for _ in texts] == texts
