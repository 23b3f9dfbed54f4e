"""One push request: how it waits for its outcomes, and that its work is done in short steps."""

import asyncio
import gc
import gzip
import json
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from math import inf
from typing import TypeVar

import pytest

from gateway.election.outcome import Outcome, Retry
from gateway.errors import Overloaded
from gateway.web.answers import Problem
from gateway.web.push_answers import ANSWER_S, AnswerDeadlines, RequestOutcomes, respond
from gateway.web.push_body import REPORTS_MAX
from gateway.web.push_receiving import Kind, ReceivedBody, split
from gateway.web.push_request import BODIES_MAX, BODY_RESERVE, check_all, prepare
from gateway.web.shares import ByteBudget, ByteReservation
from tests.counts import count
from tests.journal.makers import UNITS, a_report, a_token, a_version

T = TypeVar("T")


async def test_a_request_that_is_undecided_at_its_deadline_is_answered_retry() -> None:
    """Outcomes decided by then are kept; later requests go on waiting."""
    deadlines = AnswerDeadlines()
    decided = Retry("overloaded", 1.0)
    known: list[Outcome | None] = [decided, None]
    early = RequestOutcomes(known, {1: a_report("a-1")})
    waiting = asyncio.create_task(early.wait(deadlines))
    await asyncio.sleep(0)
    deadlines.pass_time(1.0)
    late = RequestOutcomes([None], {0: a_report("a-2")})
    later = asyncio.create_task(late.wait(deadlines))
    await asyncio.sleep(0)

    deadlines.pass_time(ANSWER_S - 1.5)
    await asyncio.sleep(0)
    assert not waiting.done()

    deadlines.pass_time(0.5)
    outcomes_then = await waiting
    assert outcomes_then[0] is decided
    assert isinstance(outcomes_then[1], Retry)
    assert (outcomes_then[1].code, outcomes_then[1].unit, outcomes_then[1].revision) == (
        "journal_unavailable",
        "a-1",
        1,
    )
    assert not later.done()

    late.resolve(0, decided)
    late.flush()
    assert await later == [decided]
    deadlines.pass_time(2 * ANSWER_S)


async def test_a_cancelled_request_is_forgotten() -> None:
    """Its client has left; a later outcome has no effect."""
    deadlines = AnswerDeadlines()
    outcomes = RequestOutcomes([None], {0: a_report("a-1")})
    waiting = asyncio.create_task(outcomes.wait(deadlines))
    await asyncio.sleep(0)
    assert len(deadlines) == 1
    waiting.cancel()
    await asyncio.wait({waiting})
    assert len(deadlines) == 0
    outcomes.resolve(0, Retry("draining", 1.0))
    outcomes.flush()


# Steps.

HUNDRED = json.dumps({"counts": {f"c{number}": {} for number in range(25)}}).encode() + b"\n"
"""A report that breaks a rule more than a hundred times."""
LARGE = b'{"x":[' + b",".join([b"1.5"] * 16_000) + b"]}"
OBJECTS = b'{"x":[' + b",".join([b"{}"] * 20_000) + b"]}"
"""Reports of almost the largest size, slow to read."""
EML = (
    b'<EML xmlns="urn:oasis:names:tc:evs:schema:eml" Id="510"><IssueDate>2025-09-08T22:36:55+02:00</IssueDate>'
    b"<Count><Election><Contests><Contest>"
)
PART = count(8, full=1)
"""The part of the largest size that bodies of EML have."""
EML_UNIT = b'<ReportingUnitVotes><ReportingUnitIdentifier Id="a-1"/>'
EML_END = b"</ReportingUnitVotes>"
EML_ROOT_END = b"</Contest></Contests></Election></Count></EML>"
EML_ATTRIBUTES = b" ".join(b"a%d=''" % number for number in range(32))
HOSTILE: dict[str, tuple[Callable[[], bytes], Kind]] = {
    "mistakes": (lambda: HUNDRED * REPORTS_MAX, "ndjson"),
    "empty reports": (lambda: b"{}\n" * REPORTS_MAX, "ndjson"),
    "large reports": (lambda: (LARGE + b"\n") * 139, "ndjson"),
    "reports of many objects": (lambda: (OBJECTS + b"\n") * 139, "ndjson"),
    "an array of large reports": (lambda: b"[" + b",".join([LARGE] * 139) + b"]", "json"),
    "too large reports": (lambda: (b'{"x":[' + b",".join([b"{}"] * 330_000) + b"]}\n") * 8, "ndjson"),
    "one report that is far too large": (lambda: b'{"x":[' + b",".join([b"{}"] * 2_790_000) + b"]}", "json"),
    "an array of numbers": (lambda: b"[" + b",".join([b"1"] * 4_190_000) + b"]", "json"),
    "spaces": (lambda: (b" " * 800 + b"\n") * REPORTS_MAX, "ndjson"),
    "EML of empty elements": (
        lambda: EML + EML_UNIT + b'<x xmlns="x">' + b"<a/>" * (2_000_000 // PART),
        "eml",
    ),
    "EML of empty units": (lambda: EML + (EML_UNIT + EML_END) * (100_000 // PART), "eml"),
    "EML of wrong selections": (
        lambda: EML + (EML_UNIT + b"<Selection/>" * 990 + EML_END) * (690 // PART),
        "eml",
    ),
    "EML of one large unit": (
        lambda: EML + EML_UNIT + b"".join(map(_eml_selection, range(74_000 // PART))) + EML_END,
        "eml",
    ),
    "EML of attributes": (lambda: EML + EML_UNIT + b"<Cast %s/>" % EML_ATTRIBUTES * (35_000 // PART), "eml"),
    "EML of names": (
        lambda: EML + EML_UNIT + b"".join(b"<x:a%d xmlns:x='y'/>" % number for number in range(300_000)),
        "eml",
    ),
    "EML of namespaces": (lambda: EML + (b"<a xmlns='%s'/>" % (b"n" * 16_000)) * 520, "eml"),
    "EML of references": (lambda: EML + EML_UNIT + b"&lt;" * (2_000_000 // PART), "eml"),
    "EML of a comment": (lambda: EML + b"<!--" + b"x" * 8_000_000, "eml"),
    "EML of a text": (lambda: EML + EML_UNIT + b"x\n" * 4_000_000, "eml"),
    "repeated members": (lambda: (b'{"unit":"a-1","unit":"a-1"}\n') * REPORTS_MAX, "ndjson"),
}
"""How to make each body, and what it is."""


def _eml_selection(number: int) -> bytes:
    return (
        b'<Selection Category="advance"><AffiliationIdentifier Id="p%d"/><ValidVotes>1</ValidVotes></Selection>'
        % number
    )


def worked(body: bytes, kind: Kind) -> tuple[float, float]:
    """Go through all steps of a request; return seconds of processor of the longest one and of all."""
    version = a_version(tokens=[a_token(1)])
    token = version.valid_token(1, datetime.now(UTC))
    assert token is not None
    memory = ByteReservation(ByteBudget(BODIES_MAX, BODY_RESERVE), 1, "bodies")
    longest_s = all_s = 0.0

    def drive(steps: Generator[None, None, T]) -> T:
        nonlocal longest_s, all_s
        while True:
            started = time.thread_time()
            try:
                next(steps)
            except StopIteration as end:
                value: T = end.value
                return value
            finally:
                step_s = time.thread_time() - started
                longest_s = max(longest_s, step_s)
                all_s += step_s

    with suppress(Problem, Overloaded):
        received = ReceivedBody(gzip.compress(body, 1), gzip=True, kind=kind)
        outcomes = drive(check_all(version, token, drive(split(received, memory, version.registry))))
        drive(prepare(token, outcomes, datetime.now(UTC)))
        retry = Retry("draining", 1.0)
        drive(respond([outcome or retry for outcome in outcomes._outcomes], lambda _: None, rehearsal=False))
    return longest_s, all_s


@pytest.fixture(scope="module", autouse=True)
def no_collection() -> Iterator[None]:
    """Measure without the garbage of other tests, which a worker does not look at either."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(scope="module")
def honest_s(no_collection: None) -> float:
    """Seconds of processor that a full request of good reports takes."""
    reports = b"".join(a_report(UNITS[0], revision).body + b"\n" for revision in range(1, REPORTS_MAX + 1))
    return min(worked(reports, "ndjson")[1] for _ in range(3))


@pytest.fixture(scope="module")
def honest_eml_s(no_collection: None) -> float:
    """Seconds of processor that a document with good reports takes, about as long as the hostile ones."""
    votes = [
        b'<Selection Category="%s"><AffiliationIdentifier Id="%s"/><ValidVotes>1</ValidVotes></Selection>'
        % (category, party)
        for category in (b"advance", b"election_day")
        for party in (b"A", b"B", b"C")
    ]
    body = EML + (EML_UNIT + b"".join(votes) + EML_END) * (10_000 // PART) + EML_ROOT_END
    return min(worked(body, "eml")[1] for _ in range(2))


@pytest.mark.parametrize("case", HOSTILE)
def test_no_step_of_a_hostile_request_is_long(case: str, honest_s: float, honest_eml_s: float) -> None:
    """Others have their turn long before a valid request would have been done, and the total is a few valid ones."""
    make, kind = HOSTILE[case]
    body = make()
    step_max_s, max_s = honest_s / 4, 3 * honest_eml_s if kind == "eml" else 8 * honest_s
    longest_s = all_s = inf
    for _ in range(2 if kind == "eml" else 3):  # a run that is not disturbed decides
        step_s, run_s = worked(body, kind)
        longest_s, all_s = min(longest_s, step_s), min(all_s, run_s)
        if longest_s < step_max_s and all_s < max_s:
            break
    assert longest_s < step_max_s
    assert all_s < max_s
