"""PURE: whether a proof file shows that a report is in a log (section 12.6 of the contract, `verify receipt`).

Nothing but the file and the keys is needed. The signatures are checked first, then the quorum, then the proof.
"""

from base64 import b64encode

import msgspec
import orjson

from gateway.election.report import Report, canonical, decode_stored, digest_of
from gateway.transparency.merkle import ProofInvalid, leaf_hash, verify_inclusion
from gateway.transparency.note import MalformedNote
from gateway.transparency.policy import Policy
from gateway.transparency.proof_file import ProofFile, parse_proof
from gateway.verification.failures import VerificationFailed
from gateway.verification.record_checks import TrustedCheckpoint, check_quorum, check_signatures


class VerifiedReceipt(msgspec.Struct, frozen=True):
    """What a proof file shows."""

    unit: str
    revision: int
    sequence: int
    digest: str
    """SHA-256 of the report's canonical bytes, in hex, as in its receipt."""
    origin: str
    size: int
    """Of the checkpoint."""
    root: str
    log_keys: list[str]
    """The keys of the log that have signed it."""
    quorum: str
    report_compared: bool
    """Whether the report that was given is this one."""


def verify_receipt(file: bytes, policy: Policy, report: bytes | None = None) -> VerifiedReceipt:
    """Verify a proof file; `report` is the canonical form of the report that it is to be for.

    Raises VerificationFailed (bad_signature, too_few_witnesses, not_included, not_that_report).
    """
    try:
        proof = parse_proof(file)
    except MalformedNote as error:
        raise VerificationFailed("not_included", f"not a proof file: {error}") from None
    signed = check_signatures(proof.note.encode(), policy)
    check_quorum(signed)
    entry = _included(proof, signed, report)
    found = _as_report(entry)
    if found is None:
        text = f"the proof is for entry {proof.index} of the log, which is not a report"
        raise VerificationFailed("not_included", text)
    return VerifiedReceipt(
        unit=found.unit,
        revision=found.revision,
        sequence=proof.index,
        digest=digest_of(entry).hex(),
        origin=signed.checkpoint.origin,
        size=signed.checkpoint.size,
        root=b64encode(signed.checkpoint.root).decode(),
        log_keys=[str(key) for key in signed.agreement.log_keys],
        quorum=signed.agreement.sentence,
        report_compared=report is not None,
    )


def _included(proof: ProofFile, signed: TrustedCheckpoint, report: bytes | None) -> bytes:
    """Return the entry that the proof is for: the report that was given, or else the one in the file."""
    entry = report if report is not None else proof.extra
    if entry is None:
        text = "the file does not contain the report; name it with --report"
        raise VerificationFailed("not_included", text)
    failure = _failure_of(proof, signed, entry)
    if failure is None:
        return entry
    if (
        report is not None
        and proof.extra not in (None, report)
        and _failure_of(proof, signed, proof.extra) is None
    ):
        text = f"the proof is valid, but for another report than the one that was given{_named(proof.extra)}"
        raise VerificationFailed("not_that_report", text)
    text = f"it does not show that the report is in the log: {failure}"
    raise VerificationFailed("not_included", text)


def _failure_of(proof: ProofFile, signed: TrustedCheckpoint, entry: bytes) -> ProofInvalid | None:
    checkpoint = signed.checkpoint
    try:
        verify_inclusion(proof.index, checkpoint.size, leaf_hash(entry), proof.hashes, checkpoint.root)
    except ProofInvalid as error:
        return error
    return None


def _named(entry: bytes) -> str:
    found = _as_report(entry)
    return f": it is for unit {found.unit}, revision {found.revision}" if found is not None else ""


def _as_report(entry: bytes) -> Report | None:
    """Return an entry as a report; None for an opening or closing entry, and for anything else."""
    try:
        return decode_stored(entry)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def read_report(content: bytes) -> bytes | None:
    """Return the canonical bytes of the report in a file: as it was sent, or as `report` of a document of a door.

    None if the file is not JSON with exactly one report.
    """
    try:
        document = orjson.loads(content)
        if isinstance(document, list) and len(document) == 1:
            (document,) = document
        if not isinstance(document, dict):
            return None
        inner = document.get("report")
        return canonical(inner if isinstance(inner, dict) and "unit" not in document else document)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return None
