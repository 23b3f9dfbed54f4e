"""Opening and closing entries, origins, and the paths and bytes of tiles: one form each, and no other is read."""

from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.election.report import canonical
from gateway.transparency.entries import (
    ENTRY_MAX,
    Closing,
    MalformedEntry,
    Opening,
    Previous,
    parse_closing,
    parse_entry,
    parse_opening,
    registry_hash,
)
from gateway.transparency.merkle import SIZE_MAX
from gateway.transparency.origins import MalformedOrigin, Origin, origin, parse_origin
from gateway.transparency.tiles import (
    BUNDLE_MAX,
    FULL,
    MalformedTile,
    Tile,
    decode_bundle,
    encode_bundle,
    entries_path,
    parse_path,
    split_tile,
    tile_path,
)
from tests.counts import examples

OPENING = Opening(
    election="st-2025", opened_at="2025-09-08T16:00:00.000Z", registry=registry_hash(b"{}"), rehearsal=False
)
CLOSING = Closing(chain="ab" * 32, closed_at="2025-09-20T12:00:00.000Z", sequence=12_689)
AGAIN = msgspec.structs.replace(
    OPENING,
    history=2,
    previous=Previous(origin="results.example.no/live/st-2025", root="A" * 43 + "=", shared=5, size=9),
)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)


def test_the_opening_entry_is_the_json_of_the_contract() -> None:
    assert OPENING.encode() == (
        b'{"election":"st-2025","entry":"opening/1","history":1,"opened_at":"2025-09-08T16:00:00.000Z","previous":null,'
        b'"registry":"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","rehearsal":false}'
    )
    assert AGAIN.encode().count(b'"previous":{"origin":"results.example.no/live/st-2025","root":"AAAA') == 1
    assert CLOSING.encode() == (
        b'{"chain":"'
        + b"ab" * 32
        + b'","closed_at":"2025-09-20T12:00:00.000Z","entry":"closing/1","sequence":12689}'
    )


@settings(max_examples=examples(100), deadline=None)
@given(TEXTS, TEXTS, st.integers(0, SIZE_MAX))
def test_entries_are_canonical_as_reports_are(election: str, at: str, sequence: int) -> None:
    """Byte for byte, whatever the texts contain, and read as they were written."""
    for entry in (
        msgspec.structs.replace(OPENING, election=election, opened_at=at),
        msgspec.structs.replace(CLOSING, closed_at=at, sequence=sequence),
    ):
        assert entry.encode() == canonical(orjson.loads(entry.encode()))
        assert parse_entry(entry.encode()) == entry


def test_reports_are_neither() -> None:
    """A text in a report cannot imitate the mark of the other entries."""
    report = {"counts": {}, "unit": '","entry":"opening/1', "z": "entry"}
    for document in (report, {}, {"entry": 1}, {"a": 'entry":"'}):
        assert parse_entry(canonical(document)) is None


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"entry": "opening/2"}, "must be opening/1"),
        ({"entry": "report/1"}, "not an entry closing/1"),
        ({"entry": "closing/1"}, "not an entry closing/1"),
        ({"history": 0}, "previous history"),
        ({"history": 2}, "previous history"),
        ({"previous": {"origin": "a", "root": "b", "shared": 1, "size": 1}}, "previous history"),
        ({"previous": {"origin": "a"}}, "root"),
        ({"registry": "AB" * 32}, "SHA-256 in hex"),
        ({"registry": ""}, "SHA-256 in hex"),
        ({"rehearsal": None}, "rehearsal"),
        ({"more": 1}, "more"),
        ({"history": "1"}, "history"),
    ],
)
def test_other_openings_are_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(MalformedEntry, match=problem):
        parse_entry(canonical(orjson.loads(OPENING.encode()) | changes))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"\xff",
        OPENING.encode() + b"\n",
        OPENING.encode().replace(b":1,", b": 1,"),
        OPENING.encode().replace(b"st-2025", b"st\\u002d2025"),
        OPENING.encode().replace(b'"election"', b'"election":"a","election"'),
        b"[" * 60_000,
        OPENING.encode() + b" " * ENTRY_MAX,
    ],
)
def test_only_the_canonical_form_is_read(data: bytes) -> None:
    with pytest.raises(MalformedEntry):
        parse_opening(data)
    with pytest.raises(MalformedEntry):
        parse_closing(data)


@settings(max_examples=examples(100), deadline=None)
@given(
    st.from_regex(r"[a-z0-9.-]{1,20}(/[a-z0-9.-]{1,9}){0,2}", fullmatch=True).filter(
        lambda name: not {"live", "rehearsal", ".", ".."} & set(name.split("/"))
    ),
    st.booleans(),
    st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True)
    | st.sampled_from(["live", "rehearsal", "2", "12"]),
    st.integers(1, 999_999),
)
def test_origins_can_be_read_in_one_way_only(name: str, rehearsal: bool, election: str, history: int) -> None:
    """Whatever elections are called."""
    text = origin(name, rehearsal, election, history)
    assert parse_origin(text) == Origin(name, rehearsal, election, history)
    assert text == str(parse_origin(text))


def test_origins_are_those_of_the_contract() -> None:
    assert origin("results.example.no", False, "st-2025") == "results.example.no/live/st-2025"
    assert origin("results.example.no", True, "st-2025", 3) == "results.example.no/rehearsal/st-2025/3"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "live/st-2025",
        "/live/st-2025",
        "a//live/b",
        "a/live",
        "a/live/",
        "a/live/B",
        "a/live/b/",
        "a/live/b/1",
        "a/live/b/02",
        "a/live/b/x",
        "a/live/b/2/3",
        "a b/live/c",
        "a+b/live/c",
        "a\u00a0b/live/c",
        "a\n/live/c",
        "a/test/b",
        "../../b/live/c",
        "x" * 151 + "/live/b",
        "a/" * 100_000 + "live/b",
    ],
)
def test_other_origins_are_refused(text: str) -> None:
    with pytest.raises(MalformedOrigin):
        parse_origin(text)


@pytest.mark.parametrize(
    "name",
    ["", "/", "a/", ".", "../a", "a/..", "live", "a/rehearsal", "a b", "a+b", "a\0", "a\u202eb", "x" * 151],
)
def test_names_with_which_an_origin_cannot_begin_are_refused(name: str) -> None:
    with pytest.raises(MalformedOrigin):
        origin(name, False, "st-2025")


@pytest.mark.parametrize(
    ("election", "history"), [("ST", 1), ("", 1), ("a/b", 1), ("a", 0), ("a", -1), ("a", 10**6)]
)
def test_elections_and_histories_that_do_not_exist_have_no_origin(election: str, history: int) -> None:
    with pytest.raises(MalformedOrigin):
        origin("results.example.no", False, election, history)


@settings(max_examples=examples(100), deadline=None)
@given(st.none() | st.integers(0, 4), st.integers(0, 2**20), st.integers(1, FULL))
def test_every_tile_has_one_path(level: int | None, index: int, width: int) -> None:
    tile = Tile(level, index, width)
    assert parse_path(tile.path) == tile


def test_paths_are_those_of_the_specification() -> None:
    assert tile_path(0, 1_234_067) == "tile/0/x001/x234/067"
    assert tile_path(2, 0, 17) == "tile/2/000.p/17"
    assert entries_path(999) == "tile/entries/999"
    assert entries_path(1000, 1) == "tile/entries/x001/000.p/1"
    assert (Tile(0, 2, 5).start, Tile(0, 2, 5).end) == (512, 517)
    assert (Tile(1, 1, 2).start, Tile(1, 1, 2).end) == (65_536, 66_048)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile",
        "tile/0/0",
        "tile/0/0000",
        "tile/0/x000/000",
        "tile/0/001/000",
        "tile/0/x001/x000",
        "tile/00/000",
        "tile/-1/000",
        "tile/64/000",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/300",
        "tile/0/000.p/",
        "tile/0/000.p/1/",
        "tile/0/٠٠٠",
        "tile/0/000\n",
        "tile/Entries/000",
        "tile/8/000",
        "tile/0/" + "x001/" * 6 + "000",
        "tile/0/" + "x001/" * 50_000 + "000",
        "/tile/0/000",
    ],
)
def test_other_paths_are_refused(path: str) -> None:
    with pytest.raises(MalformedTile):
        parse_path(path)


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=20))
def test_a_bundle_is_read_as_it_was_written(entries: list[bytes]) -> None:
    data = encode_bundle(entries)
    assert decode_bundle(data, len(entries)) == entries
    for wrong in (data[:-1], data + b"\0", b""):
        with pytest.raises(MalformedTile):
            decode_bundle(wrong, len(entries))
    for width in (len(entries) - 1, len(entries) + 1):
        with pytest.raises(MalformedTile):
            decode_bundle(data, width)


def test_bundles_and_tiles_are_bounded() -> None:
    largest = [bytes(ENTRY_MAX)] * FULL
    assert len(encode_bundle(largest)) == BUNDLE_MAX
    assert decode_bundle(encode_bundle(largest), FULL) == largest
    with pytest.raises(ValueError, match="must not exceed 65535 bytes"):
        encode_bundle([bytes(ENTRY_MAX + 1)])
    with pytest.raises(ValueError, match="cannot have 257 entries"):
        encode_bundle([b""] * 257)
    assert split_tile(bytes(64), 2) == [bytes(32)] * 2
    for width in (1, 3):
        with pytest.raises(MalformedTile, match="must have"):
            split_tile(bytes(64), width)
