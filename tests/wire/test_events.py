"""Areas, blocks, publications and cursors as bytes, read back by readers written from the standards alone."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.election.registry import Registry
from gateway.election.registry_reading import read_registry
from gateway.election.state import Cursor, ElectionState
from gateway.errors import MalformedCursor
from gateway.wire.areas import area_document
from gateway.wire.cursors import format_cursor, parse_cursor
from gateway.wire.events import (
    area_event,
    block_event,
    hold_line,
    publication_event,
    publication_line,
    retry_event,
)
from gateway.wire.json import to_json
from tests.counts import examples
from tests.election.makers import (
    BEYOND_BMP,
    DOCUMENT,
    REGISTRY,
    Record,
    a_report,
    chained,
    digest,
    reports,
    some_counts,
)
from tests.wire.sse import events_of

AT = datetime(2025, 9, 8, 20, 36, 55, 250_000, tzinfo=UTC)


def read_back(state: ElectionState, index: int) -> Any:
    """Parse the event of an area."""
    (event,), retries, rest = events_of(area_event(state, index))
    assert (event.type, event.id, retries, rest) == ("area", "", [], b"")
    return event.document


def a_state(*history: dict[str, Any], registry: Registry = REGISTRY) -> ElectionState:
    record, state = Record(), ElectionState(registry)
    for report in history:
        state.apply(record.write(report))
    return state


# Area events ---------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=examples(60))
@given(st.lists(reports(), max_size=6))
def test_an_area_event_reads_back_as_the_area(history: list[dict[str, Any]]) -> None:
    """For any state, the event of an area is one event of one line with the members of its document."""
    state = a_state(*history)
    for index in range(len(REGISTRY.areas)):
        document = area_document(state, index)
        expected = json.dumps(document, default=lambda time: time.isoformat().replace("+00:00", "Z"))
        assert read_back(state, index) == json.loads(expected)
        assert area_event(state, index).count(b"\n") == 3


def test_an_area_has_the_members_of_the_contract_in_their_order() -> None:
    """Identity and time first, then figures."""
    state = a_state(a_report("a-2", counts={"advance": {**some_counts(P=3), "voters": 4}}))
    common = ["area", "parent", "level", "name", "sequence", "published_at", "eligible", "units", "counts"]
    unit = read_back(state, REGISTRY.by_id["a-2"].index)
    assert list(unit) == [*common, "revision", "counted_at", "status", "correction"]
    assert list(read_back(state, 0)) == [*common, "corrections", "last_correction"]
    assert list(unit["counts"]["advance"]) == ["ballots", "blank", "rejected", "voters", "votes"]
    assert unit["counts"] == {
        "advance": {
            "ballots": 4,
            "blank": 1,
            "rejected": 2,
            "voters": 4,
            "votes": {"P": 3, "Q": 0, "RØDT": 0},
        }
    }


def test_no_name_breaks_the_event_stream() -> None:
    """Line ends, field names and control characters in a name stay within the event's one line of data."""
    name = 'x\n\nevent: block\r\ndata: {}\r\r\u2028\u2029\x85\x00"\\ ' + BEYOND_BMP
    areas = [{**area, "name": name} for area in DOCUMENT["areas"]]
    state = a_state(registry=read_registry({**DOCUMENT, "areas": areas}, stored=True))
    assert read_back(state, 0)["name"] == name


# Blocks, cursors -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("published_at", [None, AT])
@pytest.mark.parametrize(
    ("snapshot", "rehearsal", "shown"),
    [
        (True, False, {}),
        (True, True, {"rehearsal": True}),
        (False, False, {}),
        (False, True, {}),
    ],
)
def test_a_block_event_has_the_cursor_as_its_id(
    published_at: datetime | None, snapshot: bool, rehearsal: bool, shown: dict[str, Any]
) -> None:
    """Its data are the moment of the record; a snapshot of a rehearsal says so."""
    chain = bytes.fromhex("5f3a9c21" + "00" * 28)
    block = block_event(
        Cursor(1907, 0x5F3A9C21),
        chain,
        published_at,
        snapshot=snapshot,
        rehearsal=rehearsal,
        holds=0,
        areas=377,
        server_time=AT,
    )
    (event,), _, _ = events_of(block)
    assert (event.type, event.id) == ("block", "1907-5f3a9c21")
    assert event.document == {
        "sequence": 1907,
        "published_at": published_at and "2025-09-08T20:36:55.250000Z",
        "chain": chain.hex(),
        "snapshot": snapshot,
        "areas": 377,
        "server_time": "2025-09-08T20:36:55.250000Z",
        **shown,
    }


def test_a_retry_field_is_not_an_event() -> None:
    """It does not begin one either."""
    assert events_of(retry_event(2412)) == ([], [2412], b"")


@settings(deadline=None, max_examples=examples(200))
@given(st.integers(0, 10**18 - 1), st.integers(0, 2**32 - 1))
def test_a_cursor_survives_a_round_trip(sequence: int, prefix: int) -> None:
    """The `id` of an event comes back as `Last-Event-ID`, and is read as the same position."""
    cursor = Cursor(sequence, prefix)
    assert parse_cursor(format_cursor(cursor)) == cursor


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "0",
        "1907",
        "1907-",
        "-5f3a9c21",
        "1907-5f3a9c2",
        "1907-5f3a9c211",
        "1907-5F3A9C21",
        "1907_5f3a9c21",
        "01907-5f3a9c21",
        "00-00000000",
        "-1-5f3a9c21",
        "+1-5f3a9c21",
        "1.0-5f3a9c21",
        "1_0-5f3a9c21",
        " 1907-5f3a9c21",
        "1907-5f3a9c21\n",
        "1907-5f3a9c21 ",
        "1907-0x3a9c21",
        "١-5f3a9c21",
        "1000000000000000000-5f3a9c21",
        "1" * 5000 + "-5f3a9c21",
    ],
)
def test_malformed_cursors_are_refused(text: str) -> None:
    """There is one way to write a cursor."""
    with pytest.raises(MalformedCursor) as caught:
        parse_cursor(text)
    assert len(str(caught.value)) < 120


@settings(deadline=None, max_examples=examples(300))
@given(st.text(max_size=30) | st.from_regex(r"\A[0-9+_ ]{0,5}-?[0-9a-fA-F]{7,9}\n?\Z"))
@example("0-00000000")
def test_any_text_is_malformed_or_a_canonical_cursor(text: str) -> None:
    """A header may contain anything; an accepted cursor is formatted exactly as it was."""
    try:
        cursor = parse_cursor(text)
    except MalformedCursor:
        return
    assert format_cursor(cursor) == text


# Publications --------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=examples(100))
@given(st.lists(reports(), min_size=1, max_size=4))
def test_a_publication_embeds_the_stored_bytes(history: list[dict[str, Any]]) -> None:
    """Readers can compute each digest and the chain from the publications."""
    record, chain = Record(), bytes(32)
    for number, report in enumerate(history, 1):
        publication = record.write(report)
        line = publication_line(publication)
        assert line.endswith(b',"report":' + publication.body + b"}\n")
        assert line.count(b"\n") == 1
        document = json.loads(line)
        assert list(document) == ["sequence", "published_at", "digest", "chain", "report"]
        chain = chained(chain, digest(document["report"]))
        assert (document["sequence"], document["report"]) == (number, report)
        assert (document["digest"], document["chain"]) == (digest(report).hex(), chain.hex())

        cursor = Cursor(number, int.from_bytes(chain[:4]))
        (event,), _, rest = events_of(publication_event(line, cursor))
        assert (event.type, event.id, rest) == ("publication", f"{number}-{chain.hex()[:8]}", b"")
        assert event.data.encode() + b"\n" == line


def test_stored_bytes_are_not_encoded_again() -> None:
    """Even if the gateway would encode them differently."""
    publication = Record().write(a_report())
    odd = type(publication)(
        **{name: getattr(publication, name) for name in publication.__struct_fields__}
        | {"body": b'{"z": 1.0, "a" :"\\u0041"}'}
    )
    assert publication_line(odd).endswith(b'"report":{"z": 1.0, "a" :"\\u0041"}}\n')


def test_only_the_publication_of_a_report_that_was_held_says_so() -> None:
    """Since when, and the codes of the rules, before the report."""
    publication = Record().write(a_report())
    held = msgspec.structs.replace(publication, held_since=AT, held_rules=["fell", "odd_time"])
    document = json.loads(publication_line(held))
    assert list(document) == ["sequence", "published_at", "digest", "chain", "held", "report"]
    assert document.pop("held") == {"since": "2025-09-08T20:36:55.250000Z", "rules": ["fell", "odd_time"]}
    assert document == json.loads(publication_line(publication))


def test_a_line_of_the_list_of_holds_is_its_bytes_with_the_chain_before_them() -> None:
    """So a reader removes `chain` and has what the chain was computed from."""
    line = hold_line(b'{"at":"2025-09-08T20:36:55Z","number":1}', bytes(32))
    assert line == b'{"chain":"' + b"0" * 64 + b'","at":"2025-09-08T20:36:55Z","number":1}\n'


def test_a_block_counts_the_lines_of_the_list_of_holds_if_there_are_any() -> None:
    """As the last of its figures; without lines, blocks are as they were before there was the list."""
    members: dict[str, Any] = {"snapshot": False, "rehearsal": False, "areas": 0, "server_time": AT}
    blocks = [block_event(Cursor(0, 0), bytes(32), None, holds=holds, **members) for holds in (0, 17)]
    assert b"holds" not in blocks[0]
    assert blocks[1].replace(b',"holds":17', b"") == blocks[0]


def test_a_time_in_utc_is_written_with_a_z() -> None:
    """The short form of RFC 3339; texts are UTF-8 without escapes."""
    assert to_json({"at": AT, "RØDT": 1}) == '{"at":"2025-09-08T20:36:55.250000Z","RØDT":1}'.encode()
    assert to_json(datetime(2025, 9, 8, tzinfo=UTC)) == b'"2025-09-08T00:00:00Z"'
