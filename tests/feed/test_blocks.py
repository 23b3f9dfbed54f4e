"""Blocks contain what changed, are encoded once, and can be joined into any stream of their encoding."""

import random
import re
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.election.registry_reading import read_registry
from gateway.election.state import ElectionState
from gateway.feed import blocks
from gateway.feed.blocks import BLOCKS_MAX, Block, BlockMaker, Retries
from gateway.feed.compression import GZIP_START
from gateway.feed.selection import Selection, read_selection
from gateway.rehearsal.generator import GeneratedElection
from gateway.wire.areas import area_document
from gateway.wire.cursors import format_cursor
from gateway.wire.json import to_json
from tests.counts import examples
from tests.election.makers import DOCUMENT, REGISTRY, UNITS, Record, a_report, some_counts
from tests.feed.reader import Client
from tests.wire.sse import events_of

WISHES = [
    (None, None),
    (",".join(REGISTRY.levels), None),
    ("precinct", None),
    ("county,country", None),
    (None, "b"),
    (",".join(REGISTRY.levels), "a-1,b-2"),
]
SELECTIONS = [read_selection(REGISTRY, levels, areas) for levels, areas in WISHES]
DEFAULT = SELECTIONS[0]


class Feed:
    """A state that changes, and its blocks."""

    def __init__(self) -> None:
        self.record = Record()
        self.state = ElectionState(REGISTRY)
        self.maker = BlockMaker(self.state)

    def publish(self, *units: str) -> None:
        """Publish a report of each unit, and show the state after them."""
        for unit in units:
            number = len(self.record.publications) + 1
            counts = {"advance": some_counts(P=number)}
            self.state.apply(self.record.write(a_report(unit, number, counts=counts)))
        self.maker.advance()

    def names(self, selection: Selection) -> list[str]:
        return [area.id for area in REGISTRY.areas if area.index in selection.members]

    def changed(self, selection: Selection, sequence: int) -> list[str]:
        """The areas that changed after a sequence, according to the record."""
        units = {publication.unit for publication in self.record.publications[sequence:]}
        return [
            area.id
            for area in REGISTRY.areas
            if area.index in selection.members
            and any(area.index in (REGISTRY.by_id[unit].index, *REGISTRY.by_id[unit].path) for unit in units)
        ]

    def check(self, block: Block, names: list[str], *, snapshot: bool) -> None:
        """Assert that a block contains these areas with their current values, in this order, and its position."""
        *areas, end = events_of(block.plain)[0]
        assert [event.document["area"] for event in areas] == names
        assert block.areas == len(names)
        for event in areas:
            index = REGISTRY.by_id[event.document["area"]].index
            assert event.data == to_json(area_document(self.state, index)).decode()
        published_at = self.record.publications[-1].published_at if self.record.publications else None
        document = end.document
        made = datetime.fromisoformat(document.pop("server_time"))
        assert abs(datetime.now(UTC) - made) < timedelta(seconds=20)
        assert end.id == format_cursor(self.state.cursor())
        assert document == {
            "sequence": len(self.record.publications),
            "published_at": published_at and published_at.isoformat().replace("+00:00", "Z"),
            "chain": self.record.chains[-1].hex(),
            "snapshot": snapshot,
            "areas": len(names),
        }


histories = st.lists(st.lists(st.sampled_from(UNITS), min_size=1, max_size=4), max_size=6)


@settings(deadline=None, max_examples=examples(60))
@given(histories, st.sampled_from(SELECTIONS))
def test_a_block_contains_the_areas_that_changed_since_a_cursor(
    history: list[list[str]], selection: Selection
) -> None:
    """Exactly these, parents first, with their current values; a snapshot contains the whole selection."""
    feed = Feed()
    for units in [[], *history]:
        feed.publish(*units)
        here = feed.state.sequence
        feed.check(feed.maker.snapshot(selection), feed.names(selection), snapshot=True)
        for sequence in range(here + 1):
            block = feed.maker.since(selection, sequence)
            feed.check(block, feed.changed(selection, sequence), snapshot=False)


@settings(deadline=None, max_examples=examples(60))
@given(st.lists(st.sampled_from(UNITS), max_size=120), st.sampled_from(SELECTIONS), st.data())
def test_a_reader_far_behind_gets_slightly_more(
    units: list[str], selection: Selection, data: st.DataObject
) -> None:
    """At least the areas changed since its cursor, and at most those changed since a position shortly before it."""
    feed = Feed()
    feed.publish(*units)
    sequence = data.draw(st.integers(0, len(units)))
    block = feed.maker.since_about(selection, sequence)
    named = [event.document["area"] for event in events_of(block.plain)[0][:-1]]
    assert set(named) >= set(feed.changed(selection, sequence))
    behind = len(units) - sequence
    assert set(named) <= set(feed.changed(selection, max(0, sequence - behind // 16)))
    feed.check(block, named, snapshot=False)


def test_readers_that_return_together_share_few_blocks() -> None:
    """Ten thousand readers, disconnected anywhere in a long record, need some dozens of blocks."""
    feed = Feed()
    feed.publish(*(UNITS * 400))
    cursors = range(feed.state.sequence)
    assert len({id(feed.maker.since_about(DEFAULT, cursor)) for cursor in cursors}) <= 220
    near = {id(feed.maker.since_about(DEFAULT, cursor)) for cursor in cursors[-16:]}
    assert len(near) == 16


def test_a_block_is_made_once_per_selection_and_cursor() -> None:
    """Equal selections and cursors give the same object, however the selection was written; others do not."""
    feed = Feed()
    feed.publish("a-1-1", "b-2")
    one, same = (read_selection(REGISTRY, levels, None) for levels in ("county,country", "country,county,"))
    assert one is not same
    assert feed.maker.since(one, 1) is feed.maker.since(same, 1)
    assert feed.maker.snapshot(one) is feed.maker.snapshot(same)
    assert feed.maker.since(one, 0) is not feed.maker.since(one, 1)
    assert feed.maker.since(one, 0) is not feed.maker.snapshot(one)
    assert feed.maker.since(one, 1) is not feed.maker.since(DEFAULT, 1)
    block = feed.maker.since(one, 1)
    assert block.bytes(gzip=True) is block.bytes(gzip=True)
    assert block.bytes(gzip=False) is block.plain


def test_an_area_is_encoded_once_per_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """For all readers, selections and cursors."""
    encoded: list[int] = []
    plain: Callable[[ElectionState, int], bytes] = blocks.area_event

    def counted(state: ElectionState, index: int) -> bytes:
        encoded.append(index)
        return plain(state, index)

    monkeypatch.setattr(blocks, "area_event", counted)
    feed = Feed()
    for _ in range(2):
        for selection in SELECTIONS:
            feed.maker.snapshot(selection)
    assert sorted(encoded) == list(range(len(REGISTRY.areas)))
    encoded.clear()
    feed.publish("b-2")
    for selection in SELECTIONS:
        feed.maker.snapshot(selection)
        feed.maker.since(selection, 0)
    assert sorted(encoded) == sorted(REGISTRY.by_id[area].index for area in ("b-2", "b", "no"))


def test_blocks_of_an_older_state_are_not_returned() -> None:
    """After the state has advanced, each block ends at the new position."""
    feed = Feed()
    feed.publish("a-1-1")
    before = feed.maker.snapshot(DEFAULT)
    feed.publish("a-1-2")
    assert feed.maker.snapshot(DEFAULT) is not before
    feed.check(feed.maker.snapshot(DEFAULT), feed.names(DEFAULT), snapshot=True)
    assert before.position.sequence == 1


def test_the_cache_of_blocks_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """By number and by bytes; the least recently used block is evicted, the newest one never."""
    feed = Feed()
    feed.publish(*(UNITS * 100))
    used = feed.maker.since(DEFAULT, 0)
    for sequence in range(1, BLOCKS_MAX + 50):
        assert feed.maker.since(DEFAULT, 0) is used
        feed.maker.since(DEFAULT, sequence)
    assert len(feed.maker._blocks) == BLOCKS_MAX
    assert feed.maker._blocks_bytes == sum(len(block.plain) for block in feed.maker._blocks.values())
    monkeypatch.setattr(blocks, "BLOCK_BYTES_MAX", 10_000)
    large = feed.maker.snapshot(SELECTIONS[1])
    assert feed.maker.snapshot(SELECTIONS[1]) is large
    assert feed.maker._blocks_bytes <= max(10_000, len(large.plain))
    feed.publish("b-2")
    assert (len(feed.maker._blocks), feed.maker._blocks_bytes) == (0, 0)


def test_without_changes_a_block_is_empty() -> None:
    """It contains the position of the record, like a heartbeat; a cursor ahead gets the same."""
    feed = Feed()
    feed.publish("a-1-1", "a-1-2")
    for sequence in (2, 3, 10**9):
        feed.check(feed.maker.since(DEFAULT, sequence), [], snapshot=False)
    feed.check(feed.maker.position.block(), [], snapshot=False)


def test_a_heartbeat_has_the_position_of_the_reader() -> None:
    """A heartbeat to a reader that is behind does not move it."""
    feed = Feed()
    feed.publish("a-1-1")
    position = feed.maker.position
    feed.publish("b-2")
    (event,), _, _ = events_of(position.block().plain)
    assert event.document["sequence"] == 1
    assert event.document["chain"] == feed.record.chains[1].hex()


def test_a_state_between_two_positions_is_not_settled() -> None:
    """The maker's position is behind the state, and no block may be made."""
    feed = Feed()
    assert feed.maker.settled
    feed.state.apply(feed.record.write(a_report("b-2")))
    assert not feed.maker.settled
    feed.maker.advance()
    assert feed.maker.settled


@pytest.mark.parametrize("rehearsal", [True, False])
def test_a_rehearsal_shows_in_every_snapshot(rehearsal: bool) -> None:
    """Readers must not mistake it for a real election."""
    header = {**DOCUMENT["election"], "rehearsal": rehearsal}
    maker = BlockMaker(ElectionState(read_registry({**DOCUMENT, "election": header})))
    end = events_of(maker.snapshot(DEFAULT).plain)[0][-1]
    assert end.document.get("rehearsal", False) is rehearsal


# Compressed ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gzip", [True, False])
def test_readers_of_shared_blocks_end_with_the_same_copy(small: GeneratedElection, gzip: bool) -> None:
    """Readers that joined at different times are sent the same bytes and end with the same complete copy."""
    registry = read_registry(small.registry)
    state, record = ElectionState(registry), Record()
    maker = BlockMaker(state)
    everything = read_selection(registry, ",".join(registry.levels), None)
    retries = Retries(1500, 4500)
    clients: list[Client] = []
    sent = 0
    for number, line in enumerate(small.reports):
        state.apply(record.write(line["report"]))
        if number % 7 == 0:
            maker.advance()
            block = maker.since(everything, sent)
            sent = state.sequence
            for client in clients:
                client.feed(block.bytes(gzip=gzip))
        if number % 50 == 0:
            clients.append(Client(gzip=gzip))
            head = (GZIP_START if gzip else b"") + retries.pick(gzip=gzip)
            clients[-1].feed(head + maker.snapshot(everything).bytes(gzip=gzip))
    maker.advance()
    final: dict[str, Any] = {
        area.id: events_of(b"data: " + to_json(area_document(state, area.index)) + b"\n\n")[0][0].document
        for area in registry.areas
    }
    assert len(clients) > 3
    for client in clients:
        client.feed(maker.since(everything, sent).bytes(gzip=gzip))
        assert client.copy == final
        assert client.cursor == format_cursor(state.cursor())
        assert len(client.retries) == 1


def test_delays_are_spread_and_in_range() -> None:
    """Readers that are closed together do not all reconnect together."""
    random.seed(1)
    retries = Retries(1500, 4500)
    picked = [retries.pick(gzip=False) for _ in range(500)]
    assert all(re.fullmatch(rb"retry: [0-9]+\n\n", field) for field in picked)
    delays = [int(field.split()[1]) for field in picked]
    assert all(1500 <= delay <= 4500 for delay in delays)
    assert len(set(delays)) > 30
    assert zlib.decompressobj(31).decompress(GZIP_START + retries.pick(gzip=True)).startswith(b"retry: ")
