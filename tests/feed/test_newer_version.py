"""A feed of this version on the record of a newer one: real rows in Postgres, a real door, real readers."""

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from gateway.election.report import canonical, decode_stored, digest_of
from gateway.election.validation import ValidReport
from gateway.feed import stream
from gateway.journal.administration import administration
from gateway.journal.connection import open_pool
from gateway.journal.connection_pool import Pool
from gateway.journal.postgres import PostgresJournal
from gateway.journal.record import PublicRecord
from gateway.rehearsal.generator import GeneratedElection
from tests.conftest import Database
from tests.feed.served import served
from tests.journal.makers import append, sequences
from tests.web.doors import COUNTRY, EVERYTHING, FOREIGN_UNIT, UNIT, a_registry, a_report, ask, streaming

OTHERS = ("0604-0002", "0604-0003")


@pytest.fixture(autouse=True, params=[stream.APPLY_SLICE, 3], ids=["one by one", "many at once"])
def _slice(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two heads there may be few publications or many."""
    monkeypatch.setattr(stream, "APPLY_SLICE", request.param)


class ElectionRecord(PublicRecord):
    """The public record in Postgres, and its election."""

    def __init__(self, pool: Pool, election: str) -> None:
        super().__init__(pool)
        self.id = election


class Night:
    """An election in Postgres, to which a newer version of the gateway writes."""

    def __init__(self, record: ElectionRecord, journal: PostgresJournal, key: int, version: int) -> None:
        self.record = record
        self.id = record.id
        self.reports: list[dict[str, Any]] = []
        """All that were written, in order."""
        self._journal = journal
        self._election = key, version

    async def write(self, *reports: dict[str, Any]) -> None:
        """Append reports unchanged, as accepted by a newer version."""
        bodies = [canonical(report) for report in reports]
        valid = [ValidReport(decode_stored(body), body, digest_of(body)) for body in bodies]
        appended = await append(self._journal, *self._election, *valid)
        assert None not in sequences(appended)
        self.reports += reports


@pytest.fixture
async def night(database: Database, small: GeneratedElection) -> AsyncIterator[Night]:
    async with administration(database.url, "test") as acts:
        election = await acts.load_election(a_registry(small))
    async with open_pool(database.url) as pool, open_pool(database.feed_url, feed=True) as feed_pool:
        journal = PostgresJournal(pool)
        row = await journal.election(election)
        yield Night(ElectionRecord(feed_pool, election), journal, row.key, row.version)


def newer(unit: str, revision: int, votes: int) -> dict[str, Any]:
    """A report with a member, a member of counts, a status, a category and a party that this version lacks."""
    report = a_report(unit, revision, votes, status="audited", source={"system": "x"})
    counts = report["counts"]["election_day"]
    counts["spoilt"] = 3
    counts["votes"]["NEW"] = 5
    counts["ballots"] += 5
    report["counts"]["postal"] = {"ballots": 4, "blank": 0, "rejected": 0, "votes": {"FL": 4}}
    return report


def figures(area: dict[str, Any]) -> tuple[int, int, list[str]]:
    counts = area["counts"]
    return counts["election_day"]["ballots"], counts["election_day"]["votes"]["FL"], list(counts)


async def test_a_feed_shows_the_known_content_of_reports_of_a_newer_version(night: Night) -> None:
    """From its start, live and after a decrease: sums of known content are exact, and the record is unchanged."""
    units = (UNIT, *OTHERS)
    await night.write(*(newer(unit, revision, 10) for revision in (1, 2) for unit in units))
    await night.write(a_report(OTHERS[0], 3, 10))
    async with aiohttp.ClientSession() as http, served(night.record) as door:  # type: ignore[arg-type]
        async with streaming(http, door.url(), levels=EVERYTHING) as reader:
            await reader.block()
            assert figures(reader.copy[UNIT]) == (16, 10, ["election_day"])
            assert reader.copy[UNIT]["status"] == "unstated"
            assert figures(reader.copy[COUNTRY]) == (16 + 11 + 16, 30, ["election_day"])
            assert reader.copy[COUNTRY]["units"]["by_status"] == {
                "no_report": reader.copy[COUNTRY]["units"]["total"] - 3, "preliminary": 1, "unstated": 2,
            }  # fmt: skip
            assert reader.copy[COUNTRY]["corrections"] == 1, (
                "a party left the report of one unit with its ballots"
            )

            await night.write(newer(UNIT, 3, 8) | {"reason": "audit"})
            door.hub.wake()
            await reader.block()
            assert figures(reader.copy[UNIT]) == (14, 8, ["election_day"])
            assert reader.copy[UNIT]["correction"]["reason"] == "other"
            assert figures(reader.copy[COUNTRY]) == (14 + 11 + 16, 28, ["election_day"])

            await night.write(*(a_report(unit, 9, 20) for unit in units), a_report(FOREIGN_UNIT, 9, 20))
            door.hub.wake()
            await reader.block()
            assert figures(reader.copy[COUNTRY]) == (84, 80, ["election_day"])
            assert reader.copy[COUNTRY]["units"]["by_status"]["preliminary"] == 4
        await assert_passed_on(http, door.url, night)
        door.hub.refresh_gauges()
        labels = {"election": night.id}
        assert door.metrics.registry.get_sample_value("valgnatt_record_unknown_names", labels) == 6


async def assert_passed_on(http: aiohttp.ClientSession, url: Any, night: Night) -> None:
    """The record has the bytes of the reports with their digests; areas are available in every format."""
    answer = await ask(http, "GET", url("/publications?limit=1000"))
    lines = [json.loads(line) for line in answer.body.splitlines()]
    assert [line["report"] for line in lines] == night.reports
    for line, raw, report in zip(lines, answer.body.splitlines(), night.reports, strict=True):
        assert b'"report":' + canonical(report) + b"}" in raw
        assert line["digest"] == digest_of(canonical(report)).hex()
    for path in (f"/areas/{UNIT}", f"/areas/{COUNTRY}?format=csv", "/transfers"):
        assert (await ask(http, "GET", url(path))).status == 200


async def test_unknown_content_is_logged_once(night: Night, capfd: pytest.CaptureFixture[str]) -> None:
    """One line names the content that is new to this process; it is not repeated."""
    await night.write(newer(UNIT, 1, 10))
    async with served(night.record) as door:  # type: ignore[arg-type]
        for revision in (2, 3):
            await night.write(newer(UNIT, revision, 10))
            door.hub.wake()
            assert await door.feed.wait_reached(revision, 20)
        await night.write(a_report(UNIT, 4) | {"status": "recounted"})
        door.hub.wake()
        assert await door.feed.wait_reached(4, 20)
        assert door.feed._reported_unknown == door.feed.state.layout.unknown
    logged = "".join(capfd.readouterr())
    assert logged.count("content that this version does not know") == 2
    assert logged.count("status audited") == logged.count("status recounted") == 1
