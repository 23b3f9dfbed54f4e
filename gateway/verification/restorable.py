"""Read a copy of a signed record completely, so that it can be restored: nothing is used before all of it is verified.

Entries are kept in a file while they are verified, and restored from there; so what is restored is what was verified,
whatever happens to the copy meanwhile.
"""

import struct
from array import array
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import BinaryIO

import orjson

from gateway.election.log_record import Cosignature, SignedCheckpoint, VerifiedCopy
from gateway.election.record import CHAIN_START, next_chain
from gateway.election.registry_reading import read_registry
from gateway.transparency.checkpoint import open_checkpoint
from gateway.transparency.cosignature import verify_cosignature
from gateway.transparency.note import BadSignature, MalformedNote, Note, parse_note
from gateway.transparency.policy import Policy
from gateway.transparency.tree import Tree
from gateway.verification.copies import CheckpointLine, SignedRecord
from gateway.verification.failures import NotThere, VerificationFailed
from gateway.verification.record_checks import check_quorum, check_registry, check_root, check_signatures
from gateway.verification.record_fold import RecordFold

_LENGTH = struct.Struct(">H")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_CLOCKS_DIFFER = timedelta(minutes=5)
"""How much later than now a time in a copy may be, as the clocks of machines differ."""


@dataclass(frozen=True)
class _Reports:
    """The reports of a verified record, in a file."""

    count: int
    file: BinaryIO
    published: "array[int]"
    """When each was published, in microseconds since 1970."""

    def bodies(self) -> Iterator[bytes]:
        """Yield the canonical bytes of every report, in order."""
        self.file.seek(0)
        for _ in range(self.count):
            (length,) = _LENGTH.unpack(self.file.read(_LENGTH.size))
            yield self.file.read(length)

    def published_at(self, sequence: int) -> datetime:
        """Return when a report was published."""
        return _EPOCH + self.published[sequence - 1] * _MICROSECOND


async def read_restorable(
    record: SignedRecord, policy: Policy, registry: bytes, file: BinaryIO
) -> VerifiedCopy:
    """Read and verify a record of the election with a registry, as far as its newest checkpoint covers it.

    `file` takes its reports. Raises VerificationFailed.
    """
    signed = check_signatures(await record.checkpoint(), policy)
    check_quorum(signed)
    checkpoint = signed.checkpoint
    known = read_registry(orjson.loads(registry), stored=True)
    fold = RecordFold(known)
    async for entries in record.entries(checkpoint.size):
        bodies = (report.body for report in fold.add(entries))
        file.writelines(_LENGTH.pack(len(body)) + body for body in bodies)
    check_root(checkpoint, fold.tree)
    if fold.opening is None:
        raise fold.failure or VerificationFailed("missing", "the newest checkpoint covers no entry")
    check_registry(checkpoint.origin, fold.opening, registry, known)
    with suppress(NotThere):  # a copy by others may have no registry
        check_registry(checkpoint.origin, fold.opening, await record.registry(), known)
    if fold.failure is not None:
        raise fold.failure
    file.flush()
    lines = [line async for line in _lines(record, signed.note, checkpoint.size)]
    kept, cosignatures, unknown = _checkpoints(lines, policy, checkpoint.origin, fold.tree)
    published = await _published(record, fold)
    from_checkpoints = fold.reports - len(published)
    _fill(published, fold.reports, kept)
    reports = _Reports(fold.reports, file, published)
    return VerifiedCopy(
        origin=checkpoint.origin,
        opening=fold.opening,
        closing=fold.closing,
        vkeys=[str(key) for key in signed.agreement.log_keys],
        witnesses=[str(witness.key) for witness in policy.witnesses.values()],
        size=checkpoint.size,
        reports=fold.reports,
        bodies=reports.bodies,
        root=fold.tree.root,
        published_at=reports.published_at,
        checkpoints=kept,
        cosignatures=cosignatures,
        unknown_checkpoints=unknown,
        times_from_checkpoints=from_checkpoints,
    )


async def _lines(record: SignedRecord, newest: Note, size: int) -> AsyncIterator[CheckpointLine]:
    """Yield the checkpoints of the copy up to a size, and then the newest one, unless it was among them."""
    last = 0
    async for line in record.checkpoints():
        if line.size <= size:
            last = line.size
            yield line
    if last < size:
        now = datetime.now(UTC)
        times = [_EPOCH + timedelta(seconds=at) for at in _times(newest)]
        root = newest.text.split("\n")[2]
        signed_at = min(max(times, default=now), now)  # anybody can add a line that looks like a cosignature
        yield CheckpointLine(size, root, signed_at, newest.encode().decode())


def _times(note: Note) -> Iterator[int]:
    """Yield the times of the cosignatures of a note; others have no time."""
    for signature in note.signatures:
        if len(signature.signature) == 72:
            at = int.from_bytes(signature.signature[:8], "big")
            if at < 1 << 33:
                yield at


def _checkpoints(
    lines: Sequence[CheckpointLine], policy: Policy, origin: str, tree: Tree
) -> tuple[list[SignedCheckpoint], list[Cosignature], int]:
    """Verify checkpoints; return those with a signature of a given key, their cosignatures, and how many others are.

    Nobody has signed the times of checkpoints; but they must be past.
    """
    now = datetime.now(UTC) + _CLOCKS_DIFFER
    kept: list[SignedCheckpoint] = []
    cosignatures: list[Cosignature] = []
    unknown = 0
    for line in lines:
        where = f"the checkpoint of size {line.size}"
        try:
            note = parse_note(line.note.encode())
            mine = {(log.key.name, log.key.key_id) for log in policy.logs}
            if not any((each.name, each.key_id) in mine for each in note.signatures):
                unknown += 1
                continue
            checkpoint, _ = open_checkpoint(note, [log.key for log in policy.logs])
        except (MalformedNote, BadSignature) as error:
            raise VerificationFailed("bad_signature", f"{where}: {error}") from None
        if (checkpoint.origin, checkpoint.size) != (origin, line.size):
            raise VerificationFailed(
                "bad_signature", f"{where} is one of {checkpoint.origin}, size {checkpoint.size}"
            )
        if line.signed_at > now:
            raise VerificationFailed("bad_signature", f"{where} has a time in the future")
        if not 0 < checkpoint.size <= tree.size or checkpoint.root != tree.root(checkpoint.size):
            text = f"{where} has the root {b64encode(checkpoint.root).decode()}, which is not that of the entries"
            raise VerificationFailed("forked", text, {"checkpoint": line.note.encode()})
        if kept and kept[-1].size >= checkpoint.size:
            raise VerificationFailed("bad_signature", f"{where} follows one of size {kept[-1].size}")
        of_log = tuple(each for each in note.signatures if each.name == origin)
        text = Note(note.text, of_log).encode().decode()
        kept.append(SignedCheckpoint(checkpoint.size, checkpoint.root, line.signed_at, text))
        cosignatures += _cosignatures(note, policy, line.size, where)
    return kept, cosignatures, unknown


def _cosignatures(note: Note, policy: Policy, size: int, where: str) -> Iterator[Cosignature]:
    """Verify the cosignatures of witnesses of the policy; those of others are left out."""
    for witness in policy.witnesses.values():
        newest: Cosignature | None = None
        for signature in note.signatures:
            if not witness.key.made(signature):
                continue
            try:
                at = _EPOCH + timedelta(seconds=verify_cosignature(witness.key, note.text, signature))
            except (BadSignature, MalformedNote, OverflowError) as error:
                raise VerificationFailed("bad_signature", f"{where}: {error}") from None
            if newest is None or at > newest.at:
                newest = Cosignature(size, str(witness.key), at, signature.line.rstrip("\n"))
        if newest is not None:
            yield newest


async def _published(record: SignedRecord, fold: RecordFold) -> "array[int]":
    """Return when each report was published, as far as the copy has it. It must agree with the entries.

    Nobody has signed these times; but they must be past, and not decrease.
    """
    now = (datetime.now(UTC) + _CLOCKS_DIFFER - _EPOCH) // _MICROSECOND
    published = array("q")
    if not record.has_publications:
        return published
    chain = CHAIN_START
    async for lines in record.publications(0, fold.reports):
        for line in lines:
            sequence = len(published) + 1
            digest = fold.digest(sequence)
            chain = next_chain(chain, digest)
            if (line.sequence, line.digest, line.chain) != (sequence, digest.hex(), chain.hex()):
                text = f"publication {line.sequence} of {record.where} is not that of entry {sequence}"
                raise VerificationFailed("chain_mismatch", text)
            at = (line.published_at - _EPOCH) // _MICROSECOND
            if not (published[-1] if published else at) <= at <= now:
                text = f"publication {sequence} of {record.where} has a time in the future, or before the last one"
                raise VerificationFailed("chain_mismatch", text)
            published.append(at)
    return published


def _fill(published: "array[int]", reports: int, checkpoints: Sequence[SignedCheckpoint]) -> None:
    """Add the times of the remaining reports: each is that of the first checkpoint that covers it."""
    covering = iter(checkpoints)
    checkpoint = next(covering, None)
    for sequence in range(len(published) + 1, reports + 1):
        while checkpoint is not None and checkpoint.size <= sequence:
            checkpoint = next(covering, None)
        at = checkpoint.signed_at if checkpoint is not None else datetime.now(UTC)
        now = (at - _EPOCH) // _MICROSECOND
        published.append(max(now, published[-1] if published else now))
