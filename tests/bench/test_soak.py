"""The soak: its series and verdicts, its reports, and a short one against a real gateway."""

import itertools
import re
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from bench.soak.messages import ReadersOrder
from bench.soak.readers import Reader, Readers
from bench.soak.report import Soak, page_of, summary, table, write
from bench.soak.samples import Notes, Sample, SampleFile
from bench.soak.series import KINDS, Trend, trends
from bench.soak.supply import CORRECTION_EVERY, HELD_BALLOTS, NightSupply
from gateway.feed.compression import GZIP_START, deflate
from gateway.rehearsal.dataset import DataSet
from tests.bench.commands import bench
from tests.counts import full_only

CYCLE_S, CYCLES = 240.0, 15
NOTES = Notes([place * CYCLE_S for place in range(CYCLES + 1)])


def samples(**values: float) -> list[Sample]:
    """Samples of an hour; `feed-0` starts anew in each cycle, and grows by 60 MB per hour as everything does."""
    found = []
    for place in range(int(CYCLES * CYCLE_S / 10)):
        at = 10.0 * place
        cycle = at // CYCLE_S
        begins = cycle * CYCLE_S
        grown = {
            "rss/feed-0": 100e6 + 10e6 * cycle + 60e6 / 3600 * (at - begins),
            "private/feed-0": 80e6 + 10e6 * cycle,
            "private/feed-1": 80e6 + 10e6 * cycle + values.get("leak", 0.0) * at / 3600,
            "rss/supervisor": 65e6 + values.get("supervisor", 0.0) * at / 3600,
            "descriptors/feed-1": 100.0 + place % 7,
            "table/report": 700.0 * 30 * at,
            "latency/time to receipt, p50": 0.01 + 0.001 * (place % 3),
        }
        started = {"feed-0": begins, "feed-1": 0.0, "supervisor": -1.0}
        found.append(
            Sample(at, grown, started, {"reports": 30 * at, "elections": cycle + 1, "hours": at / 3600})
        )
    return found


def by_name(found: list[Trend]) -> dict[str, Trend]:
    return {f"{each.kind}/{each.name}": each for each in found}


def test_what_the_load_adds_explains_growth_and_nothing_else_does() -> None:
    found = by_name(trends(samples(supervisor=20e6), NOTES))
    words = {name: each.verdict.word for name, each in found.items()}
    assert words == {
        "rss/feed-0": "explained",
        "rss/supervisor": "NOT flat",
        "private/feed-0": "explained",
        "private/feed-1": "explained",
        "excess/feed-1, of feed-0": "flat",
        "descriptors/feed-1": "flat",
        "latency/time to receipt, p50": "flat",
        "table/report": "explained",
    }
    report = found["table/report"].verdict
    assert (report.driver, report.each) == ("reports", pytest.approx(700))


def test_a_process_that_is_restarted_is_compared_at_equal_age() -> None:
    """So what it grows by within its life is no slope; only what each life begins with is."""
    grown = by_name(trends(samples(), NOTES))["rss/feed-0"]
    assert grown.by_age
    assert grown.slope is not None
    assert grown.slope.value == pytest.approx(10e6 * 15, rel=0.01)


def test_a_process_that_runs_throughout_must_not_exceed_one_that_is_started_anew() -> None:
    """A leak that would pass as the growth by elections is found by this comparison."""
    found = by_name(trends(samples(leak=200e6), NOTES))
    assert found["private/feed-1"].verdict.word == "explained"
    excess = found["excess/feed-1, of feed-0"]
    assert excess.verdict.word == "NOT flat"
    assert excess.slope is not None
    assert excess.slope.value == pytest.approx(200e6, rel=0.05)


def test_a_report_names_what_is_not_flat_and_can_be_read_again(tmp_path: Path) -> None:
    file = SampleFile(tmp_path / "samples")
    for sample in samples(supervisor=20e6):
        file.append(sample)
    soak = Soak("2025-09-08T21:00:00+00:00", {"machine": "<m>"}, {"hours": 1}, 3600.0, notes=NOTES)
    soak.notes.marks.append((5.0, "<kill>"))
    write(soak, file, tmp_path)
    assert soak.verdict == "NO GO"
    assert any(
        re.search(r"NOT flat +Resident memory, supervisor: \+20\.0 \(.*\) MB per hour", line)
        for line in summary(soak)
    )
    assert "explained: 700 bytes per report" in table(soak)
    page = (tmp_path / "soak.html").read_text()
    assert page == page_of(soak, list(file))
    assert "<svg" in page
    assert "<kill>" not in page
    assert 'src="http' not in page
    again = msgspec.json.decode((tmp_path / "soak.json").read_bytes(), type=Soak)
    assert table(again) == table(soak)


def test_a_fault_is_no_go_and_a_run_that_was_cut_off_is_invalid() -> None:
    soak = Soak("", {}, {})
    assert soak.verdict == "GO"
    soak.notes = Notes(faults=["lost: x"])
    assert soak.verdict == "NO GO"
    soak.notes.invalid.append("cut off")
    assert soak.verdict == "INVALID"


def test_the_limits_of_every_kind_name_what_the_load_counts() -> None:
    counted = {"reports", "elections", "restarts", "hours"}
    for kind in KINDS.values():
        for limit in (kind.limit, *kind.special.values()):
            assert set(limit.drivers) <= counted


def test_the_supply_repeats_the_night_with_higher_revisions_and_corrections(data: Path) -> None:
    """Each revision of a unit is one higher; bursts are due at once; falls are small."""
    dataset = DataSet.open(data)
    recorded = sum(1 for _ in dataset.reports())
    supply = NightSupply(dataset.reports())
    plan = list(itertools.islice(supply.plan(10.0, recorded / 5, [5.0], 40), 2 * recorded))
    assert Counter(each.due_s for each in plan)[5.0] == 41
    assert [each.due_s for each in plan] == sorted(each.due_s for each in plan)
    last: dict[str, int] = {}
    ballots: dict[str, int] = {}
    falls = Counter[int]()
    for each in plan:
        report = msgspec.json.decode(each.body)
        assert each.revision == report["revision"] == last.get(each.unit, 0) + 1
        last[each.unit] = each.revision
        total = sum(counts["ballots"] for counts in report["counts"].values())
        falls[ballots.get(each.unit, 0) - total] += 1
        ballots[each.unit] = total
    corrected = sum(falls[fall] for fall in range(1, HELD_BALLOTS + 1))
    assert corrected >= 0.5 * len(plan) / (CORRECTION_EVERY + 1)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"


def block(sequence: int) -> bytes:
    return b"event: block\nid: %d-0a1b2c3d\ndata: {}\n\n" % sequence


@pytest.mark.parametrize("gzip", [False, True])
@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_a_reader_notes_the_newest_block_however_its_bytes_are_divided(gzip: bool, piece: int) -> None:
    """It keeps the cursor, with which it may come back, and counts blocks that go back."""
    readers = Readers(ReadersOrder("127.0.0.1", 1, "e", 1, 60.0))
    reader = Reader(readers, "/", gzip=gzip, slow=False, cursor=b"")
    text = block(3) + b": a comment\n\n" + block(4) + b"data: " + 300 * b"id: 9" + b"\n\n" + block(5)
    body = b"Content-Encoding: gzip\r\n\r\n" + GZIP_START + deflate(text) if gzip else b"\r\n" + text
    sent = HEAD + body
    for start in range(0, len(sent), piece):
        reader.data_received(sent[start : start + piece])
    assert (reader.sequence, reader.cursor) == (5, b"5-0a1b2c3d")
    assert (readers.seen.blocks, readers.seen.went_back, readers.first.total()) == (3, 0, 1)
    reader.data_received(deflate(block(4)) if gzip else block(4))
    assert readers.seen.went_back == 1


def test_a_reader_that_is_told_when_to_come_back_or_refused_is_no_fault() -> None:
    """A short stream without compression says when; any other answer is counted."""
    readers = Readers(ReadersOrder("127.0.0.1", 1, "e", 1, 60.0))
    Reader(readers, "/", gzip=True, slow=False, cursor=b"").data_received(HEAD + b"\r\nretry: 500\n\n")
    assert (readers.seen.blocks, readers.seen.refused) == (0, 0)
    refused = Reader(readers, "/", gzip=True, slow=False, cursor=b"")
    refused.data_received(b"HTTP/1.1 404 Not Found\r\n\r\n{}")
    assert (readers.seen.refused, refused.leaving) == (1, True)


@pytest.mark.parametrize("hours", ["", "0", "-1", "1001"])
def test_a_soak_needs_its_duration(hours: str) -> None:
    result = bench("run", "soak", *(("--hours", hours) if hours else ()))
    assert result.returncode == 2
    assert "--hours" in result.stderr
    assert "Traceback" not in result.stderr


@full_only
@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_short_soak_breaks_no_guarantee(data: Path, tmp_path: Path) -> None:
    """Elections, restarts and readers; they are too few for slopes."""
    played = bench(
        "run", "soak", "--hours", 40 / 3600, "--data", data, "--out", tmp_path, "--readers", 40, "--rate", 20
    )  # fmt: skip
    assert played.returncode == 0, played.stdout + played.stderr
    soak = msgspec.json.decode((tmp_path / "soak.json").read_bytes(), type=Soak)
    assert not soak.notes.faults
    assert soak.figures["elections judged"] >= 1
    assert soak.figures["processes restarted by the supervisor"] >= 2
    assert soak.figures["blocks received"] > 100
    assert {each.kind for each in soak.trends} >= {"rss", "descriptors", "table", "log", "latency", "cpu"}
    assert {each.verdict.word for each in soak.trends} == {"too short"}
    assert (tmp_path / "soak.html").stat().st_size > 10_000
