"""Data sets: written and read back unchanged, with clear errors for broken ones."""

import gzip
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from gateway.rehearsal.dataset import DataSet, DataSetError, write, write_document

RECORDED = Path(__file__).parents[2] / ".." / "shared" / "elections" / "no-storting-2025"

REGISTRY = {
    "format": "election-registry/1",
    "election": {"id": "test", "name": "Prøve"},
    "areas": [
        {"id": "x", "parent": None},
        {"id": "01", "parent": "x"},
        {"id": "0101", "parent": "01"},
        {"id": "0101-0001", "parent": "0101"},
    ],
    "parties": [{"code": "RØST", "name": "Røst for Alle"}],
}


def a_line(revision: int = 1, counted_at: object = "2024-09-09T22:36:55+02:00") -> dict[str, object]:
    report = {
        "unit": "0101-0001",
        "revision": revision,
        "counted_at": counted_at,
        "status": "final",
        "counts": {},
    }
    return {"municipality": "0101", "report": report}


def a_total(area: str, *, final: bool) -> dict[str, object]:
    return {"area": area, "final": final, "counts": {}}


REPORTS = [a_line(1), a_line(2), a_line(3)]
OFFICIAL = [a_total("0101", final=False), a_total("0101", final=True), a_total("x", final=True)]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A small data set, whole and right."""
    write(tmp_path / "set", REGISTRY, REPORTS, OFFICIAL)
    return tmp_path / "set"


def replace_stream(directory: Path, name: str, content: bytes) -> None:
    """Put an unpacked stream in the place of the packed one."""
    (directory / f"{name}.gz").unlink()
    (directory / name).write_bytes(content)


def test_a_data_set_may_have_a_previous_election(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one file, of limited size, with a line for each area."""
    assert DataSet.open(directory).previous() is None
    path = directory / "previous.json"
    document = {"format": "valgnatt-previous/1", "areas": {"0101": {"votes": {"A": 1}}, "01": {"votes": {}}}}
    write_document(path, document)
    assert DataSet.open(directory).previous() == document
    assert path.read_text().count("\n") == 7
    assert [each.name for each in directory.iterdir() if each.name.startswith(".")] == []
    monkeypatch.setattr("gateway.rehearsal.dataset.PREVIOUS_BYTES_MAX", 10)
    with pytest.raises(DataSetError, match=r"previous\.json: more than"):
        DataSet.open(directory).previous()
    monkeypatch.undo()
    path.write_text("[]")
    with pytest.raises(DataSetError, match=r"previous\.json: not a JSON object"):
        DataSet.open(directory).previous()


def test_a_written_data_set_can_be_read_back(directory):
    """Registry, reports and official totals come back in the order they were given."""
    opened = DataSet.open(directory)
    assert opened.registry == REGISTRY
    assert [recorded.report for recorded in opened.reports()] == [line["report"] for line in REPORTS]
    assert list(opened.official()) == OFFICIAL


def test_a_report_has_its_municipality_and_time(directory):
    """The moment is the report's `counted_at`, offset and all."""
    recorded = next(DataSet.open(str(directory)).reports())
    assert recorded.municipality == "0101"
    assert recorded.counted_at == datetime(2024, 9, 9, 20, 36, 55, tzinfo=UTC)
    assert recorded.counted_at.isoformat() == "2024-09-09T22:36:55+02:00"


def test_reading_again_starts_again(directory):
    """Each iteration is its own: an opened data set holds no place in its files."""
    opened = DataSet.open(directory)
    assert next(opened.reports()).report["revision"] == 1
    assert next(opened.reports()).report["revision"] == 1
    assert len(list(opened.reports())) == 3


def test_finals_are_the_final_lines_by_area(directory):
    """Totals during the count are not among them."""
    assert DataSet.open(directory).official_finals() == {"0101": OFFICIAL[1], "x": OFFICIAL[2]}


def test_written_bytes_depend_on_the_content_alone(tmp_path, directory):
    """No time, name or place of the writing is in the files."""
    write(str(tmp_path / "elsewhere" / "later"), REGISTRY, iter(REPORTS), iter(OFFICIAL))
    for path in directory.iterdir():
        assert path.read_bytes() == (tmp_path / "elsewhere" / "later" / path.name).read_bytes()
    flags, mtime = (directory / "reports.ndjson.gz").read_bytes()[3:4], slice(4, 8)
    assert flags == b"\0"
    assert (directory / "reports.ndjson.gz").read_bytes()[mtime] == b"\0\0\0\0"


def test_registry_has_a_line_for_each_area(directory):
    """People read it, and compare two with the tools they have."""
    lines = (directory / "registry.json").read_text(encoding="utf-8").splitlines()
    assert '{"id":"0101-0001","parent":"0101"}' in lines
    assert orjson.loads((directory / "registry.json").read_bytes()) == REGISTRY


def test_unpacked_streams_are_read_too(directory):
    """A stream may lie there as plain text, with empty lines and without a last line feed."""
    unpacked = gzip.decompress((directory / "reports.ndjson.gz").read_bytes())
    replace_stream(directory, "reports.ndjson", unpacked.replace(b"\n", b"\n\n").rstrip())
    assert [recorded.report["revision"] for recorded in DataSet.open(directory).reports()] == [1, 2, 3]


def test_writing_leaves_no_older_stream_behind(directory):
    """An uncompressed stream of an earlier election would otherwise be read."""
    replace_stream(directory, "official.ndjson", b"{}")
    write(directory, REGISTRY, REPORTS, OFFICIAL)
    assert sorted(path.name for path in directory.iterdir()) == [
        "official.ndjson.gz", "registry.json", "reports.ndjson.gz"
    ]  # fmt: skip


def failing(*lines):
    """Yield lines, then fail as a full disk or an interrupt would."""
    yield from lines
    raise KeyboardInterrupt


def test_a_failure_leaves_no_part_of_a_data_set(tmp_path, directory):
    """What was there before is there still, and a directory that did not exist does not exist."""
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    with pytest.raises(KeyboardInterrupt):
        write(directory, {**REGISTRY, "areas": []}, REPORTS[:1], failing(*OFFICIAL))
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "new", REGISTRY, failing(*REPORTS), OFFICIAL)
    assert not (tmp_path / "new").exists()


def test_no_directory_is_named(tmp_path):
    """The message names the missing directory."""
    with pytest.raises(DataSetError, match="nowhere: no such directory"):
        DataSet.open(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["registry.json", "reports.ndjson.gz", "official.ndjson.gz"])
def test_a_missing_file_is_named_on_opening(directory, name):
    """A data set is whole, or it is not opened."""
    (directory / name).unlink()
    with pytest.raises(DataSetError, match=name):
        DataSet.open(directory)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "registry.json: not JSON"),
        (b"[]", "registry.json: not a JSON object"),
        (b'{"format": "election-registry/2"}', "registry.json: format is 'election-registry/2'"),
    ],
)
def test_an_invalid_registry_is_refused(directory, content, message):
    """The message contains what was found instead."""
    (directory / "registry.json").write_bytes(content)
    with pytest.raises(DataSetError, match=message):
        DataSet.open(directory)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"municipality": "0101"', "not JSON"),
        (b"3", "not a JSON object"),
        (b"{}", "not a line with a `municipality` and a `report`"),
        (b'{"municipality": 101, "report": {}}', "not a line with a `municipality` and a `report`"),
        (orjson.dumps(a_line(counted_at=None)), "not a time with an offset: None"),
        (orjson.dumps(a_line(counted_at="yesterday")), "not a time with an offset: 'yesterday'"),
        (orjson.dumps(a_line(counted_at="2024-09-09T22:36:55")), "not a time with an offset: '2024-"),
    ],
)
def test_a_bad_report_is_named_by_file_and_line(directory, line, message):
    """Lines before it are read; the message gives the place and the reason."""
    replace_stream(directory, "reports.ndjson", orjson.dumps(a_line()) + b"\n" + line + b"\n")
    reports = DataSet.open(directory).reports()
    assert next(reports).report["revision"] == 1
    with pytest.raises(DataSetError, match=rf"reports\.ndjson:2: .*{message}"):
        next(reports)


def test_a_bad_official_total_is_named_by_file_and_line(directory):
    """A total without an area is an error."""
    replace_stream(directory, "official.ndjson", b'{"area": "x"}\n{"final": true}\n')
    with pytest.raises(DataSetError, match=r"official\.ndjson:2: not a line with an `area`"):
        list(DataSet.open(directory).official())


def test_two_final_totals_of_an_area_are_refused(directory):
    """An oracle with two answers is none."""
    write(directory, REGISTRY, REPORTS, [*OFFICIAL, a_total("x", final=True)])
    with pytest.raises(DataSetError, match=r"official\.ndjson\.gz:4: area x already has a final line"):
        DataSet.open(directory).official_finals()


@pytest.mark.parametrize("damage", [lambda packed: packed[:-12], lambda packed: b"plain" + packed])
def test_a_damaged_file_is_named(directory, damage):
    """A truncated or invalid compressed stream is an error and not the end of the stream."""
    path = directory / "reports.ndjson.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataSetError, match=r"reports\.ndjson\.gz:\d+: cannot be read"):
        list(DataSet.open(directory).reports())


def test_the_recorded_election_is_read_whole():
    """The real night: every report in the order of its clock, every total, one final for each area."""
    if not RECORDED.is_dir():
        pytest.skip("the recorded election is not available (../shared/elections)")
    recorded = DataSet.open(RECORDED)
    times = [report.counted_at for report in recorded.reports()]
    assert len(times) == 12_689
    assert times == sorted(times)
    assert sum(1 for _ in recorded.official()) == 14_416
    above_units = {area["id"] for area in recorded.registry["areas"] if area["level"] != "precinct"}
    assert set(recorded.official_finals()) == above_units
