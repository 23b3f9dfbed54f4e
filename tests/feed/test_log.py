"""Which checkpoints a feed shows: only those of a tree that it has computed itself, and never a smaller one again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from structlog.testing import capture_logs

from gateway.election.log_record import WITNESSES_MAX
from gateway.election.record import Publication
from gateway.errors import JournalUnavailable
from gateway.feed import log as log_module
from gateway.feed import log_checkpoints
from gateway.feed.log import ElectionLog
from gateway.feed.log_reading import OneAtATime
from gateway.transparency.ed25519 import SigningKey
from gateway.transparency.entries import Previous
from gateway.transparency.note import COSIGNATURE, parse_note
from gateway.transparency.tiles import Tile
from gateway.transparency.tree import Tree
from tests.election.makers import Record, a_report
from tests.feed.log_record import WITNESSES, FakeLogs, WrittenLog
from tests.feed.served import until

REGISTRY = b"{}"


def a_record(count: int = 12, ballots: int = 1) -> list[Publication]:
    written = Record()
    return [written.write(a_report(revision=number, reason=f"r{ballots}")) for number in range(1, count + 1)]


NIGHT, ANOTHER = a_record(), a_record(ballots=2)


class Followed:
    """A log that is followed, as a feed does it."""

    def __init__(self, *logs: WrittenLog) -> None:
        self.logs = FakeLogs(*logs)
        self.settled = True
        self.log = ElectionLog("e", self.logs, lambda: self.settled)
        self.polls = 0

    @property
    def size(self) -> int:
        return self.log.size

    async def poll(self) -> None:
        """Read the heads, and wait until they are followed."""
        self.log.update_heads(await self.logs.heads())
        await self.rest()

    async def rest(self) -> None:
        """Wait until there is nothing more to do: more turns of the loop than the longest pass takes."""
        quiet = 0
        while quiet < 200:
            quiet = 0 if self.log._requested.is_set() else quiet + 1
            await asyncio.sleep(0)

    async def apply(self, publications: list[Publication]) -> None:
        self.log.add(publications)
        self.log.advanced()
        await self.rest()

    async def rebuild(self, publications: list[Publication]) -> None:
        """Apply another record from its beginning."""
        self.settled = False
        self.log.start()
        await self.rest()
        self.settled = True
        await self.apply(publications)


@asynccontextmanager
async def following(*logs: WrittenLog) -> AsyncIterator[Followed]:
    followed = Followed(*logs)
    running = asyncio.ensure_future(followed.log.run())
    try:
        yield followed
    finally:
        running.cancel()


@pytest.fixture
def written() -> WrittenLog:
    return WrittenLog("e", REGISTRY)


async def test_a_checkpoint_is_shown_once_everything_that_it_covers_is_applied(written: WrittenLog) -> None:
    """Until then the one before, and none at first."""
    async with following(written) as followed:
        assert not followed.log.known
        await followed.poll()
        assert (followed.log.known, followed.size, followed.log.signed) == (True, 0, False)
        written.sign()
        await followed.poll()
        assert followed.size == 1
        written.add(NIGHT[:7])
        written.sign(4)
        written.sign(8)
        await followed.poll()
        assert followed.size == 1
        await followed.apply(NIGHT[:3])
        assert followed.size == 4
        await followed.apply(NIGHT[3:6])
        assert followed.size == 4
        await followed.apply(NIGHT[6:9])
        assert followed.size == 8
        assert not followed.log.disagrees


async def test_nothing_is_shown_before_the_first_checkpoints_are_compared(written: WrittenLog) -> None:
    """Else a process that has just started would show an old one, or none."""
    written.add(NIGHT[:7])
    for size in (1, 4, 8):
        written.sign(size)
    async with following(written) as followed:
        followed.settled = False
        await followed.apply(NIGHT[:3])
        await followed.poll()
        assert not followed.log.known
        assert followed.log.current is None
        followed.settled = True
        await followed.apply(NIGHT[3:7])
        assert followed.log.known
        assert followed.size == 8


@pytest.mark.parametrize("wrong", ["another name", "too many"])
async def test_a_checkpoint_with_signatures_of_others_is_not_shown(written: WrittenLog, wrong: str) -> None:
    """What readers are shown has room for the signatures of witnesses, which a note bounds."""
    written.sign()
    note = written.checkpoints[0].note
    more = (
        "— other.example AAAAAAA=\n" if wrong == "another name" else f"— {written.head.origin} AAAAAAA=\n" * 8
    )
    written.checkpoints[0] = msgspec.structs.replace(written.checkpoints[0], note=note + more)
    async with following(written) as followed:
        await followed.poll()
        assert followed.size == 0
        assert followed.log.disagrees


async def test_a_changed_entry_is_logged_once_whatever_was_signed_after_it(written: WrittenLog) -> None:
    """A process that starts compares thousands of checkpoints with it."""
    written.add(NIGHT)
    for size in range(1, 13):
        written.sign(size)
    with capture_logs() as logged:
        async with following(written) as followed:
            await followed.apply([msgspec.structs.replace(NIGHT[0], body=ANOTHER[0].body), *NIGHT[1:]])
            await followed.poll()
            assert followed.size == 1
    errors = [each["reason"] for each in logged if each["log_level"] == "error"]
    assert errors == ["the entries of the record have another root than the checkpoint of size 2"]


async def test_an_unexpected_error_is_an_alarm_and_ends_no_feed(
    written: WrittenLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a time in the database that no program can read; what was shown stays, and the log is followed again."""
    monkeypatch.setattr(log_module, "FAILED_S", 0.0)
    written.sign()
    written.add(NIGHT[:3])
    async with following(written) as followed:
        await followed.apply(NIGHT[:3])
        await followed.poll()
        with monkeypatch.context() as broken:

            async def fail(*_: int) -> None:
                raise OverflowError("date value out of range")

            broken.setattr(followed.logs, "checkpoints", fail)
            written.sign()
            followed.log.update_heads(await followed.logs.heads())
            await until(lambda: followed.log.disagrees)
            assert followed.size == 1
        await until(lambda: followed.size == 4)
        await until(lambda: not followed.log.disagrees)


@pytest.mark.parametrize("wrong", ["body", "root", "note"])
async def test_a_checkpoint_of_another_root_is_not_shown(written: WrittenLog, wrong: str) -> None:
    """Whether the record, the root or the note was changed; the previous one is, and the difference is noted."""
    written.add(NIGHT[:7])
    written.sign(4)
    applied = NIGHT[:7]
    if wrong == "body":
        applied = [*NIGHT[:4], msgspec.structs.replace(NIGHT[4], body=ANOTHER[4].body), *NIGHT[5:7]]
        written.sign(8)
    elif wrong == "root":
        written.sign(8, root=bytes(32))
    else:
        written.sign(8)
        written.checkpoints[-1] = msgspec.structs.replace(
            written.checkpoints[-1], note=written.checkpoints[0].note
        )
    async with following(written) as followed:
        await followed.apply(applied)
        await followed.poll()
        assert followed.size == 4
        assert followed.log.disagrees
        if wrong != "body":  # a later one that agrees is shown, and the difference is still noted
            written.add(NIGHT[7:9])
            written.sign()
            await followed.apply(NIGHT[7:9])
            await followed.poll()
            assert followed.size == 10
            assert followed.log.disagrees


async def test_a_feed_that_reads_the_same_record_again_shows_the_same(written: WrittenLog) -> None:
    """What was shown is shown while it does, and then with the new tree."""
    written.add(NIGHT[:7])
    written.sign()
    async with following(written) as followed:
        await followed.apply(NIGHT[:7])
        await followed.poll()
        before = followed.log.current
        assert before is not None
        followed.settled = False
        followed.log.start()
        await followed.rest()
        await followed.poll()
        assert followed.log.current is before
        await followed.rebuild(NIGHT[:7])
        after = followed.log.current
        assert after is not None
        assert (after.size, after.root, after.number == before.number) == (8, before.root, False)
        assert not followed.log.disagrees


async def test_what_was_shown_is_never_taken_back(
    written: WrittenLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restored record may be shorter, or another, with checkpoints of its own: what was shown stays."""
    monkeypatch.setattr(log_module, "BEHIND_MAX_S", -1.0)
    written.add(NIGHT[:7])
    written.sign(4)
    written.sign(8)
    async with following(written) as followed:
        await followed.apply(NIGHT[:7])
        await followed.poll()
        shown = followed.log.current
        assert shown is not None
        written.checkpoints.pop()
        written.change(size=4)
        await followed.rebuild(NIGHT[:5])
        await followed.poll()
        await followed.poll()
        assert followed.log.current is shown
        assert followed.log.disagrees
        written.entries[1:] = [each.body for each in [*NIGHT[:5], *ANOTHER[5:9]]]
        written.sign(10)
        await followed.rebuild([*NIGHT[:5], *ANOTHER[5:9]])
        await followed.poll()
        assert followed.log.current is shown
        assert followed.log.disagrees
        written.entries[1:] = [each.body for each in NIGHT[:9]]
        written.checkpoints.pop()
        written.sign(8)
        written.sign(10)
        await followed.rebuild(NIGHT[:9])
        await followed.poll()
        assert followed.size == 10
        assert not followed.log.disagrees


async def test_a_replica_that_lags_behind_is_no_difference(written: WrittenLog) -> None:
    """Reports may come after the checkpoint that covers them, and an older list of histories is left out."""
    written.add(NIGHT[:7])
    written.sign(8)
    async with following(written) as followed:
        await followed.poll()
        await followed.poll()
        assert (followed.size, followed.log.disagrees) == (0, False)
        await followed.apply(NIGHT[:7])
        followed.log.update_heads([])
        await followed.rest()
        assert (followed.size, followed.log.disagrees) == (8, False)


async def test_the_record_must_not_lack_what_was_signed(
    written: WrittenLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a restart, too, when nothing of it has been shown."""
    monkeypatch.setattr(log_module, "BEHIND_MAX_S", -1.0)
    written.add(NIGHT[:7])
    written.sign(4)
    written.sign(8)
    async with following(written) as followed:
        await followed.apply(NIGHT[:5])
        for _ in range(3):
            await followed.poll()
        assert (followed.size, followed.log.disagrees) == (4, True)
        await followed.apply(NIGHT[5:7])
        await followed.poll()
        assert (followed.size, followed.log.disagrees) == (8, False)


async def test_nothing_follows_the_closing_entry(written: WrittenLog) -> None:
    """The last checkpoint covers it; a report after it is noted."""
    written.add(NIGHT[:3])
    written.sign(4)
    written.close(NIGHT[2])
    written.sign(5)
    async with following(written) as followed:
        await followed.apply(NIGHT[:2])
        await followed.poll()
        assert followed.size == 0
        await followed.apply(NIGHT[2:3])
        shown = followed.log.current
        assert shown is not None
        assert (shown.size, shown.reports, shown.closing) == (5, 3, written.entries[-1])
        await followed.apply(NIGHT[3:4])
        await followed.poll()
        assert (followed.size, followed.log.disagrees) == (5, True)


async def test_cosignatures_are_added_as_they_arrive(written: WrittenLog) -> None:
    """In the order of the witnesses, the newest of each; also to a checkpoint that is not the newest."""
    written.add(NIGHT[:3])
    written.sign(2)
    written.sign(4)
    async with following(written) as followed:
        await followed.apply(NIGHT[:3])
        await followed.poll()
        shown = followed.log.current
        assert shown is not None
        for size in (2, 4):
            for witness in reversed(WITNESSES):
                written.cosign(size, witness)
        lines = [written.cosign(2, witness, at=1_757_358_400) for witness in WITNESSES]
        await followed.poll()
        assert shown.checkpoints.newest_text(4).note.count(b"\n") == 7
        note = shown.checkpoints.newest_text(2).note.decode()
        assert note == written.checkpoints[0].note + "".join(f"{line}\n" for line in lines)


async def test_lines_that_are_no_cosignatures_of_their_witnesses_are_not_shown(written: WrittenLog) -> None:
    """Whoever inserted them: they would make the note unreadable, or more than a reader has to accept."""
    written.sign()
    async with following(written) as followed:
        await followed.poll()
        assert followed.log.current is not None
        good = written.cosign(1, WITNESSES[0])
        of_other = written.cosign(1, WITNESSES[1])
        vkey = str(WITNESSES[1].vkey)
        for line in ("— w ====", "no line", good, of_other[:-8] + "AAA=", "— witness2.example.no AAAAAAA="):
            written.cosignatures[1, vkey] = msgspec.structs.replace(written.cosignatures[1, vkey], line=line)
            written.change()
            await followed.poll()
            note = followed.log.current.checkpoints.newest_text(1).note.decode()
            assert note == written.checkpoints[0].note + good + "\n", line
        for number in range(99):
            witness = SigningKey(f"w{number}", COSIGNATURE, bytes(32))
            written.cosign(1, witness)
        await followed.poll()
        note_ = parse_note(followed.log.current.checkpoints.newest_text(1).note)
        assert len(note_.signatures) == 1 + WITNESSES_MAX


async def test_a_registry_that_is_not_that_of_the_opening_is_an_alarm(
    written: WrittenLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a reader who asks for it; but not while a registry that was replaced just before is read."""
    async with following(written) as followed:
        followed.log.set_registry(b'{"another": 1}')
        await followed.poll()
        await followed.poll()
        assert not followed.log.disagrees
        monkeypatch.setattr(log_module, "REGISTRY_MAX_S", -1.0)
        await followed.poll()
        assert followed.log.disagrees
        followed.log.set_registry(REGISTRY)
        await followed.poll()
        assert not followed.log.disagrees


async def test_a_log_that_cannot_be_read_is_read_again(
    written: WrittenLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "POLL_S", 0.001)
    async with following(written) as followed:
        written.sign()
        heads = await followed.logs.heads()
        followed.logs.fails = True
        followed.log.update_heads(heads)
        await followed.rest()
        followed.logs.fails = False
        await until(lambda: followed.size == 1)


async def test_logs_are_read_one_at_a_time(written: WrittenLog) -> None:
    """Whatever is read, so that a process with many elections has connections left for their records."""
    written.sign()
    logs = FakeLogs(written)
    reading, most = 0, 0

    async def answer() -> None:
        nonlocal reading, most
        reading += 1
        most = max(most, reading)
        await asyncio.sleep(0)
        reading -= 1

    logs._answer = answer  # type: ignore[method-assign]
    one = OneAtATime(logs)
    await asyncio.gather(
        *(one.heads() for _ in range(5)),
        *(one.checkpoints(1, 1, 0, 10) for _ in range(5)),
        *(one.cosignatures(1, 1, 0, 10) for _ in range(5)),
    )
    assert most == 1


async def test_a_report_that_is_read_again_must_be_the_one_that_was_applied(written: WrittenLog) -> None:
    """In an election with a log; in others nothing is compared."""
    changed = msgspec.structs.replace(NIGHT[1], body=ANOTHER[1].body)
    async with following(written) as followed:
        await followed.apply(NIGHT[:3])
        written.add(NIGHT[:3])
        written.head = msgspec.structs.replace(written.head, origin=None)
        await followed.poll()
        followed.log.check([changed])
        written.change(origin="example.no/live/e")
        written.sign()
        await followed.poll()
        followed.log.check(NIGHT[:3])
        assert not followed.log.disagrees
        with pytest.raises(JournalUnavailable):
            followed.log.check([NIGHT[0], changed])
        assert followed.log.disagrees
        followed.log.check(NIGHT[:3])
        assert not followed.log.disagrees


async def test_an_earlier_history_is_shown_as_far_as_it_is_shared(written: WrittenLog) -> None:
    """Its tiles are computed from the tree of the newest; its checkpoints are those that were signed."""
    night = a_record(700)
    written.add([*night[:600], *a_record(40, ballots=3)])
    for size in (1, 300, 601, 641):
        written.sign(size)
    previous = Previous(origin=written.key.vkey.name, root="", shared=600, size=641)
    newest = WrittenLog("e", REGISTRY, previous=previous)
    newest.add(night)
    newest.sign(650)
    async with following(written, newest) as followed:
        await followed.apply(night)
        await followed.poll()
        assert followed.log.head == newest.head
        assert followed.size == 650
        view = followed.log.view(1)
        assert view is not None
        assert (view.size, view.covered, view.reports) == (641, 601, 600)
        earlier = Tree()
        for entry in written.entries[:601]:
            earlier.append(entry)
        for tile in (Tile(0, 0), Tile(0, 1), Tile(0, 2, 89), Tile(1, 0, 2), Tile(1, 0, 1), Tile(0, 0, 7)):
            assert view.hashes(tile) == earlier.tile(tile.level or 0, tile.index, tile.width)
        assert followed.log.view(3) is None
        (first,) = await view.checkpoints.texts(0, 1)
        assert first.note.decode() == written.checkpoints[0].note


async def test_old_checkpoints_are_read_in_pages_that_are_cached(
    written: WrittenLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One read for all that ask for a page; the newest are in memory."""
    monkeypatch.setattr(log_checkpoints, "PAGE", 4)
    monkeypatch.setattr(log_checkpoints, "TAIL_MAX", 8)
    night = a_record(40)
    written.add(night)
    for size in range(1, 41, 2):
        written.sign(size)
        written.cosign(size, WITNESSES[0])
    async with following(written) as followed:
        await followed.apply(night)
        await followed.poll()
        assert followed.log.current is not None
        checkpoints, logs = followed.log.current.checkpoints, followed.logs
        logs.reads.clear()
        assert [checkpoints.pages_to_read(first, 99) for first in (12, 11, 5, 0)] == [0, 1, 2, 3]
        assert [each.size for each in await checkpoints.texts(12, 99)] == [*range(25, 41, 2)]
        assert not logs.reads
        found = await asyncio.gather(*(checkpoints.texts(first, 15) for first in (3, 3, 2)))
        assert [[each.size for each in part] for part in found[1:]] == [
            [*range(7, 30, 2)],
            [*range(5, 30, 2)],
        ]
        assert len(logs.reads) == 3
        assert all(each.note.count(b"\n") == 6 for each in found[0][:5])
        written.checkpoints[0] = written.signed(1, root=bytes(32))
        checkpoints._pages.clear()
        with pytest.raises(JournalUnavailable):
            await checkpoints.texts(0, 1)
