"""The reports before new ones: kept in memory, returned by the append, or read from Postgres."""

import pytest

from gateway.errors import JournalUnavailable
from gateway.journal.predecessors import Predecessors
from tests.journal.makers import PASSED, a_report
from tests.journal.memory import MemoryJournal

OTHERS = [a_report(f"a-{number}") for number in range(1, 5)]
"""Reports that another process appended."""


async def _found(
    journal: MemoryJournal, predecessors: Predecessors, revision: int, *units: str
) -> list[int | None]:
    """Append a revision of units, and return those of their predecessors."""
    batch = [a_report(unit, revision) for unit in units]
    done = await journal.append(
        journal.key, journal.version, batch, [PASSED] * len(batch), predecessors=predecessors.lacking
    )
    found = await predecessors.find(journal.key, [each.report for each in batch], done)
    return [each.revision if each is not None else None for each in found]


async def test_an_append_returns_predecessors_after_one_that_lacked_many() -> None:
    """The first ones are read with a statement of their own, which then fails."""
    journal = MemoryJournal()
    journal.place(*OTHERS)
    predecessors = Predecessors(journal)
    assert await _found(journal, predecessors, 2, "a-1", "a-2") == [1, 1]
    assert predecessors.lacking
    journal.predecessors_error = JournalUnavailable("none may be read")
    assert await _found(journal, predecessors, 2, "a-3", "a-4", "b-1") == [1, 1, None]
    with pytest.raises(JournalUnavailable):
        await _found(journal, predecessors, 1, "a-1")


async def test_an_append_returns_no_predecessors_while_they_are_in_memory() -> None:
    """Nor are any read."""
    journal = MemoryJournal()
    predecessors = Predecessors(journal)
    journal.predecessors_error = JournalUnavailable("none may be read")
    for revision in (1, 2, 3):
        assert await _found(journal, predecessors, revision, "a-1", "a-2") == [revision - 1 or None] * 2
        assert not predecessors.lacking


async def test_a_report_that_follows_another_one_of_its_append_has_that_as_its_predecessor() -> None:
    """Also if the append returns the others."""
    journal = MemoryJournal()
    journal.place(*OTHERS)
    predecessors = Predecessors(journal)
    assert await _found(journal, predecessors, 2, "a-1") == [1]
    batch = [a_report("a-2", 2), a_report("a-3", 2), a_report("a-2", 3)]
    done = await journal.append(journal.key, journal.version, batch, [PASSED] * 3, predecessors=True)
    assert done.predecessors == [OTHERS[1].body, OTHERS[2].body, None]
    found = await predecessors.find(journal.key, [each.report for each in batch], done)
    assert [each.revision if each is not None else None for each in found] == [1, 1, 2]
