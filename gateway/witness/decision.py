"""PURE: whether a witness cosigns a checkpoint whose signature it has verified.

The order of the checks is that of C2SP tlog-witness, "add-checkpoint". Knows nothing of signatures, files or requests.
"""

from enum import StrEnum

import msgspec

from gateway.transparency.checkpoint import Checkpoint
from gateway.transparency.merkle import EMPTY_ROOT, ProofInvalid, verify_consistency
from gateway.witness.submission import Submission


class Kept(StrEnum):
    """Why a refused checkpoint is kept."""

    FORK = "fork"
    """The log signed two roots for one size: with the cosigned checkpoint, this proves it to everybody."""
    UNPROVEN = "unproven"
    """The log signed it, and the proof that came with it does not verify: a fork, or only a wrong proof."""


class Cosign(msgspec.Struct, frozen=True):
    """The checkpoint is consistent with what was cosigned."""

    repeated: bool
    """Whether it is the newest cosigned checkpoint again."""


class Refuse(msgspec.Struct, frozen=True):
    """The checkpoint is not cosigned."""

    status: int
    reason: str
    """One line for people, or the size if the answer is one."""
    keep: Kept | None = None
    """Why it is kept as evidence; None if it is no evidence."""

    @property
    def is_size(self) -> bool:
        """Whether the answer is the size of the newest cosigned checkpoint."""
        return self.reason.isdecimal()


Decision = Cosign | Refuse


def decide(
    submission: Submission, submitted: Checkpoint, newest: Checkpoint | None, known_root: bytes | None
) -> Decision:
    """Decide about a checkpoint of a known log with a valid signature.

    `newest` is the newest checkpoint that was cosigned, if any; `known_root` the root of the cosigned checkpoint of the
    submitted size, if there was one.
    """
    forked = known_root is not None and known_root != submitted.root
    keep = Kept.FORK if forked else None
    size = newest.size if newest is not None else 0
    if submission.old_size > submitted.size:
        return Refuse(400, "the old size is larger than that of the checkpoint", keep)
    if submission.old_size != size:
        return Refuse(409, str(size), keep)
    if forked:  # of the same size, as smaller ones were refused
        return Refuse(409, "the log has signed another root hash for this size, which was cosigned", keep)
    known = newest.root if newest is not None else EMPTY_ROOT
    try:
        verify_consistency(size, known, submitted.size, submitted.root, submission.proof)
    except ProofInvalid as error:
        grown = submitted.size > size > 0
        return Refuse(
            422, f"the consistency proof does not verify: {error}", Kept.UNPROVEN if grown else None
        )
    return Cosign(repeated=newest is not None and submitted.size == size)
