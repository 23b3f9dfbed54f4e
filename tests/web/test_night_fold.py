"""The figures of the past that a browser folds from the record equal the gateway's own, at any position."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from playwright.async_api import Browser, Page

from gateway.election.record import Publication
from gateway.election.registry import Registry
from gateway.election.registry_reading import read_registry
from gateway.election.state import ElectionState
from gateway.rehearsal.dataset import DataSet
from gateway.rehearsal.generator import generate
from gateway.wire.areas import area_json
from tests.counts import EXTENT, count, full_only
from tests.election.makers import BALLOTS, CATEGORIES, DOCUMENT, REASONS, STATUSES, Record
from tests.feed.served import FakeRecord, served
from tests.measured import note
from tests.web.browsing import BARE, needs_chromium, visiting

pytestmark = pytest.mark.long

MOVED_MAX = 1000
"""Publications that reaching any moment may apply, of a record of up to 32 000; 36 ms on a busy machine."""

FOLD = """async ({ election, count, sequences, details, options }) => {
    const { RecordFold } = await import("/static/0/record_fold.js");
    const { fetchRange, fetchNewest, RANGE } = await import("/static/0/record_ranges.js");
    const { brokenLink } = await import("/static/0/record_chain.js");
    const registry = (await (await fetch(election)).json()).registry;
    const fold = new RecordFold(registry, options);
    let chain = "0".repeat(64), broken = null, chain_ms = 0;
    const added_from = performance.now();
    while (fold.sequence < count) {
        const before = fold.sequence;
        const whole = before % RANGE === 0 && before + RANGE <= count;
        const text = await (whole ? fetchRange : fetchNewest)({ election, history: null }, before);
        const lines = text.split("\\n").filter(Boolean).filter((line) => JSON.parse(line).sequence > before);
        const publications = lines.map((line) => JSON.parse(line));
        const from = performance.now();
        broken ??= await brokenLink(chain, lines, publications);
        chain_ms += performance.now() - from;
        for (const each of publications) fold.add(each);
        chain = publications.at(-1).chain;
    }
    const added_ms = performance.now() - added_from;
    const points = (key) => Array.from(key, (each) => each.codePointAt(0).toString(16).padStart(6, "0")).join();
    const byCodePoint = (a, b) => (points(a) < points(b) ? -1 : 1);
    const sorted = (value) => value === null || typeof value !== "object" ? value
        : "{" + Object.keys(value).sort(/[\\ud800-\\udfff]/.test(Object.keys(value)) ? byCodePoint : undefined)
            .map((key) => JSON.stringify(key) + ":" + text(value[key])).join() + "}";
    const text = (value) => typeof value === "object" && value !== null ? sorted(value) : JSON.stringify(value);
    const first_from = performance.now();
    fold.seek(count);
    const first_ms = performance.now() - first_from;
    const found = {}, seeks = [], moved = [];
    const known = new Map();
    for (const sequence of sequences) {
        const from = performance.now();
        const changed = fold.seek(sequence);
        const shown = fold.areas(changed ?? fold.aboveUnits());
        seeks.push(performance.now() - from);
        moved.push(fold.moved);
        const areas = new Map();
        for (const { id } of registry.areas) {
            const { record, children, ...area } = fold.area(id);
            if (record.sequence !== sequence) throw new Error("another position");
            areas.set(id, text(area));
        }
        for (const each of shown) known.set(each.area, text(each));
        for (const [id, each] of known) if (areas.get(id) !== each) throw new Error(`${id} was not named as changed`);
        if (details) found[sequence] = Object.fromEntries(areas);
        else {
            const all = new TextEncoder().encode(registry.areas.map(({ id }) => areas.get(id)).join("\\n"));
            const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", all));
            found[sequence] = Array.from(digest, (each) => each.toString(16).padStart(2, "0")).join("");
        }
    }
    return { found, seeks, moved, broken, first_ms, chain_ms, added_ms };
}"""
"""Reads the record from a door and folds it; returns all areas at some positions, as one digest or in full."""


def shown_members(document: dict[str, Any]) -> dict[str, Any]:
    """Return what the pages show of an area in the past.

    What corrections look like is left out, because later publications may explain them; so are seats. The change since
    a previous election has a test of its own.
    """
    left_out = ("counted_at", "last_correction", "seats", "change")
    members = {name: value for name, value in document.items() if name not in left_out}
    if members.get("correction"):
        previous = {
            category: {"ballots": counts["ballots"]}
            for category, counts in members["correction"]["previous"].items()
        }
        members["correction"] |= {"previous": previous, "explained": None}
    return members


def all_areas(state: ElectionState) -> dict[str, str]:
    return {
        area.id: json.dumps(
            shown_members(json.loads(area_json(state, area.index))),
            sort_keys=True,
            ensure_ascii=False,
            separators=(",", ":"),
        )
        for area in state.registry.areas
    }


def expected(
    registry: Registry, night: Sequence[Publication], sequences: Iterable[int]
) -> dict[str, dict[str, str]]:
    """Return all areas at each sequence, as the gateway has them."""
    state, found = ElectionState(registry), dict[str, dict[str, str]]()
    for before, sequence in pairwise([0, *sorted(set(sequences))]):
        for publication in night[before:sequence]:
            state.apply(publication)
        found[str(sequence)] = all_areas(state)
    return found


async def fold(page: Page, path: str, night: Sequence[Publication], sequences: list[int], **more: Any) -> Any:
    return await page.evaluate(
        FOLD,
        {
            "election": path,
            "count": len(night),
            "sequences": sequences,
            "details": False,
            "options": {},
            **more,
        },
    )


async def compare(
    browser: Browser,
    document: dict[str, Any],
    night: list[Publication],
    sequences: list[int],
    **options: int,
) -> dict[str, Any]:
    """Fold a record in a browser, and compare all areas at these positions, visited in this order."""
    async with (
        served(FakeRecord(document, night, shown=len(night))) as door,
        visiting(browser) as visitor,
    ):
        page = await visitor.open(f"{door.origin}{BARE}")
        result: dict[str, Any] = await fold(page, door.path(""), night, sequences, options=options)
        order = [area["id"] for area in document["areas"]]
        for sequence, areas in expected(read_registry(document), night, sequences).items():
            digest = hashlib.sha256("\n".join(areas[each] for each in order).encode()).hexdigest()
            if digest != result["found"][sequence]:
                details = await fold(
                    page, door.path(""), night, [int(sequence)], details=True, options=options
                )
                found = details["found"][sequence]
                assert {each: found[each] for each in areas if found[each] != areas[each]} == {
                    each: areas[each] for each in areas if found[each] != areas[each]
                }
        assert result["broken"] is None
        return result


def sampled(rng: Random, length: int, number: int) -> list[int]:
    """Return positions in random order, with both ends and neighbours."""
    within = rng.sample(range(1, length), number)
    found = [0, length, within[0] + 1, *within, 1, length]
    rng.shuffle(found)
    return found


@needs_chromium
async def test_all_areas_are_exact_at_any_position_of_the_recorded_election(
    browser: Browser, recorded: Path
) -> None:
    """Statuses, corrections and all; each moment is near to a copy of a state."""
    data = DataSet.open(recorded)
    document = data.registry
    release = datetime(2025, 9, 8, 19, tzinfo=UTC)
    written = Record()
    for line in data.reports():
        written.write(line.report, max(line.counted_at, release))
    night = written.publications
    positions = sampled(Random(5), len(night), count(2, full=60))
    if EXTENT != "full":
        positions = [0, *positions[-2:], len(night)]
    result = await compare(browser, document, night, positions)
    note(
        "night",
        f"{len(night)} publications: read in {result['added_ms']:.0f} ms, of these {result['chain_ms']:.0f} ms for the"
        f" chain; first pass {result['first_ms']:.0f} ms; then at most {max(result['seeks']):.0f} ms to any moment",
    )
    assert max(result["moved"]) <= MOVED_MAX


@full_only
@needs_chromium
async def test_all_areas_are_exact_at_any_position_of_a_generated_election_with_corrections(
    browser: Browser,
) -> None:
    election = generate(seed=7, scale=0.02, errors=True)
    written = Record()
    for line in election.reports:
        written.write(line["report"], datetime.fromisoformat(line["report"]["counted_at"]))
    night = written.publications
    await compare(browser, election.registry, night, sampled(Random(6), len(night), count(20, full=100)))


def any_reports(rng: Random, number: int) -> list[dict[str, Any]]:
    """Return reports of every kind, also of what a later version may write: unknown names, members and statuses."""
    revisions = dict.fromkeys(BALLOTS, 0)
    found = []
    for _ in range(number):
        unit = rng.choice(list(BALLOTS))
        revisions[unit] += 1
        counts: dict[str, Any] = {}
        for category in rng.sample([*CATEGORIES, "by_drone"], rng.randint(0, 3)):
            parties = rng.sample([*BALLOTS[unit], "NEW"], rng.randint(0, len(BALLOTS[unit])))
            votes = {party: rng.choice((0, 1, rng.randrange(500), rng.randrange(2**28))) for party in parties}
            counts[category] = {
                "ballots": min(2**31 - 1, sum(votes.values()) + 1),
                "blank": 1,
                "rejected": rng.randrange(3),
                "votes": votes,
                **({"voters": rng.randrange(900)} if rng.random() < 0.5 else {}),
            }
        report = {
            "unit": unit,
            "revision": revisions[unit],
            "counted_at": "2025-09-08T22:36:55+02:00",
            "status": rng.choice((*STATUSES, "recounted")),
            "counts": counts,
        }
        if rng.random() < 0.5:
            report["reason"] = rng.choice((*REASONS, "audit"))
        if rng.random() < 0.2:
            report["source"] = {"of": "a later version"}
        found.append(report)
    return found


@needs_chromium
async def test_all_areas_are_exact_with_unknown_names_and_an_irregular_tree(browser: Browser) -> None:
    """Units at several depths, ballots of their own, optional counts, and content of a later version.

    Copies of states are few and become fewer, as in a long record.
    """
    written = Record()
    release = datetime(2025, 9, 8, 19, tzinfo=UTC)
    for number, report in enumerate(any_reports(Random(7), 150)):
        written.write(report, release + timedelta(seconds=max(0, number - 40), microseconds=number))
    positions = sampled(Random(8), 150, count(40, full=149))
    result = await compare(browser, DOCUMENT, written.publications, positions, interval=3, copies=4)
    assert max(result["moved"]) <= 3 * 2**4


@needs_chromium
async def test_a_record_that_does_not_fit_its_chain_is_noticed(browser: Browser) -> None:
    """A report that was changed, and one that was left out. Without HTTPS, browsers cannot check it, and say so."""
    written = Record()
    for report in any_reports(Random(9), 6):
        written.write(report)
    night = written.publications
    async with (
        served(FakeRecord(DOCUMENT, night, shown=len(night))) as door,
        visiting(browser) as visitor,
    ):
        page = await visitor.open(f"{door.origin}{BARE}")
        check = """async ([path, from, remove, replace]) => {
            const { brokenLink } = await import("/static/0/record_chain.js");
            let lines = (await (await fetch(path)).text()).split("\\n").filter(Boolean).slice(from);
            if (replace) lines[replace] = lines[replace].replace('"revision":', '"revision": ');
            lines = lines.filter((_, index) => index !== remove);
            return brokenLink("0".repeat(64), lines, lines.map((line) => JSON.parse(line)));
        }"""
        path = door.path("/publications")
        assert await page.evaluate(check, [path, 0, -1, 0]) is None
        assert await page.evaluate(check, [path, 0, -1, 3]) == 4
        assert await page.evaluate(check, [path, 0, 2, 0]) == 4
        assert await page.evaluate(check, [path, 1, -1, 0]) == 2
        await page.evaluate("Object.defineProperty(crypto, 'subtle', { value: undefined })")
        assert await page.evaluate(f"({check})({json.dumps([path, 0, -1, 0])}).then(String)") == "undefined"
