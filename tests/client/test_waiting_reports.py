"""Two systems push counts of one unit, each with its outbox, and are killed at any step: against a model of the door.

The outboxes are files; the gateway is a model in memory.
"""

import asyncio
import io
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import orjson
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.client import delivery as delivery_module
from gateway.client import preparation as preparation_module
from gateway.client import sending as sending_module
from gateway.client.delivery import Delivery, Door
from gateway.client.outbox import Outbox
from gateway.client.outbox_items import Destination
from gateway.client.push_answers import Answer
from gateway.client.push_files import AtGateway
from gateway.count_files.files import encode_report
from gateway.count_files.reports import Mistakes
from gateway.count_files.revisions import Known
from gateway.count_files.versions import meaning
from gateway.election.rfc3339 import read_time
from gateway.terminal import Terminal
from tests.count_files.count_parts import UNIT, at, figures
from tests.counts import examples

TO = Destination("http://here", "e")


REFUSED = 77
"""A revision that the model refuses."""


class Killed(BaseException):
    """The command was killed."""


class ModelDoor:
    """Decides about reports of one unit as section 3 of the contract has it, and may lose an answer."""

    def __init__(self) -> None:
        self.accepted: list[tuple[int, dict[str, Any]]] = []
        self.steps = 99
        self.meanwhile: list[Callable[[], None]] = []
        """What other systems do, one before each of the next requests."""

    @property
    def current(self) -> Known | None:
        return Known(*self.accepted[-1]) if self.accepted else None

    def step(self) -> None:
        if self.meanwhile:
            self.meanwhile.pop(0)()
        self.steps -= 1
        if self.steps < 0:
            raise Killed

    def decide(self, body: bytes) -> Answer:
        document = orjson.loads(body)
        if document["revision"] == REFUSED:
            return Answer("refused", code="invalid_report")
        revision, current = document["revision"], self.current
        known = next((each for number, each in self.accepted if number == revision), None)
        if known is not None:
            same = known == document
            return Answer("duplicate") if same else Answer("refused", code="revision_conflict")
        if current is not None and revision < current.revision:
            return Answer("refused", code="stale_revision", current_revision=current.revision)
        self.accepted.append((revision, document))
        return Answer("accepted")

    async def current_reports(self, *_: Any) -> AtGateway:
        self.step()
        return AtGateway({UNIT: self.current} if self.current else {})

    def publisher(self, *_: Any, **__: Any) -> "ModelPublisher":
        return ModelPublisher(self)

    def push_next(self, document: dict[str, Any]) -> None:
        """Accept a count of another system if it is later than the current one."""
        current = self.current
        if current is None or read_time(current.document["counted_at"]) < read_time(document["counted_at"]):
            revision = current.revision + 1 if current else 1
            assert self.decide(encode_report(document | {"revision": revision})).outcome == "accepted"


class ModelPublisher:
    def __init__(self, door: ModelDoor) -> None:
        self._door = door

    async def __aenter__(self) -> "ModelPublisher":
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def push(self, body: bytes) -> Answer:
        self._door.step()
        answer = self._door.decide(body)
        self._door.step()  # the answer may be lost
        return answer


def a_count(minute: int, ballots: int = 10, **members: Any) -> dict[str, Any]:
    counts = {"advance": figures(ballots)}
    return {"unit": UNIT, "counted_at": at(minute), "status": "final", "counts": counts, **members}


class ModelSystem:
    """One system, its outbox, and the command."""

    def __init__(self, door: ModelDoor, path: Path) -> None:
        self._door, self.path = door, path
        self.printed = ""

    def run(
        self, counts: Sequence[Mapping[str, Any]] = (), steps: int = 99, *, accept: bool = False
    ) -> int | None:
        """Run the command for so many steps; return its status, or None if it was killed."""
        outbox, printed = Outbox(self.path), io.StringIO()
        self._door.steps = steps
        door = Door("http://here", "token", TO)
        delivery = Delivery(
            door, None, outbox, None, Terminal(file=printed, width=999), keep_trying=False, accept=accept
        )

        async def command() -> int:
            if counts:
                try:
                    files = {"a.ndjson": b"\n".join(map(orjson.dumps, counts))}
                    delivery.add((await delivery.prepare(delivery.read(files))).counts)
                except Mistakes:
                    return 2
                self._door.step()
            return await delivery.send()

        with (
            patch.object(preparation_module, "current_reports", self._door.current_reports),
            patch.object(delivery_module, "current_reports", self._door.current_reports),
            patch.object(sending_module, "Publisher", self._door.publisher),
        ):
            try:
                return asyncio.run(command())
            except (Killed, BaseExceptionGroup):
                return None
            finally:
                self.printed = printed.getvalue()
                outbox.close()

    def waiting(self) -> int:
        outbox = Outbox(self.path)
        try:
            return outbox.waiting_count(TO)
        finally:
            outbox.close()

    def answers(self) -> list[tuple[int, str, str | None]]:
        outbox = Outbox(self.path)
        try:
            return [
                (each.revision, each.answer.outcome, each.answer.code)
                for each in outbox.answers(TO)
                if each.answer is not None
            ]
        finally:
            outbox.close()


def check_record(door: ModelDoor) -> None:
    times = [read_time(document["counted_at"]) for _, document in door.accepted]
    assert times == sorted(set(times)), "no count replaces a later one, and none is published twice"


def has_receipt(door: ModelDoor, count: Mapping[str, Any]) -> bool:
    return any(meaning(document) == meaning(dict(count)) for _, document in door.accepted)


minutes = st.integers(1, 6)
acts: Any = st.lists(
    st.tuples(st.integers(0, 1), st.lists(minutes, max_size=2, unique=True), st.integers(0, 9) | st.just(99)),
    min_size=1,
    max_size=6,
)


@settings(max_examples=examples(150), deadline=None)
@given(acts, st.lists(minutes, max_size=3))
@example([(0, [1, 2], 1), (1, [3], 99), (0, [], 99)], [])
@example([(0, [1], 1), (1, [2], 99), (0, [4], 1), (1, [3], 99), (0, [], 99)], [])
def test_no_count_replaces_a_later_one_whatever_is_killed(acted: list[Any], meanwhile: list[int]) -> None:
    """Status 0 only if all counts are in the record; after a last run without a kill nothing waits."""
    with tempfile.TemporaryDirectory() as directory:
        door = ModelDoor()
        systems = [ModelSystem(door, Path(directory) / f"{number}.db") for number in (0, 1)]
        for number, of_command, steps in acted:
            counts = [a_count(minute, 10 + number) for minute in of_command]
            door.meanwhile = [
                lambda minute=minute: door.push_next(a_count(minute, 20))  # type: ignore[misc]
                for minute in meanwhile
            ]
            status = systems[number].run(counts, steps)
            check_record(door)
            if status == 0:
                assert systems[number].waiting() == 0
                assert all(has_receipt(door, count) for count in counts)
        door.meanwhile = []
        for system in systems:
            waited = system.waiting()
            status = system.run()
            assert status in (0, 1)
            assert waited or status == 0
            assert system.waiting() == 0
            check_record(door)
            assert system.run() == 0


def systems(tmp_path: Path) -> tuple[ModelDoor, ModelSystem]:
    door = ModelDoor()
    return door, ModelSystem(door, tmp_path / "outbox.db")


def published(door: ModelDoor) -> list[tuple[int, str]]:
    return [(revision, document["counted_at"]) for revision, document in door.accepted]


def test_waiting_counts_are_not_sent_over_a_later_one(tmp_path: Path) -> None:
    """Neither the one whose revision was taken nor the one after it; both end, and the reason is kept."""
    door, system = systems(tmp_path)
    assert system.run([a_count(0), a_count(20)], steps=1) is None
    door.push_next(a_count(30, 99))
    assert system.run() == 1
    assert published(door) == [(1, at(30))]
    assert system.answers() == [(1, "refused", "revision_conflict"), (2, "not_sent", "superseded")]
    assert "not sent: unit 0604-0001, revision 2: superseded before it was sent" in system.printed
    assert at(30) in system.printed
    assert system.run() == 0


def test_a_waiting_count_that_is_later_than_the_one_of_another_system_is_sent(tmp_path: Path) -> None:
    """Without its file."""
    door, system = systems(tmp_path)
    assert system.run([a_count(40)], steps=1) is None
    door.push_next(a_count(30, 9))
    assert system.run() == 0
    assert published(door) == [(1, at(30)), (2, at(40))]
    assert system.answers() == [(2, "accepted", None)]


def test_a_waiting_count_that_would_cross_a_red_line_by_now_is_sent_only_if_it_is_accepted(
    tmp_path: Path,
) -> None:
    """Nobody saw it beside the count of the other system. Until then it is kept."""
    door, system = systems(tmp_path)
    assert system.run([a_count(40)], steps=1) is None
    door.push_next(a_count(30, 99))
    for _ in range(2):
        assert system.run() == 1
        assert "RED LINE: unit 0604-0001: 99 → 10 ballots (−89) without a reason" in system.printed
        assert published(door) == [(1, at(30))]
    assert system.run(accept=True) == 0
    assert published(door) == [(1, at(30)), (2, at(40))]


def test_a_count_between_those_that_wait_and_a_later_one_is_not_sent(tmp_path: Path) -> None:
    door, system = systems(tmp_path)
    assert system.run([a_count(0)]) == 0
    assert system.run([a_count(20), a_count(21)], steps=1) is None
    door.push_next(a_count(30, 99))
    assert system.run([a_count(25)]) == 2
    assert system.run() == 1
    assert system.run([a_count(35)]) == 0
    assert published(door) == [(1, at(0)), (2, at(30)), (3, at(35))]


def test_given_revisions_are_sent_as_they_are(tmp_path: Path) -> None:
    """Also those that were counted earlier: a person decided that."""
    door, system = systems(tmp_path)
    assert system.run([a_count(20, revision=1), a_count(21, revision=5)], steps=1) is None
    door.push_next(a_count(30, 19))
    assert system.run() == 1
    assert published(door) == [(1, at(30)), (5, at(21))]


def test_a_report_with_a_given_revision_that_would_cross_a_red_line_by_now_needs_acceptance(
    tmp_path: Path,
) -> None:
    """As nobody saw it beside the count of the other system."""
    door, system = systems(tmp_path)
    assert system.run([a_count(21, revision=5)], steps=1) is None
    door.push_next(a_count(30, 99))
    for _ in range(2):
        assert system.run() == 1
        assert "RED LINE: unit 0604-0001: 99 → 10 ballots (−89) without a reason" in system.printed
        assert "revision 5: not sent because of a red line" in system.printed
        assert "no answer yet" not in system.printed
        assert published(door) == [(1, at(30))]
    assert system.run(accept=True) == 0
    assert published(door) == [(1, at(30)), (5, at(21))]


def test_the_answer_that_another_process_recorded_decides_about_the_status(tmp_path: Path) -> None:
    """Between adding a report and sending it; a refusal there is no receipt."""
    door, system = systems(tmp_path)
    other = ModelSystem(door, system.path)
    for revision, expected in ((REFUSED, 1), (1, 0)):
        count = a_count(20, revision=revision)
        prepared = delivery_module.Delivery.send

        async def after_the_other(delivery: Delivery) -> int:
            outbox = delivery._outbox
            for item in list(outbox.waiting(TO)):
                outbox.record([(item, door.decide(item.body))])
            return await prepared(delivery)  # noqa: B023

        with patch.object(delivery_module.Delivery, "send", after_the_other):
            assert other.run([count]) == expected
        assert ("refused: unit" in other.printed) == bool(expected)
        assert ("1 receipt" in other.printed) != bool(expected)
