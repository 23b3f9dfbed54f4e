"""Every file that a mirror writes is valid against the schema that is published."""

import asyncio
from contextlib import suppress

import pytest
from jsonschema import Draft202012Validator

from gateway.election.registry_reading import read_registry
from gateway.mirror import documents, history
from gateway.mirror.documents import Paces
from gateway.mirror.mirror import Mirror
from gateway.rehearsal.generator import GeneratedElection
from gateway.wire.mirror import decode_live, live_path
from tests.election.makers import DOCUMENT, Record, a_report, some_counts
from tests.election.naive_seats import with_seats
from tests.feed.hold_lines import WrittenHolds
from tests.feed.log_record import WITNESSES, FakeLogs, WrittenLog
from tests.feed.served import FakeRecord, served, until
from tests.feed.test_previous import a_previous, stored
from tests.mirror.schema import kinds_of, problems, read, with_shared_definitions
from tests.mirror.written import MemoryTarget

NIGHT = 1_020


def test_the_schema_is_valid_and_defines_what_the_feed_door_sends_as_the_door_does() -> None:
    """If this fails after a change of the door's description, run `make openapi`."""
    Draft202012Validator.check_schema(read())
    assert with_shared_definitions(read()) == read()


async def test_every_file_of_a_night_is_valid(
    monkeypatch: pytest.MonkeyPatch, small: GeneratedElection
) -> None:
    """Under embargo and during the counting: seats, corrections, holds, a previous election and a signed log."""
    monkeypatch.setattr(history, "REFRESH_S", 0.2)
    monkeypatch.setattr(documents, "PACES", Paces(*(0.05,) * len(Paces._fields)))
    record, target = a_record(small), MemoryTarget()
    log = WrittenLog(record.id, record.document)
    log.add(record.night)
    log.sign(1)
    async with served(record, logs=FakeLogs(log)) as door:
        mirror = Mirror(door.origin, record.id, target, every_s=1)
        running = asyncio.create_task(mirror.run())
        await until(lambda: shown(target, record.id) == 0)
        checked = check(target)
        release(record)
        for sequence in (7, NIGHT):
            log.sign(sequence)
            log.cosign(sequence, WITNESSES[0])
            await door.show(sequence)
            await until(lambda sequence=sequence: shown(target, record.id) == sequence)
        checked |= check(target)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    kinds = {kind["path"] for path in checked for kind in kinds_of(path)}
    assert kinds == {kind["path"] for kind in read()["files"]}, "there is a file of every kind"


def a_record(small: GeneratedElection) -> FakeRecord:
    """Return a record under embargo."""
    document = with_seats(DOCUMENT, seats=9)
    registry, written = read_registry(document), Record()
    units = list(registry.units)
    for number in range(NIGHT):
        unit = units[number % len(units)]
        votes = number + 100 if number % 50 else 1
        counts = some_counts(**{min(registry.by_id[unit].ballot): votes})
        written.write(
            a_report(unit, number // len(units) + 1, counts={registry.categories[number % 2]: counts})
        )
    record = FakeRecord(document, written.publications)
    record.released = False
    record.previous_document = stored({**a_previous(small), "areas": {}})
    return record


def release(record: FakeRecord) -> None:
    """End the embargo, with a hold that has ended."""
    holds, unit = WrittenHolds(), record.night[0].unit
    holds.write(unit, "held")
    holds.write(unit, "superseded")
    record.hold_list, record.released = holds.lines, True


def shown(target: MemoryTarget, election: str) -> int | None:
    """Return the sequence of the mirror, once all files show it."""
    file = target.files.get(live_path(election))
    if file is None or f"v1/elections/{election}/log/checkpoint" not in target.files:
        return None
    live = decode_live(file.body)
    return live.sequence if live.documents == live.sequence else None


def check(target: MemoryTarget) -> set[str]:
    """Require that every file is valid; return their paths."""
    assert [problem for path, file in target.files.items() for problem in problems(path, file.body)] == []
    return set(target.files)
