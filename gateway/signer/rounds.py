"""What a signer does in a round, step by step, and when it refuses: decisions without I/O.

A round reads what is public, checks that it is consistent with everything that was signed, and then signs what is new,
in this order: a write transaction of its own is committed (so the standby has all that was read), size and root are
written to the directory, the checkpoint is signed, the witnesses are asked, the checkpoint is inserted. A round may end
between any two steps, by a crash, an error or a cancellation; the next one continues. PURE.
"""

from collections.abc import Generator
from typing import Any, TypeVar

from gateway.signer.record_tree import Changed, FullRead, RecordTree
from gateway.signer.steps import (
    AskWitnesses,
    Begin,
    Begun,
    Covered,
    Insert,
    NoLog,
    Outcome,
    ReadEntries,
    ReadLog,
    ReadSigned,
    RecordRefused,
    Shown,
    Sign,
    Signed,
    Step,
    Store,
    Submit,
    Waiting,
    Witnessed,
)

PAGE = 256
"""Reports that are read at once; together at most 16 MiB."""
PAGES_AGAIN = 128
"""Pages of those entries that are read again in one round, so that what is new does not wait for all of them."""
BEHIND, FORKED = "record_behind", "record_forked"

UNCONFIRMED = Waiting("reports that were signed are waiting for their confirmation by the standby")
ANOTHER = Waiting("another signer signs this log, too")
REPLACED = Waiting("the database was replaced while the record was read")

T = TypeVar("T")
Steps = Generator[Step, Any, T]


class LogMemory:
    """What a signer remembers of one log while it runs. Everything in it can be lost."""

    def __init__(self) -> None:
        self.record = RecordTree()
        self.read_in_full = False
        """Whether the entries were all read since the start."""
        self.witnessed: Witnessed | None = None
        """What the witnesses had cosigned at the start; None: they are to be asked."""
        self.changed: str | None = None
        """What a full read found changed below the size that was signed."""
        self.rechecked: int | None = None
        """Up to which sequence the entries have been read again; None if that is not under way."""
        self.broken_chains = 0
        """Full reads in a row after which the chain did not follow from the entries."""
        self.number: int | None = None
        """The last round that this signer began."""


def sign_round(memory: LogMemory, *, full: bool = False) -> Steps[Outcome]:
    """Perform one round; with `full`, begin to read all entries again, which later rounds complete."""
    signed: Signed = yield ReadSigned()  # what was signed is read before the record, which only grows
    if memory.witnessed is None:
        memory.witnessed = yield AskWitnesses(signed)
    shown: Shown = yield ReadLog()
    if shown.opening is None:
        return NoLog()
    unsettled = yield from _read(memory, shown, signed, full)
    if unsettled is not None:
        return unsettled
    if verdict := _judge(memory, shown, signed):
        return verdict
    if not _is_due(memory.record, shown, signed):
        return Covered(_newest(shown, signed), memory.record.closed, inserted=False)
    return (yield from _sign(memory, signed))


def check_round(memory: LogMemory) -> Steps[Outcome]:
    """Check as a round does, after reading all entries, and change nothing."""
    signed: Signed = yield ReadSigned()  # first, so that a signer that runs meanwhile cannot be ahead of what is read
    memory.witnessed = yield AskWitnesses(signed)
    shown: Shown = yield ReadLog()
    if shown.opening is None:
        return NoLog()
    unsettled = yield from _read(memory, shown, signed, full=True)
    if unsettled is not None:
        return unsettled
    if verdict := _judge(memory, shown, signed):
        return verdict
    return Covered(_newest(shown, signed), memory.record.closed, inserted=False)


def _read(
    memory: LogMemory, shown: Shown, signed: Signed, full: bool
) -> Steps[Waiting | RecordRefused | None]:
    """Read entries until the tree has all that the database shows; return why it does not."""
    if not full and memory.changed is not None:
        return RecordRefused(FORKED, memory.changed)  # until the next full read
    if memory.changed is None and memory.read_in_full:
        if shown.sequence < memory.record.sequence <= shown.accepted:
            return UNCONFIRMED
        if (yield from _read_on(memory.record, shown)):
            if full and memory.rechecked is None:
                memory.rechecked = 0
            return (yield from _recheck(memory, signed))
    memory.rechecked = None
    return (yield from _read_all(memory, shown, signed))


def _recheck(memory: LogMemory, signed: Signed) -> Steps[Waiting | RecordRefused | None]:
    """Read some of the entries again that the tree has, if that is under way; return whether one was changed."""
    record = memory.record
    for _ in range(PAGES_AGAIN):
        if memory.rechecked is None:
            break
        bodies = yield ReadEntries(memory.rechecked, min(PAGE, record.sequence - memory.rechecked))
        differs = record.first_difference(memory.rechecked, bodies)
        if differs is not None and differs < signed.size and record.has(signed):
            return _refuse_changed(memory, _not_signed(differs))
        if differs is not None or (not bodies and memory.rechecked < record.sequence):
            memory.read_in_full = False
            return REPLACED
        memory.rechecked += len(bodies)
        if memory.rechecked >= record.sequence:
            memory.rechecked = None
    return None


def _read_on(record: RecordTree, shown: Shown) -> Steps[bool]:
    """Read the reports after those that the tree has; return whether the tree now is what the database shows."""
    if not record.follows(shown):
        return False
    if record.is_all_of(shown):
        return True
    record.reopen()
    while record.sequence < shown.sequence:
        bodies = yield ReadEntries(record.sequence, min(PAGE, shown.sequence - record.sequence))
        if not bodies:
            return False
        record.append(bodies)
    record.close(shown.closing)
    return record.is_all_of(shown)


def _read_all(memory: LogMemory, shown: Shown, signed: Signed) -> Steps[Waiting | RecordRefused | None]:
    """Compare all entries with the tree, which then has what the database shows; return why it does not."""
    record, opening = memory.record, shown.opening
    assert opening is not None
    verified = signed.size if record.has(signed) else 0
    memory.read_in_full = False
    try:
        reading = FullRead(record, opening, verified)
        while reading.sequence < shown.sequence:
            bodies = yield ReadEntries(reading.sequence, min(PAGE, shown.sequence - reading.sequence))
            if not bodies:
                return REPLACED
            reading.compare(bodies)
    except Changed as change:
        return _refuse_changed(memory, _not_signed(change.index))
    reading.end()
    record.close(shown.closing)
    if not record.is_all_of(shown):
        memory.broken_chains += 1
        if memory.broken_chains == 1:
            return REPLACED  # unless it happens again
        return _refuse_changed(
            memory, f"the chain at sequence {shown.sequence} does not follow from the entries"
        )
    memory.read_in_full, memory.changed, memory.broken_chains = True, None, 0
    return None


def _not_signed(index: int) -> str:
    return f"entry {index} is not the one that was signed"


def _refuse_changed(memory: LogMemory, reason: str) -> RecordRefused:
    memory.changed, memory.rechecked = reason, None
    return RecordRefused(FORKED, reason)


def _judge(memory: LogMemory, shown: Shown, signed: Signed) -> Waiting | RecordRefused | None:
    """Return why nothing may be signed, if the record contradicts something that was."""
    if shown.foreign:
        return RecordRefused(
            FORKED,
            "the newest checkpoint in the database is signed by none of the keys in the directory: if that is not the"
            " directory that signed it, restore that one",
        )
    known = [(signed, "this signer signed")]
    if shown.newest is not None:
        known.append((shown.newest, "the database has a checkpoint of"))
    witnessed = memory.witnessed or Witnessed()
    known += [(each, "a witness cosigned") for each in witnessed.checkpoints]
    record = memory.record
    for each, what in known:
        if each.size <= record.size and not record.has(each):
            return RecordRefused(FORKED, f"{what} {each.size} entries, and the record has others")
    size, what = max((each.size, what) for each, what in known)
    if max(size, record.size) < witnessed.size:
        size, what = witnessed.size, f"the witness {witnessed.name} says without proof that it cosigned"
    if size <= record.size:
        return None
    if shown.sequence < shown.accepted and size <= shown.accepted + 2:  # opening and closing are no reports
        return UNCONFIRMED
    return RecordRefused(BEHIND, f"{what} {size} entries, and the record has only {record.size}")


def _newest(shown: Shown, signed: Signed) -> Signed:
    """Return the larger of what the directory and the table have."""
    return shown.newest if shown.newest is not None and shown.newest.size > signed.size else signed


def _is_due(record: RecordTree, shown: Shown, signed: Signed) -> bool:
    """Whether the tree, the directory and the table do not all have the same size, or the log is to be declared."""
    settled = shown.newest is not None and record.size == signed.size == shown.newest.size
    return not settled or not shown.declared


def _sign(memory: LogMemory, signed: Signed) -> Steps[Outcome]:
    begun: Begun = yield Begin()
    record, shown = memory.record, begun.shown
    others = memory.number is not None and begun.number != memory.number + 1
    memory.number = begun.number
    if others:  # another signer, or a failover
        memory.witnessed = yield AskWitnesses(signed)
    if not (yield from _read_on(record, shown)):  # it has to be what the server has that committed
        memory.read_in_full = False
        return REPLACED
    if verdict := _judge(memory, shown, signed):
        if others and isinstance(verdict, RecordRefused):
            return ANOTHER  # the next round judges what it reads
        return verdict
    if signed.size and (shown.newest is None or signed.size > shown.newest.size):
        yield from _publish(begun.number, signed)  # signed before, but not in the table: byte for byte again
    newest = _newest(shown, signed)
    inserted = newest != shown.newest
    if record.size > newest.size:
        newest = Signed(record.size, record.tree.root())
        yield Store(newest)
        yield from _publish(begun.number, newest)
        inserted = True
    elif newest != signed:
        yield Store(newest)  # the directory is older than the table
    return Covered(newest, record.closed, inserted)


def _publish(number: int, signed: Signed) -> Steps[None]:
    note: str = yield Sign(signed)
    yield Submit(signed, note)
    yield Insert(number, signed, note)
