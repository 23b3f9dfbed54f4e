"""The change since the previous election that a browser computes from the record equals the gateway's, at any time."""

from collections.abc import Sequence
from datetime import datetime
from random import Random
from typing import Any

import pytest
from playwright.async_api import Browser

from gateway.election.previous import read_previous
from gateway.election.record import Publication
from gateway.election.registry_reading import read_registry
from gateway.election.state import ElectionState
from gateway.rehearsal.generator import generate
from gateway.wire.areas import area_document
from tests.counts import count, full_only
from tests.election.makers import BALLOTS, DOCUMENT, PARTIES, Record
from tests.feed.served import FakeRecord, served
from tests.web.browsing import BARE, needs_chromium, visiting
from tests.web.test_night_fold import any_reports, sampled

pytestmark = pytest.mark.long

CHANGES = """async ({ registry, previous, lines, sequences }) => {
    const { RecordFold } = await import("/static/0/record_fold.js");
    const fold = new RecordFold(registry);
    fold.compareWith(previous);
    for (const line of lines) fold.add(line);
    const found = {};
    for (const sequence of sequences) {
        fold.seek(sequence);
        found[sequence] = Object.fromEntries(registry.areas.map(({ id }) => [id, fold.area(id).change]));
    }
    return found;
}"""


def expected(
    document: dict[str, Any], previous: dict[str, Any], night: Sequence[Publication], sequences: Sequence[int]
) -> dict[str, Any]:
    """Return the change of all areas at each sequence, as the gateway has it."""
    registry = read_registry(document)
    found = {}
    for sequence in sequences:
        state = ElectionState(registry, read_previous(previous, registry))
        for publication in night[:sequence]:
            state.apply(publication)
        found[str(sequence)] = {
            area.id: area_document(state, area.index)["change"] for area in registry.areas
        }
    return found


async def compare(
    browser: Browser,
    document: dict[str, Any],
    previous: dict[str, Any],
    written: Record,
    sequences: list[int],
) -> dict[str, Any]:
    """Compare the changes of all areas at these positions, visited in this order; return them."""
    night = written.publications
    async with (
        served(FakeRecord(document, night, shown=len(night))) as door,
        visiting(browser) as visitor,
    ):
        page = await visitor.open(f"{door.origin}{BARE}")
        lines = await page.evaluate(
            """async (path) => (await (await fetch(path)).text()).split("\\n").filter(Boolean).map(JSON.parse)""",
            door.path("/publications?limit=1000"),
        )
        assert len(lines) == len(night)
        found: dict[str, Any] = await page.evaluate(
            CHANGES, {"registry": document, "previous": previous, "lines": lines, "sequences": sequences}
        )
        right = expected(document, previous, night, sequences)
        for sequence, areas in right.items():
            assert {name: each for name, each in found[sequence].items() if each != areas[name]} == {}, (
                sequence
            )
        return right


@needs_chromium
async def test_changes_are_exact_at_any_position_of_a_generated_election(browser: Browser) -> None:
    """With the same units and with whole areas, of shares and of the turnout."""
    election, before = generate(seed=7, scale=0.02, errors=True), Random(3)
    written = Record()
    for line in election.reports:
        written.write(line["report"], datetime.fromisoformat(line["report"]["counted_at"]))
    newest = {line["report"]["unit"]: line["report"]["counts"] for line in election.reports}
    areas: dict[str, Any] = {}
    for unit, counts in newest.items():
        codes = {code for each in counts.values() for code in each["votes"]} - {"HV"}
        areas[unit] = {"votes": {code: before.randrange(90) for code in codes}, "blank": 2, "eligible": 4000}
    areas["vl"] = {
        "votes": {"FL": 300_000, "NST": 500_000},
        "other": 400_000,
        "blank": 9000,
        "eligible": 2_000_000,
        "differs": "made up",
    }
    for unit in [each for each in areas if each.startswith(("0101", "0202"))]:
        del areas[unit]
    areas["0101"] = {"votes": {"FL": 700, "NST": 900}, "ballots": 1700, "eligible": 5000}
    previous = {"format": "valgnatt-previous/1", "source": "made up", "areas": areas}
    previous["election"] = {"id": "before", "name": "The one before", "date": "2020-09-14"}
    length = len(written.publications)
    sequences = sampled(Random(6), length, count(6, full=60))
    found = await compare(browser, election.registry, previous, written, sequences)
    assert {each["vl"]["basis"] for each in found.values() if each["vl"]} == {"whole", "same_units"}
    changes = found[str(length)]
    assert changes["0202"] is None
    assert changes["vl"]["turnout"] is not None
    assert changes["0604"]["shares"]["HV"] is None


@full_only
@needs_chromium
async def test_changes_are_exact_with_unknown_names_and_an_irregular_tree(browser: Browser) -> None:
    """Units at several depths, ballots of their own, and units that are no longer counted."""
    draw = Random(4)
    areas = {
        unit: {
            "votes": {party: draw.randrange(400) for party in draw.sample(PARTIES, len(PARTIES) - 1)},
            **({"blank": draw.randrange(9)} if draw.random() < 0.7 else {}),
            **({"eligible": 900} if draw.random() < 0.9 else {}),
        }
        for unit in [*BALLOTS][1:]
    }
    previous = {"format": "valgnatt-previous/1", "source": "made up", "areas": areas}
    previous["election"] = {"id": "before", "name": "The one before", "date": "2020-09-14"}
    written = Record()
    for report in any_reports(Random(7), 150):
        written.write(report)
    await compare(browser, DOCUMENT, previous, written, sampled(Random(8), 150, count(12, full=149)))
