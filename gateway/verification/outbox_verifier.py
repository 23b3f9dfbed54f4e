"""Verify that a signed record agrees with an outbox: read both, verify the record, and compare them.

The record is verified up to its checkpoint: signatures, quorum, root, registry and every report. What is compared is
what was sent before the checkpoint was read, so a `push` that is running meanwhile causes no alarm.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime

import msgspec

from gateway.client.outbox import Outbox
from gateway.client.outbox_file import OutboxUnavailable
from gateway.client.outbox_items import Destination, Item
from gateway.client.proof_check import canonical_report
from gateway.election.registry import Registry
from gateway.election.report import digest_of
from gateway.election.validation import Scope
from gateway.errors import GatewayError
from gateway.humanize import duration
from gateway.transparency.policy import NONE, Policy
from gateway.transparency.proof_file import ProofFile
from gateway.verification.copies import SignedRecord
from gateway.verification.failures import NotThere, VerificationFailed
from gateway.verification.outbox_checks import Agreement, Placed, Sent, compare
from gateway.verification.outbox_holds import HoldList, read_holds
from gateway.verification.outbox_proofs import KnownProof, check_known, largest_size, read_proofs, replaceable
from gateway.verification.record_checks import (
    TrustedCheckpoint,
    check_fresh,
    check_quorum,
    check_registry,
    check_root,
    check_signatures,
    registry_in,
)
from gateway.verification.record_fold import RecordFold
from gateway.verification.record_verifier import default_max_age_s

COVER_S = 15.0
"""How long to wait for a checkpoint that covers the newest receipt, in seconds; the log is 6 s behind at most."""
SHOWN_AFTER_S = 3.0
"""After how many seconds a person sees what is waited for."""
POLL_S = 1.0
PROOFS_AT_ONCE = 64
"""Proofs that are stored in one transaction."""


class UnusableOutbox(GatewayError):
    """The outbox, or the areas to verify it for, are not what they have to be; nothing was verified."""

    code = "unusable_outbox"


class VerifiedRecord(msgspec.Struct, frozen=True):
    """A record whose signatures, root, registry and reports were verified."""

    signed: TrustedCheckpoint
    fold: RecordFold
    registry: Registry
    placed: list[Placed]
    """The reports that the caller asked for."""


class OutboxResult(msgspec.Struct, frozen=True):
    """An outbox beside a verified record."""

    to: Destination
    areas: list[str]
    areas_known: bool
    """Whether the areas were given, or are those of the sender's tokens."""
    record: VerifiedRecord
    agreement: Agreement
    receipts: int
    """Reports with a receipt."""
    has_holds: bool
    """Whether the list of holds could be read."""
    proofs: int
    """Reports in the record whose proof the outbox has now."""
    new_proofs: int
    proofs_failure: str | None = None
    """Why proofs could not be stored."""


async def verify(
    record: SignedRecord,
    policy: Policy,
    outbox: Outbox,
    *,
    gateway: str | None = None,
    areas: list[str],
    max_age_s: float | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    say: Callable[[str], None] = lambda _: None,
) -> OutboxResult:
    """Compare an outbox with a record. Raises VerificationFailed, UnusableOutbox, OutboxUnavailable.

    `gateway` is the push door to which the reports were sent, if the outbox has reports for several. `areas` are those
    of the sender; if there are none, those of its tokens, or else the municipalities of its reports. `say` gets a line
    if something is waited for.
    """
    document = await record.registry()
    registry = registry_in(document)
    if registry is None:
        text = f"{record.where}: the registry cannot be read as one"
        raise VerificationFailed("registry_mismatch", text, {"registry.json": document})
    to = _destination(outbox, registry.id, gateway)
    own_areas, known = _areas(outbox, to, registry, areas)
    scope = Scope(registry, frozenset(own_areas))
    own_units = {unit for unit in registry.units if unit in scope}
    before = sent_reports(outbox, to)
    proofs = read_proofs(outbox.proofs.stored(to), policy)
    signed = await _covering(
        record, policy, max((each.sequence or 0 for each in before), default=0), proofs, say
    )
    try:
        verified = await verify_record(
            record, signed, document, registry, own_units | {each.unit for each in before}
        )
        check_known(proofs, signed, verified.fold.tree)
        await _check_age(record, verified, policy, max_age_s, clock())
    except VerificationFailed as failed:
        failed.evidence.setdefault("checkpoint", signed.data)
        raise
    holds = await read_holds(record)
    agreement = compare(
        before,
        sent_reports(outbox, to),
        verified.placed,
        (holds or HoldList()).last,
        own_units,
        signed.checkpoint.size,
    )
    worthless = replaceable(proofs, signed, verified.fold.tree)
    new, failure = _store_proofs(outbox, to, agreement, verified, worthless)
    receipts = [each for each in before if each.has_receipt]
    return OutboxResult(
        to=to,
        areas=own_areas,
        areas_known=known,
        record=verified,
        agreement=agreement,
        receipts=len(receipts),
        has_holds=holds is not None,
        proofs=sum(1 for _ in outbox.proofs.stored(to)),
        new_proofs=new,
        proofs_failure=failure,
    )


async def verify_record(
    record: SignedRecord, signed: TrustedCheckpoint, document: bytes, registry: Registry, units: set[str]
) -> VerifiedRecord:
    """Verify everything that a checkpoint covers, and return the reports of some units. Raises VerificationFailed."""
    check_quorum(signed)
    checkpoint = signed.checkpoint
    fold = RecordFold(registry)
    placed: list[Placed] = []
    try:
        async for entries in record.entries(checkpoint.size):
            placed += [
                Placed(each.sequence, each.unit, each.revision, each.digest)
                for each in fold.add(entries)
                if each.unit in units
            ]
    except NotThere as error:
        text = f"the checkpoint has size {checkpoint.size}, and not all of its entries are there: {error}"
        raise VerificationFailed("root_mismatch", text) from None
    check_root(checkpoint, fold.tree)
    if fold.opening is not None:
        check_registry(checkpoint.origin, fold.opening, document, registry)
    if fold.failure is not None:
        raise fold.failure
    if fold.opening is None:
        raise VerificationFailed(
            "registry_mismatch", "the log has no opening entry, which names the registry"
        )
    return VerifiedRecord(signed, fold, registry, placed)


def sent_reports(outbox: Outbox, to: Destination) -> list[Sent]:
    """Return all reports in an outbox for a destination. Raises OutboxUnavailable."""
    return [each for item, _ in outbox.all_reports(to) if (each := _sent(item)) is not None]


def _sent(item: Item) -> Sent | None:
    entry = canonical_report(item.body)
    if entry is None:  # never sent: the gateway would have refused it
        return None
    answer = item.answer
    has_receipt = answer is not None and answer.has_receipt
    return Sent(
        key=item.key,
        unit=item.unit,
        revision=item.revision,
        digest=digest_of(entry),
        has_receipt=has_receipt,
        state=answer.state if answer is not None else None,
        sequence=answer.sequence if answer is not None and has_receipt else None,
        accepted_at=answer.accepted_at if answer is not None else None,
    )


def _destination(outbox: Outbox, election: str, gateway: str | None) -> Destination:
    """Return the destination whose reports are compared. Raises UnusableOutbox."""
    if gateway is not None:
        return Destination(gateway, election)
    found = outbox.destinations(election)
    if len(found) > 1:
        named = ", ".join(each.gateway for each in found)
        raise UnusableOutbox(
            f"the outbox has reports for several gateways: {named}; name one with --push-url"
        )
    if not found:
        raise UnusableOutbox(
            f"the outbox has no report of the election {election}; if none was sent, name the gateway with --push-url"
        )
    return found[0]


def _areas(outbox: Outbox, to: Destination, registry: Registry, given: list[str]) -> tuple[list[str], bool]:
    """Return the sender's areas, and whether they are known. Raises UnusableOutbox."""
    if unknown := [area for area in given if area not in registry.by_id]:
        raise UnusableOutbox(f"no area {unknown[0]!r} in the election {registry.id}; correct --areas")
    if found := given or [area for area in outbox.proofs.areas(to) if area in registry.by_id]:
        return found, True
    units = {item.unit for item, _ in outbox.all_reports(to)}
    named = {registry.municipality(registry.units[unit]).id for unit in units if unit in registry.units}
    if not named:
        raise UnusableOutbox("the outbox does not know your areas; name them with --areas")
    return sorted(named), False


async def _covering(
    record: SignedRecord,
    policy: Policy,
    sequence: int,
    known: Sequence[KnownProof],
    say: Callable[[str], None],
) -> TrustedCheckpoint:
    """Return the newest checkpoint; of a feed door, wait at most COVER_S for one that covers what the outbox knows."""
    clock = asyncio.get_running_loop().time
    began = clock()
    said = False
    while True:
        signed = check_signatures(await record.checkpoint(), policy)
        size = max(sequence + 1, largest_size(known, signed.checkpoint.origin))
        if not record.is_door or signed.checkpoint.size >= size or clock() > began + COVER_S:
            return signed
        if not said and clock() > began + SHOWN_AFTER_S:
            said = True
            say(f"waiting up to {duration(COVER_S)} for a checkpoint that covers your newest receipt")
        await asyncio.sleep(POLL_S)


async def _check_age(
    record: SignedRecord, verified: VerifiedRecord, policy: Policy, max_age_s: float | None, now: datetime
) -> None:
    """Require fresh cosignatures of a record that goes on, as `verify record` does. Raises VerificationFailed."""
    if not record.is_door or policy.quorum == NONE or verified.fold.closing is not None:
        return
    last = verified.fold.reports
    published_at: datetime | None = None
    if max_age_s is None and last:
        async for lines in record.publications(last - 1, last):
            published_at = lines[-1].published_at
    check_fresh(verified.signed, policy, now, max_age_s or default_max_age_s(published_at, now))


def _store_proofs(
    outbox: Outbox,
    to: Destination,
    agreement: Agreement,
    verified: VerifiedRecord,
    worthless: Collection[tuple[str, int]],
) -> tuple[int, str | None]:
    """Store the proofs that the outbox lacks, made from the verified record; return how many, and what prevents it.

    Proofs in `worthless`, which the policy does not accept, are replaced.
    """
    places = {sent.key: placed.sequence for sent, placed in agreement.found}
    lacking = [item for item in outbox.proofs.missing(to) if item.key in places]
    if worthless:
        lacking += [
            item
            for item in outbox.proofs.proved(to)
            if (item.unit, item.revision) in worthless and item.key in places
        ]
    stored = 0
    try:
        for at in range(0, len(lacking), PROOFS_AT_ONCE):
            batch = lacking[at : at + PROOFS_AT_ONCE]
            outbox.proofs.store([(item, proof_of(verified, item, places[item.key])) for item in batch])
            stored += len(batch)
    except OutboxUnavailable as error:
        return stored, str(error)
    return stored, None


def proof_of(verified: VerifiedRecord, item: Item, sequence: int) -> bytes:
    """Return the proof file of a report in a verified record."""
    size = verified.signed.checkpoint.size
    hashes = tuple(verified.fold.tree.inclusion_proof(sequence, size))
    return ProofFile(sequence, hashes, verified.signed.note, canonical_report(item.body)).encode()
