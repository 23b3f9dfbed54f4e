"""Cosignatures: what is asked of witnesses, and that none of them delays or stops anything."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from gateway.election.log_record import Cosignature
from gateway.errors import JournalUnavailable
from gateway.signer import cosigning
from gateway.signer.cosigning import Cosigning
from gateway.signer.steps import Signed, Witnessed
from gateway.signer.witness_client import Answer
from gateway.transparency.checkpoint import Checkpoint
from gateway.transparency.ed25519 import ED25519, SigningKey
from gateway.transparency.tree import Tree
from tests.journal.makers import until
from tests.signer.fake_witness import FakeWitness

ORIGIN = "results.example.no/live/e"
KEY = SigningKey(ORIGIN, ED25519, bytes(32))


def tree_of(size: int) -> Tree:
    tree = Tree()
    for index in range(size):
        tree.append(b"entry %d" % index)
    return tree


TREE = tree_of(20)


def signed(size: int) -> Signed:
    return Signed(size, TREE.root(size))


def note(size: int) -> bytes:
    return Checkpoint(ORIGIN, size, TREE.root(size)).signed_by(KEY).encode()


class SlowWitness(FakeWitness):
    """Answers submissions only when it is allowed to."""

    def __init__(self) -> None:
        super().__init__("witness.example/slow", seed=9)
        self.allowed = asyncio.Event()

    async def submit(
        self, origin: str, old_size: int, consistency_proof: Sequence[bytes], note: bytes
    ) -> Answer:
        """Wait, then answer."""
        await self.allowed.wait()
        return await super().submit(origin, old_size, consistency_proof, note)


class Asking:
    """Asks witnesses, and notes what is added."""

    def __init__(self, *witnesses: FakeWitness) -> None:
        self.added: list[Cosignature] = []
        self.ahead = 0
        self.fails = False
        self.cosigning = Cosigning(ORIGIN, witnesses, self._add, self._note_ahead)

    async def _add(self, cosignature: Cosignature) -> None:
        if self.fails:
            raise JournalUnavailable("down")
        self.added.append(cosignature)

    def _note_ahead(self) -> None:
        self.ahead += 1

    async def ask(self, size: int) -> None:
        """Submit a checkpoint and insert it."""
        await self.cosigning.submit(signed(size), note(size), TREE)
        await self.cosigning.inserted(size)

    async def is_idle(self) -> bool:
        """Whether no witness is being asked."""
        return not any(asked.task for asked in self.cosigning._asked)

    def sizes(self) -> list[int]:
        return [each.size for each in self.added]


async def test_a_cosignature_is_added_after_the_checkpoint() -> None:
    """With its line and its time, and once."""
    witness = FakeWitness()
    asking = Asking(witness)
    await asking.cosigning.submit(signed(3), note(3), TREE)
    assert asking.added == []
    await asking.cosigning.inserted(3)
    await asking.cosigning.inserted(3)
    (added,) = asking.added
    assert (added.size, added.witness) == (3, str(witness.vkey))
    assert added.line.startswith(f"— {witness.vkey.name} ")
    assert not added.line.endswith("\n")
    assert asking.cosigning.cosigned(3) == [datetime.fromtimestamp(witness.now, UTC)]
    await asking.ask(7)
    assert asking.sizes() == [3, 7]
    assert [old for _, old, _ in witness.submitted] == [0, 3]
    assert asking.cosigning.cosigned(3) == []


async def test_a_slow_witness_is_added_later_and_delays_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for one checkpoint at a time; the next one that it is asked for is the newest."""
    monkeypatch.setattr(cosigning, "WAIT_S", 0.05)
    slow, quick = SlowWitness(), FakeWitness()
    asking = Asking(slow, quick)
    for size in (3, 5, 7):
        await asking.ask(size)
    assert asking.sizes() == [3, 5, 7]
    assert {each.witness for each in asking.added} == {str(quick.vkey)}
    slow.allowed.set()
    await asking.ask(9)
    assert {each.size for each in asking.added if each.witness == str(slow.vkey)} == {3}
    await asking.ask(11)
    assert [each.size for each in asking.added if each.witness == str(slow.vkey)] == [3, 11]
    await asking.cosigning.close()


async def test_a_witness_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that it is asked again."""
    monkeypatch.setattr(cosigning, "WAIT_S", 0.01)
    monkeypatch.setattr(cosigning, "LATE_S", 0.02)
    slow = SlowWitness()
    asking = Asking(slow)
    await asking.ask(3)
    await until(asking.is_idle)
    slow.allowed.set()
    await asking.ask(5)
    assert asking.sizes() == [5]


async def test_the_size_in_a_conflict_is_used_at_once() -> None:
    """After a restart, the signer does not know what a witness has cosigned."""
    witness = FakeWitness()
    await Asking(witness).ask(6)
    asking = Asking(witness)
    await asking.ask(9)
    assert asking.sizes() == [9]
    assert [old for _, old, _ in witness.submitted] == [0, 0, 6]


async def test_a_witness_that_is_ahead_or_disagrees_is_reported_and_stops_nothing() -> None:
    """What it has cosigned is asked for before the next checkpoint."""
    witness = FakeWitness()
    await Asking(witness).ask(9)
    asking = Asking(witness)
    await asking.ask(4)
    assert (asking.ahead, asking.added) == (1, [])
    other = Checkpoint(ORIGIN, 9, bytes(32)).signed_by(KEY).encode()
    await asking.cosigning.submit(Signed(9, bytes(32)), other, TREE)
    await asking.cosigning.inserted(9)
    assert asking.added == []


async def test_what_witnesses_know_is_asked_at_the_start() -> None:
    """Only checkpoints with the signature of the log count; one that shows none is asked by a submission."""
    shows, sizes, absent = FakeWitness(), FakeWitness(seed=8, offers_newest=False), FakeWitness(seed=9)
    for witness in (shows, sizes):
        await Asking(witness).ask(9)
    absent.unreachable = True
    asking = Asking(shows, sizes, absent)
    assert await asking.cosigning.known(signed(4), note(4), [KEY.vkey]) == Witnessed(
        [signed(9)], 9, sizes.vkey.name
    )
    stranger = SigningKey(ORIGIN, ED25519, bytes([1]) * 32)
    assert await asking.cosigning.known(signed(9), note(9), [stranger.vkey]) == Witnessed([], 0)
    assert await Asking().cosigning.known(signed(4), note(4), [KEY.vkey]) == Witnessed()


async def test_a_cosignature_that_cannot_be_added_is_added_later() -> None:
    """The database may be away for a moment."""
    asking = Asking(FakeWitness())
    asking.fails = True
    await asking.ask(3)
    asking.fails = False
    await asking.cosigning.inserted(3)
    assert asking.sizes() == [3]
