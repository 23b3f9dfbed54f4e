"""Readers of all kinds, including stalled ones: each has the right values whenever it accepts bytes."""

import json
import ssl
import zlib
from typing import Any, NoReturn
from unittest.mock import patch

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
)

from gateway.election.state import Cursor, ElectionState
from gateway.feed import channel as channel_module
from gateway.feed.blocks import BlockMaker
from gateway.feed.channel import SHARED_WINDOW_READERS_MIN, STALL_BYTES_PER_S, STALL_GRACE_S, Channel, Reader
from gateway.feed.compression import GZIP_START, deflate
from gateway.feed.selection import Selection, read_selection
from gateway.telemetry.metrics import FeedMetrics
from gateway.wire.areas import area_document
from gateway.wire.cursors import format_cursor
from gateway.wire.json import to_json
from tests.counts import examples
from tests.election.makers import REGISTRY, UNITS, Record, a_report, reports, some_counts
from tests.feed.reader import Client
from tests.feed.transport import FakeTransport

WISHES = [
    (None, None),
    (",".join(REGISTRY.levels), None),
    ("county", None),
    (None, "b-1"),
    ("precinct", "a-1"),
]
SELECTIONS = [read_selection(REGISTRY, levels, areas) for levels, areas in WISHES]
PACES = (0, 2, 30)
HEARTBEAT_S = 10.0
RETRY = b"retry: 2500\n\n"
METRICS = FeedMetrics()

Documents = dict[str, Any]


class Wire:
    """One reader with its socket, and the client that reads what was written."""

    def __init__(self, channel: Channel, start: Documents | None, now: float, *, direct: bool = True) -> None:
        self.channel = channel
        self.socket = FakeTransport()
        self.gone = 0
        sock = self.socket.as_socket() if direct else None
        self.reader = Reader(self.socket.as_transport(), self._forget, sock)
        self.socket.set_protocol(self.reader)
        self.client = Client(gzip=channel.gzip, copy=start)
        self.read = 0
        self.joined_at = now
        self.wrote_at = now
        """When something was last written."""
        self.last_write = 0
        """Bytes of it."""
        self.served_at = now
        """Since when, at least, it has been taking bytes."""

    def _forget(self) -> None:
        self.gone += 1

    def catch_up(self, now: float) -> None:
        """Let the client read what was written since the last time."""
        fresh = self.socket.written[self.read :]
        if fresh:
            self.read = len(self.socket.written)
            self.wrote_at, self.last_write = now, len(fresh)
            self.client.feed(fresh, now)
        assert self.socket.written.startswith(self.socket.taken)

    @property
    def open(self) -> bool:
        return not self.socket.is_closing()

    @property
    def up(self) -> bool:
        """Whether the socket has accepted everything that was written."""
        return self.open and not self.socket.unsent


class Feed:
    """What a feed process does with its channels, by the test's own clock."""

    def __init__(self) -> None:
        self.record = Record()
        self.state = ElectionState(REGISTRY)
        self.maker = BlockMaker(self.state)
        self.channels: dict[tuple[str, bool, int], Channel] = {}
        self.now = 1000.0
        self.moments: dict[int, Documents] = {}
        """All areas at each sequence that readers may see."""
        self._note_moment()

    def _note_moment(self) -> None:
        self.moments[self.state.sequence] = {
            area.id: json.loads(to_json(area_document(self.state, area.index))) for area in REGISTRY.areas
        }

    def apply(self, report: dict[str, Any]) -> None:
        self.state.apply(self.record.write(report))

    def show(self) -> None:
        """Show the state, and write the changes to the readers."""
        self._note_moment()
        self.maker.advance()
        for channel in self.channels.values():
            if not channel.every_s:
                channel.write(self.now)

    def beat(self) -> None:
        for channel in list(self.channels.values()):
            if channel.every_s and self.now % channel.every_s == 0:
                channel.write(self.now)
            if self.now - channel.wrote_at >= HEARTBEAT_S - 1.5:
                channel.send_heartbeat(self.now)

    def join(
        self,
        selection: Selection,
        gzip: bool,
        every_s: int,
        sequence: int | None,
        *,
        stalled: bool,
        direct: bool = True,
    ) -> Wire:
        key = (selection.key, gzip, every_s)
        if key not in self.channels:
            self.channels[key] = Channel(selection, gzip, every_s, self.maker, METRICS)
            self.channels[key].on_empty = lambda: self.drop(key)
        start = None if sequence is None else within(self.moments[sequence], selection)
        wire = Wire(self.channels[key], start, self.now, direct=direct)
        if stalled:
            wire.socket.stall()
        head = GZIP_START + deflate(RETRY) if gzip else RETRY
        self.channels[key].add(wire.reader, head, sequence, self.now)
        return wire

    def drop(self, key: tuple[str, bool, int]) -> None:
        del self.channels[key]


def within(documents: Documents, selection: Selection) -> Documents:
    return {area.id: documents[area.id] for area in REGISTRY.areas if area.index in selection.members}


class Readers(RuleBasedStateMachine):
    """Reports are published while readers join, stall, accept a little, accept everything, and leave."""

    wires = Bundle("wires")
    selections = st.sampled_from(SELECTIONS)
    codings = st.booleans()
    paces = st.sampled_from(PACES)

    def __init__(self) -> None:
        super().__init__()
        self.feed = Feed()
        self.all: list[Wire] = []
        self.moving = False
        """Whether a long run of publications is half applied."""
        self.patches = [
            patch.object(channel_module, "_now", lambda: self.feed.now),
            patch.object(
                channel_module, "SHARED_WINDOW_READERS_MIN", 2
            ),  # so that windows are shared by few readers already,
            patch.object(channel_module, "INDEPENDENT_BYTES", 3000),  # and some blocks are large
        ]
        for each in self.patches:
            each.start()

    def revision(self) -> int:
        return self.feed.state.sequence + 1

    def settled(self) -> None:
        """Let every client read, and every lost connection be reported."""
        for wire in self.all:
            wire.catch_up(self.feed.now)
            if wire.up:
                continue
            wire.socket.turn()

    @initialize(data=st.data(), count=st.integers(0, 6))
    def begin(self, data: st.DataObject, count: int) -> None:
        """The record may already have publications."""
        for _ in range(count):
            self.feed.apply(data.draw(reports(revision=self.revision())))
            self.feed.show()

    @precondition(lambda self: not self.moving)
    @rule(data=st.data(), count=st.integers(1, 3))
    def publish(self, data: st.DataObject, count: int) -> None:
        """Some reports are published at one moment."""
        for _ in range(count):
            self.feed.apply(data.draw(reports(revision=self.revision())))
        self.feed.show()
        self.settled()

    @rule(unit=st.sampled_from(UNITS))
    def begin_long_run(self, unit: str) -> None:
        """A part of a long run is applied; a state in the middle must not be shown."""
        self.feed.apply(a_report(unit, self.revision(), counts={"advance": some_counts(P=self.revision())}))
        self.moving = True

    @precondition(lambda self: self.moving)
    @rule()
    def end_long_run(self) -> None:
        self.moving = False
        self.feed.show()
        for wire in self.all:
            wire.served_at = self.feed.now
        self.settled()

    @precondition(lambda self: not self.moving)
    @rule(
        target=wires,
        resume=st.booleans(),
        stalled=st.integers(0, 3),
        direct=st.booleans(),
        data=st.data(),
    )
    def join(self, resume: bool, stalled: int, direct: bool, data: st.DataObject) -> Wire:
        """A reader joins, new or with an earlier cursor; its socket may be slow from the start."""
        selection, gzip = data.draw(self.selections), data.draw(self.codings)
        every_s = data.draw(self.paces)
        known = [sequence for sequence in self.feed.moments if sequence > 0]
        sequence = data.draw(st.sampled_from(known)) if resume and known else None
        wire = self.feed.join(selection, gzip, every_s, sequence, stalled=not stalled, direct=direct)
        self.all.append(wire)
        wire.catch_up(self.feed.now)
        assert wire.client.blocks[0].block["snapshot"] == (sequence is None)
        return wire

    @rule(wire=wires, room=st.sampled_from((0, 1, 100, 1_000)))
    def stall(self, wire: Wire, room: int) -> None:
        wire.socket.stall(room)

    @rule(wire=wires, most=st.integers(1, 5_000))
    def take_some(self, wire: Wire, most: int) -> None:
        """A slow socket accepts a few bytes, perhaps all that is pending."""
        wire.socket.take(most)
        self._took(wire)

    @rule(wire=wires)
    def take_all(self, wire: Wire) -> None:
        wire.socket.take()
        self._took(wire)

    def _took(self, wire: Wire) -> None:
        wire.served_at = self.feed.now
        self.settled()

    @rule(wire=consumes(wires), how=st.sampled_from(("hang up", "abort", "end")))
    def leave(self, wire: Wire, how: str) -> None:
        """A reader leaves, or is closed."""
        match how:
            case "hang up":
                wire.socket.hang_up()
            case "abort":
                wire.reader.abort()
            case "end":
                wire.reader.end()
        wire.socket.take()
        wire.socket.turn()

    @rule(seconds=st.sampled_from((1, 1, 2, 5, 12, 61, 70)))
    def wait(self, seconds: int) -> None:
        """The clock advances, second by second."""
        for _ in range(seconds):
            self.feed.now += 1
            if not self.moving:
                self.feed.beat()
            for channel in self.feed.channels.values():
                channel.close_overdue(self.feed.now)
            self.settled()
            self._check_pace_and_patience()

    def _check_pace_and_patience(self) -> None:
        now = self.feed.now
        for wire in self.all:
            blocked_s = now - wire.wrote_at
            if wire.socket.lost:
                continue
            if self.moving:
                wire.served_at = now
            elif wire.up:
                assert now - max(wire.client.blocks[-1].at, wire.served_at) < HEARTBEAT_S
                if wire.channel.every_s and now % wire.channel.every_s == 0:
                    self._assert_newest(wire)
            if wire.open and not wire.up:
                assert blocked_s < STALL_GRACE_S + wire.last_write / STALL_BYTES_PER_S

    def _assert_newest(self, wire: Wire) -> None:
        newest = self.feed.moments[max(self.feed.moments)]
        assert wire.client.copy == within(newest, wire.channel.selection)

    @invariant()
    def every_block_is_of_one_moment(self) -> None:
        """After a block, the copy of a reader equals the record at that sequence, and never goes back."""
        for wire in self.all:
            sequences = [applied.sequence for applied in wire.client.blocks]
            assert sequences == sorted(sequences)
            for number, applied in enumerate(wire.client.blocks):
                moment = self.feed.moments[applied.sequence]
                assert applied.copy == within(moment, wire.channel.selection)
                assert applied.block["chain"] == self.feed.record.chains[applied.sequence].hex()
                pace = wire.channel.every_s
                if number:
                    assert not applied.block["snapshot"]
                    assert not applied.names or not pace or applied.at % pace == 0
            chain = self.feed.record.chains[sequences[-1]]
            assert wire.client.cursor == format_cursor(Cursor(sequences[-1], int.from_bytes(chain[:4])))
            assert wire.client.retries == [2500]
            del wire.client.blocks[:-1]

    @invariant()
    def readers_that_accept_bytes_have_the_newest_state(self) -> None:
        """At once, or after their interval; missed values are not sent later."""
        for wire in self.all:
            if wire.up and not wire.channel.every_s and not self.moving:
                self._assert_newest(wire)

    @invariant()
    def no_second_block_waits_for_a_reader(self) -> None:
        for wire in self.all:
            assert wire.socket.overruns == 0
            assert wire.gone == wire.socket.lost

    @invariant()
    def channels_know_their_readers(self) -> None:
        held = {id(channel): channel for channel in self.feed.channels.values()}
        assert all(len(channel) for channel in held.values())
        for channel in {id(wire.channel): wire.channel for wire in self.all}.values():
            mine = [wire for wire in self.all if wire.channel is channel and not wire.socket.lost]
            assert (id(channel) in held) == bool(mine)
            assert sorted(map(id, channel.readers())) == sorted(id(wire.reader) for wire in mine)
            assert channel.stalled == sum(bool(wire.socket.unsent) for wire in mine)
            pinned = [reader for _, readers in channel.pinned().values() for reader in readers]
            assert {id(reader) for reader in pinned} == {
                id(wire.reader) for wire in mine if wire.socket.unsent
            }

    def teardown(self) -> None:
        """In the end every socket accepts bytes, and within the longest interval every copy is the newest state."""
        try:
            if self.moving:
                self.end_long_run()
            for wire in self.all:
                wire.socket.take()
                wire.served_at = self.feed.now
            self.settled()
            self.readers_that_accept_bytes_have_the_newest_state()
            self.wait(max(PACES))
            for wire in self.all:
                if wire.up:
                    self._assert_newest(wire)
        finally:
            for each in self.patches:
                each.stop()


Readers.TestCase.settings = settings(
    deadline=None, max_examples=examples(80), stateful_step_count=30, report_multiple_bugs=False
)
TestReaders = Readers.TestCase


class ReadersUnderGzip(Readers):
    """All in one or two channels, so that most blocks refer to earlier ones that some readers were not sent."""

    selections = st.just(SELECTIONS[0])
    codings = st.just(True)
    paces = st.sampled_from((0, 0, 2))


ReadersUnderGzip.TestCase.settings = settings(
    deadline=None, max_examples=examples(80), stateful_step_count=30, report_multiple_bugs=False
)
TestReadersUnderGzip = ReadersUnderGzip.TestCase


# One reader at a time --------------------------------------------------------------------------------------


def a_feed(*units: str) -> Feed:
    feed = Feed()
    for unit in units:
        publish(feed, unit)
    return feed


def publish(feed: Feed, unit: str) -> None:
    revision = feed.state.sequence + 1
    feed.apply(a_report(unit, revision, counts={"advance": some_counts(P=revision)}))
    feed.show()


def a_reader(feed: Feed, levels: str | None = None, areas: str | None = None, **options: Any) -> Wire:
    selection = read_selection(REGISTRY, levels, areas)
    sequence = options.pop("sequence", None)
    every_s, stalled = options.pop("every_s", 0), options.pop("stalled", False)
    return feed.join(selection, options.pop("gzip", False), every_s, sequence, stalled=stalled)


def last(wire: Wire) -> tuple[int, list[str]]:
    """The sequence of a reader's last block, and the areas in it."""
    wire.catch_up(0.0)
    return wire.client.blocks[-1].sequence, wire.client.blocks[-1].names


def take(feed: Feed, wire: Wire) -> None:
    """Let a reader's socket accept everything."""
    with patch.object(channel_module, "_now", lambda: feed.now):
        wire.socket.take()


def beat(feed: Feed, seconds: float) -> None:
    feed.now += seconds
    for channel in feed.channels.values():
        channel.send_heartbeat(feed.now)


def test_a_heartbeat_moves_the_cursor_of_a_reader_for_whom_nothing_changed() -> None:
    """It may reconnect with that cursor, and gets nothing twice."""
    feed = a_feed("b-2")
    wire = a_reader(feed, areas="a")
    publish(feed, "b-2")
    publish(feed, "b-1-x-1")
    assert last(wire) == (1, ["a", "a-1"])
    beat(feed, 10)
    assert last(wire) == (3, [])


def test_a_heartbeat_does_not_move_a_reader_past_what_it_has_not_seen() -> None:
    """With an interval, the changes since the last write are still to come."""
    feed = a_feed("b-2")
    wire = a_reader(feed, every_s=60)
    publish(feed, "a-2")
    newcomer = a_reader(feed, every_s=60)
    publish(feed, "b-2")
    beat(feed, 10)
    assert last(wire) == (1, [])
    assert last(newcomer) == (2, [])
    wire.channel.write(feed.now)
    assert last(wire) == (3, ["no", "a", "b"])
    assert last(newcomer) == (3, ["no", "b"])


def test_a_reader_that_stalls_at_a_heartbeat_still_gets_the_changes() -> None:
    """A heartbeat that is not accepted does not move the reader."""
    feed = a_feed("b-2")
    wire = a_reader(feed, every_s=60)
    publish(feed, "a-2")
    newcomer = a_reader(feed, every_s=60)
    publish(feed, "b-2")
    for each in (wire, newcomer):
        each.socket.stall()
    beat(feed, 10)
    for each in (wire, newcomer):
        take(feed, each)
    wire.channel.write(feed.now)
    assert last(wire) == (3, ["no", "a", "b"])
    assert last(newcomer) == (3, ["no", "b"])


def test_a_channel_knows_when_it_last_wrote_to_all() -> None:
    """A heartbeat is sent only if nothing was written for a while."""
    feed = a_feed("b-2")
    channel = a_reader(feed, areas="b").channel
    assert channel.wrote_at == feed.now
    for unit, expected in (("a-2", 1000.0), ("b-2", 1010.0)):
        feed.now = 1010.0
        publish(feed, unit)
        assert channel.wrote_at == expected
    beat(feed, 5)
    assert channel.wrote_at == 1015.0
    a_reader(feed, areas="b")
    assert channel.wrote_at == 1015.0


def test_a_reader_that_returns_gets_what_it_missed_once() -> None:
    """From any cursor; without changes, it gets an empty block."""
    feed = a_feed("a-1-1", "a-2", "b-2", "a-1-2")
    assert last(a_reader(feed, sequence=2)) == (4, ["no", "a", "b", "a-1"])
    assert last(a_reader(feed, sequence=3)) == (4, ["no", "a", "a-1"])
    assert last(a_reader(feed, sequence=4)) == (4, [])
    assert last(a_reader(feed, areas="b", sequence=3)) == (4, [])


def test_a_stalled_reader_gets_one_block_when_it_resumes() -> None:
    """Not the blocks it missed, but the newest values of the areas that changed."""
    feed = a_feed("b-2")
    wire = a_reader(feed, stalled=True)
    for unit in ("a-2", "a-1-1", "a-2", "b-2"):
        publish(feed, unit)
    beat(feed, 10)
    assert last(wire) == (1, ["no", "a", "b", "a-1", "b-1", "b-1-x"])
    take(feed, wire)
    assert last(wire) == (5, ["no", "a", "b", "a-1"])
    assert len(wire.client.blocks) == 2


def test_an_up_to_date_reader_joins_those_in_step() -> None:
    """If nothing was published while it was stalled it gets nothing; if nothing of its selection, its cursor moves."""
    feed = a_feed("b-2")
    wire = a_reader(feed, areas="a", stalled=True)
    take(feed, wire)
    wire.catch_up(0.0)
    assert len(wire.client.blocks) == 1
    wire.socket.stall()
    publish(feed, "a-2")
    publish(feed, "b-2")
    take(feed, wire)
    wire.catch_up(0.0)
    assert [(each.sequence, each.names) for each in wire.client.blocks[1:]] == [(2, ["a"]), (3, [])]
    publish(feed, "a-2")
    assert last(wire) == (4, ["a"])


def test_no_reader_sees_the_middle_of_a_long_run() -> None:
    """A reader that resumes in between waits for the end of it."""
    feed = a_feed("b-2")
    wire = a_reader(feed, stalled=True)
    publish(feed, "a-2")
    feed.apply(a_report("b-1-x-1", 3))
    take(feed, wire)
    assert last(wire) == (1, ["no", "a", "b", "a-1", "b-1", "b-1-x"])
    feed.apply(a_report("b-1-x-2", 4))
    feed.show()
    assert last(wire) == (4, ["no", "a", "b", "b-1", "b-1-x"])


def test_a_reader_is_closed_only_after_the_time_that_its_block_may_take() -> None:
    """60 s and one second for each 8 kB, from the time at which the block was written."""
    feed = a_feed("b-2")
    levels = ",".join(REGISTRY.levels)
    slow, quick = a_reader(feed, levels, stalled=True), a_reader(feed, levels)
    channel = slow.channel
    slow.catch_up(feed.now)
    allowed_s = STALL_GRACE_S + (slow.last_write - len(RETRY)) / STALL_BYTES_PER_S
    assert 60.4 < allowed_s < 62
    beat(feed, 30)
    assert channel.close_overdue(feed.now - 30 + allowed_s - 0.001) == 0
    assert channel.close_overdue(feed.now - 30 + allowed_s) == 1
    slow.socket.turn()
    assert (slow.gone, len(channel), channel.stalled) == (1, 1, 0)
    assert quick.open


def test_a_block_is_written_once_for_all_in_step() -> None:
    """They are sent the same bytes, and the metrics count each."""
    feed = a_feed("b-2")
    wires = [a_reader(feed, gzip=gzip) for gzip in (True, True, False)]
    before = [wire.socket.written for wire in wires]
    blocks = METRICS.blocks._value.get()
    publish(feed, "a-2")
    packed, same, plain = (
        wire.socket.written.removeprefix(head) for wire, head in zip(wires, before, strict=True)
    )
    assert packed == same
    assert packed != plain
    assert METRICS.blocks._value.get() == blocks + 3


class Counting:
    """A socket that accepts everything, and remembers how often it was sent something."""

    def __init__(self) -> None:
        self.sends = 0

    def send(self, data: bytes) -> int:
        self.sends += 1
        return len(data)


def test_nothing_is_sent_past_the_transport_of_a_reader_that_is_closed() -> None:
    """Its transport may have the last bytes, and its socket stays open until they are sent."""
    feed = a_feed("b-2")
    staying, closed = a_reader(feed), a_reader(feed)
    channel = closed.channel
    channel.remove(closed.reader)
    counting = Counting()
    reader = Reader(closed.socket.as_transport(), closed._forget, counting)
    closed.socket.set_protocol(reader)
    channel.add(reader, RETRY, None, feed.now)
    publish(feed, "a-2")
    assert counting.sends == 1
    closed.socket.stall()
    reader.end(b"retry: 1000\n\n")
    publish(feed, "a-2")
    assert counting.sends == 1
    assert last(staying) == (3, ["no", "a"])


class Broken(FakeTransport):
    """A connection on which every attempt to send something fails, with an error that nobody expects."""

    def __init__(self, error: Exception, *, encrypted: bool) -> None:
        super().__init__(encrypted=encrypted)
        self.error = error
        self.whole = True

    def send(self, data: bytes) -> int:
        return super().send(data) if self.whole else self._fail()

    def write(self, data: bytes) -> None:
        super().write(data) if self.whole else self._fail()

    def _fail(self) -> NoReturn:
        raise self.error


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize(
    "error", [ssl.SSLError("internal error"), RuntimeError("the handler is closed"), MemoryError()]
)
def test_a_reader_on_whose_connection_sending_fails_is_closed_alone(
    error: Exception, encrypted: bool
) -> None:
    """At a change, a heartbeat, as it accepts bytes again, or at the end: the others get everything all the same."""
    for happens in ("change", "heartbeat", "resumption", "end"):
        feed = a_feed("b-2")
        before = a_reader(feed)
        broken, gone = Broken(error, encrypted=encrypted), []
        reader = Reader(broken.as_transport(), lambda gone=gone: gone.append(True), broken.as_socket())
        broken.set_protocol(reader)
        before.channel.add(reader, RETRY, None, feed.now)
        after = a_reader(feed)
        if happens == "resumption":
            broken.stall()
            for _ in range(2):
                publish(feed, "a-2")
        broken.whole = False
        if happens == "change":
            publish(feed, "a-2")
        elif happens == "heartbeat":
            beat(feed, 10)
        elif happens == "resumption":
            with patch.object(channel_module, "_now", lambda feed=feed: feed.now):
                broken.take()
        else:
            for each in before.channel.readers():
                each.end(RETRY)
            assert before.socket.is_closing()
            assert after.socket.is_closing()
        assert broken.is_closing()
        broken.turn()
        assert gone == [True]
        assert len(before.channel) == 2
        if happens != "end":
            publish(feed, "a-1-1")
            assert last(before)[0] == last(after)[0] == feed.state.sequence


def test_nothing_is_sent_again_after_an_error_that_does_not_tell_how_much_was_sent() -> None:
    """The reader is closed, and gets the change when it connects again."""
    feed = a_feed("b-2")
    before = a_reader(feed)
    half, gone = FakeTransport(), []
    reader = Reader(half.as_transport(), lambda: gone.append(True), half.as_socket())
    half.set_protocol(reader)
    before.channel.add(reader, RETRY, None, feed.now)
    written = bytes(half.written)

    def send(_: bytes) -> int:
        raise MemoryError

    reader.send_some = send
    before.channel.replace_send(reader)
    publish(feed, "a-2")
    half.turn()
    assert (half.written, gone) == (written, [True])
    assert last(before)[0] == feed.state.sequence


def written_since(wires: list[Wire], before: list[bytes]) -> list[bytes]:
    return [wire.socket.written.removeprefix(had) for wire, had in zip(wires, before, strict=True)]


def test_under_gzip_blocks_refer_to_what_all_in_step_were_sent_before() -> None:
    """Later readers get independent blocks of the same text, until these cost enough or a large block is for all."""
    feed = a_feed("b-2")
    wires = [a_reader(feed, gzip=True) for _ in range(3 * SHARED_WINDOW_READERS_MIN)]
    publish(feed, "a-2")  # the first block that all get
    late = a_reader(feed, gzip=True)
    sizes = []
    for number in range(1, len(wires) + 2):
        before = [wire.socket.written for wire in (wires[0], wires[-1], late)]
        publish(feed, "a-2")
        one, other, alone = written_since([wires[0], wires[-1], late], before)
        assert one == other
        assert (alone == one) == (number >= len(wires))
        if number < len(wires):
            sizes.append((len(one), len(alone)))
            assert zlib.decompressobj(-zlib.MAX_WBITS).decompress(alone)
    assert all(2 * together < alone for together, alone in sizes)
    newest = feed.state.sequence
    assert {last(wire)[0] for wire in (*wires, late)} == {newest}
    with patch.object(channel_module, "INDEPENDENT_BYTES", 100):
        late = a_reader(feed, gzip=True)
        before = [wires[0].socket.written, late.socket.written]
        publish(feed, "a-2")
        assert len(set(written_since([wires[0], late], before))) == 1


def test_few_readers_share_no_window() -> None:
    """It may take 32 kB, too much for few readers; it is dropped when readers leave."""
    feed = a_feed("b-2")
    wires = [a_reader(feed, gzip=True) for _ in range(SHARED_WINDOW_READERS_MIN)]
    publish(feed, "a-2")
    for wire in wires[:1], wires[1:]:
        before = wires[-1].socket.written
        publish(feed, "a-2")
        (data,) = written_since([wires[-1]], [before])
        refers = wire == wires[:1]
        if refers:
            with pytest.raises(zlib.error, match="too far back"):
                zlib.decompressobj(-zlib.MAX_WBITS).decompress(data)
        else:
            assert zlib.decompressobj(-zlib.MAX_WBITS).decompress(data)
        wires[0].socket.hang_up()
        wires[0].socket.turn()
    assert last(wires[-1])[0] == feed.state.sequence


def test_a_channel_without_readers_is_closed() -> None:
    """The next reader of its kind gets a new one."""
    feed = a_feed("b-2")
    one, other = a_reader(feed), a_reader(feed)
    assert len(feed.channels) == 1
    for wire, left in ((one, 1), (other, 0)):
        wire.socket.hang_up()
        wire.socket.turn()
        assert wire.reader.channel is None
        assert len(feed.channels) == left
    assert a_reader(feed).channel is not one.channel


def test_the_last_bytes_are_sent_only_to_readers_that_accept_bytes() -> None:
    """Behind an unsent block they would come too late; the stream ends all the same."""
    feed = a_feed("b-2")
    quick, slow = a_reader(feed), a_reader(feed, stalled=True)
    written = slow.socket.written
    for wire in (quick, slow):
        wire.reader.end(b"retry: 9\n\n")
        assert wire.socket.is_closing()
    assert quick.socket.taken.endswith(b"retry: 9\n\n")
    assert slow.socket.written == written


def test_data_from_a_reader_is_ignored() -> None:
    """Closing its side closes the stream."""
    feed = a_feed("b-2")
    wire = a_reader(feed)
    before = wire.socket.written
    wire.reader.data_received(b"GET / HTTP/1.1\r\n\r\n")
    assert wire.socket.written == before
    assert wire.reader.eof_received() is False
