"""PURE: whether a proof file is for a report, as far as that can be said without the keys of the log."""

import orjson

from gateway.election.report import canonical
from gateway.errors import GatewayError
from gateway.transparency.checkpoint import parse_checkpoint
from gateway.transparency.merkle import ProofInvalid, leaf_hash, verify_inclusion
from gateway.transparency.note import MalformedNote
from gateway.transparency.proof_file import ProofFile, parse_proof


class WrongProof(GatewayError):
    """A proof file that is not a proof for the report; the message says why."""

    code = "wrong_proof"


def canonical_report(body: bytes) -> bytes | None:
    """Return the canonical bytes of a report, its entry in the log; None if the bytes are not JSON."""
    try:
        return canonical(orjson.loads(body))
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return None


def check_proof(file: bytes, report: bytes, sequence: int | None = None) -> ProofFile:
    """Return the proof in a file if it leads from this report to the root of its checkpoint. Raises WrongProof.

    The report has any form; `sequence` is that of its receipt, if it is known. No signature is verified.
    """
    try:
        proof = parse_proof(file)
        checkpoint = parse_checkpoint(proof.note.text)
    except MalformedNote as error:
        raise WrongProof(str(error)) from None
    entry = canonical_report(report)
    if entry is None or proof.extra != entry:
        raise WrongProof("the proof is for another report")
    if sequence is not None and proof.index != sequence:
        raise WrongProof(f"the proof is for the position {proof.index}, not {sequence}")
    try:
        verify_inclusion(proof.index, checkpoint.size, leaf_hash(entry), proof.hashes, checkpoint.root)
    except ProofInvalid as error:
        raise WrongProof(str(error)) from None
    return proof
