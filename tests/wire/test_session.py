"""One push connection: credit is observed, and no frame breaks it."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.election.outcome import Outcome, Receipt, Refusal, Retry
from gateway.wire.session import (
    ID_MAX,
    CreditExceeded,
    PushSession,
    Sent,
    Unreadable,
)
from tests.counts import examples
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
    """A client that ignores the protocol, and a queue that grows and shrinks."""

    def __init__(self) -> None:
        super().__init__()
        self.session = PushSession(3, rehearsal=False)
        self.announced = [3]
        self.waiting: list[tuple[Any, bytes]] = []
        self.handed_on: list[Any] = []
        self.closed = False

    @precondition(lambda self: not self.closed)
    @rule(identifier=ids, report=st.sampled_from(["{}", "[1]", ' {"unit": "é"} ', "null"]))
    def send(self, identifier: Any, report: str) -> None:
        """A report waits for its turn, and above every credit the connection ends."""
        frame = a_frame(identifier, report)
        if len(self.waiting) + len(self.handed_on) >= max(self.announced):
            with pytest.raises(CreditExceeded):
                self.session.receive(frame)
            self.closed = True
        else:
            assert self.session.receive(frame) is None
            self.waiting.append((identifier, report.strip().encode()))

    @precondition(lambda self: not self.closed)
    @rule(frame=st.sampled_from(["", "{}", "[]", '{"type":"hello"}', a_frame(None), a_frame([1]), "\x00"]))
    def send_nonsense(self, frame: str) -> None:
        """A frame that is not a report uses no credit, and is answered."""
        assert isinstance(self.session.receive(frame), Unreadable)

    @rule(most=st.integers(0, 6))
    def hand_on(self, most: int) -> None:
        """Reports are handed on in the order received, as long as fewer than `most` are."""
        sent = self.session.next(most)
        if not self.waiting or len(self.handed_on) >= most:
            assert sent is None
        else:
            assert sent is not None
            assert (sent.id, sent.raw) == self.waiting.pop(0)
            self.handed_on.append(sent.id)

    @rule(data=st.data(), credit=st.integers(0, 6))
    def answer(self, data: st.DataObject, credit: int) -> None:
        """Some reports in progress are answered, in any order, and a credit is announced with the answers."""
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
        """A credit is announced alone, or changes."""
        assert json.loads(self.session.grant(credit)) == {"type": "credit", "credit": credit}
        self.announced.append(credit)

    @rule()
    def end(self) -> None:
        """Waiting reports are dropped when the connection ends."""
        self.session.drop_waiting()
        self.waiting.clear()

    @invariant()
    def no_more_is_unanswered_than_was_ever_allowed(self) -> None:
        assert self.session.unanswered == len(self.handed_on) + len(self.waiting) <= self.session.ceiling
        assert (self.session.waiting, self.session.handed_on) == (len(self.waiting), len(self.handed_on))
        assert self.session.waiting_bytes == sum(len(raw) for _, raw in self.waiting)
        assert self.session.ceiling == max(self.announced)
        assert self.session.credit == self.announced[-1]


Session.TestCase.settings = settings(
    deadline=None, max_examples=examples(100), stateful_step_count=30, report_multiple_bugs=False
)
TestCredit = Session.TestCase


def test_a_lower_credit_does_not_close_a_client_that_has_not_read_it() -> None:
    """Reports above it wait; the connection is closed only above the largest credit announced."""
    session = a_session(credit=2)
    session.grant(0)
    assert session.receive(a_frame(1)) is None
    assert session.receive(a_frame(2)) is None
    assert session.next(session.credit) is None
    with pytest.raises(CreditExceeded, match="more than 2 unanswered reports"):
        session.receive(a_frame(3))
    session.grant(1)
    assert session.next(session.credit) == Sent(1, b"{}", 1)
    assert session.next(session.credit) is None
    session.answered(1)
    assert session.next(session.credit) == Sent(2, b"{}", 2)


def test_without_credit_a_report_is_one_too_many() -> None:
    """A connection may start at 0, and then has to wait for credit."""
    session = a_session(credit=0)
    with pytest.raises(CreditExceeded):
        session.receive(a_frame(1))
    session.grant(1)
    assert session.receive(a_frame(1)) is None


# Order ---------------------------------------------------------------------------------------------------


class Conversation(RuleBasedStateMachine):
    """A client that sends every `retry` again, in order; both directions of its connection take any time.

    The journal accepts only rising revisions of a unit, fails with reports in progress, and drains. In the end every
    revision is accepted, in the order in which the client produced it.
    """

    UNITS = ("a", "b")

    def __init__(self) -> None:
        super().__init__()
        self.connection = 0
        self.room: list[tuple[int, int, str, int]] = []
        """Connection, key, unit and revision of what waits for a commit."""
        self.connect(4)
        self.made: dict[str, int] = dict.fromkeys(self.UNITS, 0)
        self.accepted: dict[str, list[int]] = {unit: [] for unit in self.UNITS}
        self.key = 0
        self.unsent: dict[int, tuple[str, int]] = {}

    def connect(self, credit: int) -> None:
        self.connection += 1
        self.session = PushSession(credit, rehearsal=False)
        self.client_credit = 0
        self.to_client: list[bytes] = [self.session.hello(AT)]
        self.to_server: list[str] = []
        self.sent: dict[int, tuple[str, int]] = {}

    # The client.

    @rule(unit=st.sampled_from(UNITS), count=st.integers(1, 3))
    def make(self, unit: str, count: int) -> None:
        """The client has the next revisions of a unit."""
        for _ in range(count):
            self.made[unit] += 1
            self.key += 1
            self.unsent[self.key] = unit, self.made[unit]

    @rule(count=st.integers(1, 6))
    def send(self, count: int) -> None:
        """The client sends the oldest of what it has to send, within its credit."""
        for key in sorted(self.unsent)[:count]:
            if len(self.sent) >= self.client_credit:
                return
            unit, revision = self.sent[key] = self.unsent.pop(key)
            self.to_server.append(a_frame(key, json.dumps({"unit": unit, "revision": revision})))

    @precondition(lambda self: self.to_client)
    @rule()
    def client_reads(self) -> None:
        """The client reads the oldest frame; what is to be sent again is in its place in the order."""
        frame = json.loads(self.to_client.pop(0))
        self.client_credit = frame["credit"]
        for result in frame.get("results", ()):
            report = self.sent.pop(result["id"])
            if result["outcome"] == "retry":
                self.unsent[result["id"]] = report
            else:
                assert result["outcome"] == "accepted", result

    # The server.

    @precondition(lambda self: self.to_server)
    @rule()
    def server_reads(self) -> None:
        """A report is received, and may have to wait."""
        assert self.session.receive(self.to_server.pop(0)) is None

    @rule()
    def hand_on(self) -> None:
        """The next report goes to the waiting room, or is answered `retry`."""
        sent = self.session.next(max(1, self.session.credit))
        if sent is None:
            return
        report = json.loads(sent.raw)
        assert isinstance(sent.id, int)
        if self.session.may_be_decided(sent, report["unit"], report["revision"]):
            self.room.append((self.connection, sent.id, report["unit"], report["revision"]))
        else:
            self.answer(
                [(self.connection, sent.id, Retry("out_of_order", 0.2, report["unit"], report["revision"]))]
            )

    @precondition(lambda self: self.room)
    @rule(data=st.data(), credit=st.integers(0, 6))
    def commit(self, data: st.DataObject, credit: int) -> None:
        """The first of the room are accepted, or stale."""
        count = data.draw(st.integers(1, len(self.room)))
        outcomes: list[tuple[int, int, Outcome]] = []
        for connection, key, unit, revision in self.room[:count]:
            present = self.accepted[unit]
            if present and revision < present[-1]:
                outcomes.append((connection, key, Refusal("stale_revision", unit, revision, present[-1])))
                continue
            if revision not in present:
                present.append(revision)
            outcomes.append((connection, key, msgspec.structs.replace(RECEIPT, unit=unit, revision=revision)))
        del self.room[:count]
        self.answer(outcomes, credit)

    @precondition(lambda self: self.room)
    @rule(data=st.data(), credit=st.integers(0, 6))
    def go_away(self, data: st.DataObject, credit: int) -> None:
        """The journal fails: every report in the room is `retry`, and some of them are durable nevertheless."""
        durable = data.draw(st.integers(0, len(self.room)))
        for *_, unit, revision in self.room[:durable]:
            if revision > (self.accepted[unit] or [0])[-1]:
                self.accepted[unit].append(revision)
        lost: list[tuple[int, int, Outcome]] = [
            (connection, key, Retry("journal_unavailable", 1.0, unit, revision))
            for connection, key, unit, revision in self.room
        ]
        self.room.clear()
        self.answer(lost, credit)

    @rule(credit=st.integers(0, 6))
    def grant(self, credit: int) -> None:
        """A credit is announced alone, or changes."""
        self.to_client.append(self.session.grant(credit))

    @rule(credit=st.integers(1, 6))
    def begin_again(self, credit: int) -> None:
        """The connection breaks: the client sends reports without a result again; they may still be in the room."""
        self.unsent |= self.sent
        self.connect(credit)

    def answer(self, results: list[tuple[int, int, Outcome]], credit: int | None = None) -> None:
        outcomes = [(key, outcome) for connection, key, outcome in results if connection == self.connection]
        for _, outcome in outcomes:
            self.session.decided(outcome)
        frame = self.session.results(outcomes, self.session.credit if credit is None else credit)
        self.session.answered(len(outcomes))
        self.to_client.append(frame)

    # What is true.

    @invariant()
    def revisions_are_accepted_in_the_order_made(self) -> None:
        for accepted in self.accepted.values():
            assert accepted == list(range(1, len(accepted) + 1))

    @invariant()
    def what_is_kept_of_retries_is_bounded_by_the_largest_credit(self) -> None:
        assert self.session.fenced <= self.session.ceiling

    def teardown(self) -> None:
        """Eventually, every revision is accepted."""
        self.grant(4)
        for _ in range(20 * (self.key + 4)):
            while self.to_client:
                self.client_reads()
            self.send(6)
            while self.to_server:
                self.server_reads()
            self.hand_on()
            if self.room:
                connection, key, unit, revision = self.room.pop(0)
                if revision > (self.accepted[unit] or [0])[-1]:
                    self.accepted[unit].append(revision)
                assert revision in self.accepted[unit], "stale"
                self.answer([(connection, key, RECEIPT)], 4)
        assert self.accepted == {unit: list(range(1, made + 1)) for unit, made in self.made.items()}
        assert not self.unsent
        assert not self.sent


Conversation.TestCase.settings = settings(
    deadline=None, max_examples=examples(300), stateful_step_count=60, report_multiple_bugs=False
)
TestConversation = Conversation.TestCase


def reported(session: PushSession, unit: str, revision: int) -> bool:
    """Send a report, have it handed on, and return whether it may be decided."""
    assert session.receive(a_frame(revision)) is None
    sent = session.next(session.ceiling)
    assert sent is not None
    return session.may_be_decided(sent, unit, revision)


def retried(session: PushSession, unit: str, revision: int) -> None:
    """Answer a report `retry`."""
    outcome = Retry("journal_unavailable", 1.0, unit, revision)
    session.decided(outcome)
    session.results([(revision, outcome)], session.credit)
    session.answered(1)


def test_a_later_revision_is_not_decided_before_a_retry_for_an_earlier_one_can_have_been_read() -> None:
    """It was in flight. Other units continue, and this one does once the earlier revision is sent again."""
    session = a_session()
    assert reported(session, "a", 1)
    retried(session, "a", 1)
    assert not reported(session, "a", 2)
    retried(session, "a", 2)
    assert reported(session, "b", 1)
    assert reported(session, "a", 1)
    assert not reported(session, "a", 3), "2 was answered retry after 1, and perhaps that was not read"
    retried(session, "a", 3)
    assert reported(session, "a", 2)
    assert reported(session, "a", 3)
    assert reported(session, "a", 4)
    assert not session.fenced


def test_a_client_may_continue_with_a_later_revision() -> None:
    """Sending the later one again shows that all answers up to its `retry` were read."""
    session = a_session()
    assert reported(session, "a", 1)
    retried(session, "a", 1)
    assert not reported(session, "a", 2)
    retried(session, "a", 2)
    assert reported(session, "a", 2)
    assert not session.fenced


def test_a_client_that_sends_nothing_again_continues_after_as_many_reports_as_its_credit() -> None:
    """It cannot have sent more without reading the `retry`, so no unit is blocked forever."""
    session = a_session(credit=4)
    assert reported(session, "a", 1)
    retried(session, "a", 1)
    passed = []
    for revision in range(2, 8):
        passed.append(reported(session, "a", revision))
        session.decided(RECEIPT)
        session.answered(1)
    assert passed == [False, False, False, True, True, True]


def test_more_answers_than_reports_fail_an_assertion() -> None:
    """It is a broken invariant."""
    with pytest.raises(AssertionError):
        a_session().answered(1)


# Frames in -----------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=examples(100))
@given(ids)
def test_an_id_is_returned_unchanged(identifier: Any) -> None:
    """Numbers of 64 bits and strings of 64 characters."""
    session = a_session()
    for number, frame in enumerate((a_frame(identifier), a_frame(identifier).encode()), start=1):
        assert session.receive(frame) is None
        sent = session.next(8)
        assert sent == Sent(identifier, b"{}", number)
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
def test_a_frame_that_is_not_a_report_is_refused(frame: str | bytes, identifier: Any, code: str) -> None:
    """With its id if it has one; the answer can always be encoded."""
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


def test_unknown_members_are_ignored() -> None:
    """A client of a later version may send more."""
    session = a_session()
    frame = '{"later":{"x":[1]},"type":"report","report": {"unit":1e2} ,"id":"7","id":8}'
    assert session.receive(frame) is None
    assert session.next(1) == Sent(8, b'{"unit":1e2}', 1)


def test_a_report_is_handed_on_unchanged() -> None:
    """Errors within it are not detected here: invalid bytes in strings, numbers of any form."""
    report = b'{"unit":"\xff","x":-0.0,"x": 1e999,"\xed\xa0\x80": "\\u0000"}'
    session = a_session()
    assert session.receive(b'{"type":"report","id":1,"report":' + report + b"}") is None
    assert session.next(1) == Sent(1, report, 1)


@settings(deadline=None, max_examples=examples(400))
@given(st.data())
def test_any_frame_is_a_report_or_is_answered(data: st.DataObject) -> None:
    """Every answer can be encoded."""
    session = a_session(credit=data.draw(st.sampled_from((1_000, 1))))
    frame = data.draw(st.binary(max_size=60) | st.text(st.characters(), max_size=60) | _near_frames)
    read = session.receive(frame) or session.next(1)
    assert isinstance(read, Sent | Unreadable)
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


def test_the_first_and_the_last_frame_are_those_of_the_contract() -> None:
    """`hello` with credit and time, `goodbye` with the time to reconnect."""
    session = a_session(credit=64)
    assert session.hello(AT) == b'{"type":"hello","credit":64,"server_time":"2025-09-08T20:36:55Z"}'
    assert session.goodbye(2.4391) == b'{"type":"goodbye","retry_after_s":2.4}'


@pytest.mark.parametrize("rehearsal", [False, True])
def test_results_have_each_outcome_with_its_id(rehearsal: bool) -> None:
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
