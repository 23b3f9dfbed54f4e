"""PURE: what the proofs in an outbox say about the record: each was a checkpoint that the sender was shown.

So whoever keeps proofs notices a record that contradicts them, even if everybody who signs it takes part.
"""

from collections.abc import Collection, Iterable

import msgspec

from gateway.client.outbox_proofs import StoredProof
from gateway.humanize import counted, spaced
from gateway.transparency.checkpoint import Checkpoint, parse_checkpoint
from gateway.transparency.note import BadSignature, MalformedNote
from gateway.transparency.policy import Agreement, Policy
from gateway.transparency.proof_file import ProofFile, parse_proof
from gateway.transparency.tree import Tree
from gateway.verification.failures import VerificationFailed
from gateway.verification.record_checks import TrustedCheckpoint


class KnownProof(msgspec.Struct, frozen=True):
    """A proof in the outbox that can be read, with its checkpoint."""

    unit: str
    revision: int
    proof: ProofFile
    checkpoint: Checkpoint
    agreement: Agreement | None
    """None if no trusted key has signed the checkpoint."""


def read_proofs(stored: Iterable[StoredProof], policy: Policy) -> list[KnownProof]:
    """Return the proofs that can be read, with what their signatures are worth; each checkpoint is verified once."""
    agreements: dict[bytes, Agreement | None] = {}
    found = []
    for each in stored:
        try:
            proof = parse_proof(each.file)
            checkpoint = parse_checkpoint(proof.note.text)
        except MalformedNote:
            continue
        note = proof.note.encode()
        if note not in agreements:
            try:
                agreements[note] = policy.check(proof.note)
            except (BadSignature, MalformedNote):
                agreements[note] = None
        found.append(KnownProof(each.unit, each.revision, proof, checkpoint, agreements[note]))
    return found


def largest_size(known: Iterable[KnownProof], origin: str) -> int:
    """Return the size of the largest signed checkpoint of a log among proofs; 0 if there is none."""
    sizes = (
        each.checkpoint.size
        for each in known
        if each.agreement is not None and each.checkpoint.origin == origin
    )
    return max(sizes, default=0)


def check_known(known: Collection[KnownProof], signed: TrustedCheckpoint, tree: Tree) -> None:
    """Require that the record continues every signed checkpoint among the proofs of an outbox.

    `tree` is that of `signed`. Raises VerificationFailed (forked, rolled_back), with both notes.
    """
    now = signed.checkpoint
    for each in sorted(known, key=lambda one: one.checkpoint.size):
        earlier = each.checkpoint
        if each.agreement is None or earlier.origin != now.origin:
            continue
        evidence = {"checkpoint": signed.data, "checkpoint-before": each.proof.note.encode()}
        if earlier.size > now.size:
            missing = counted(earlier.size - now.size, "entry", "entries")
            text = (
                f"the checkpoint has size {spaced(now.size)}, and your proof of unit {each.unit}, revision"
                f" {each.revision} has one of size {spaced(earlier.size)}: {missing} taken back, or an old state is"
                " shown as the newest"
            )
            raise VerificationFailed("rolled_back", text, evidence)
        if tree.root(earlier.size) != earlier.root:
            text = (
                f"your proof of unit {each.unit}, revision {each.revision} has a signed checkpoint of size"
                f" {spaced(earlier.size)} that the record contradicts; keep both notes, as they prove misconduct"
            )
            raise VerificationFailed("forked", text, evidence)


def replaceable(known: Iterable[KnownProof], signed: TrustedCheckpoint, tree: Tree) -> set[tuple[str, int]]:
    """Return the units and revisions whose proofs the policy does not accept, though the record agrees with them.

    A proof of another log, or one that contradicts the record, is kept: it may be evidence.
    """
    now = signed.checkpoint
    return {
        (each.unit, each.revision)
        for each in known
        if each.checkpoint.origin == now.origin
        and 0 < each.checkpoint.size <= now.size
        and tree.root(each.checkpoint.size) == each.checkpoint.root
        and not (each.agreement is not None and each.agreement.met)
    }
