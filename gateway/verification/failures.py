"""Why a verification failed: a code that programs can rely on, and a sentence for people."""

from collections.abc import Mapping
from typing import Literal, get_args

from gateway.errors import GatewayError

Code = Literal[
    "unreachable",
    "bad_signature",
    "too_few_witnesses",
    "stale",
    "rolled_back",
    "forked",
    "root_mismatch",
    "registry_mismatch",
    "after_closing",
    "bad_report",
    "chain_mismatch",
    "figures_differ",
    "not_included",
    "not_that_report",
    "missing",
    "not_mine",
]
CODES: tuple[Code, ...] = get_args(Code)
"""Every code of a failed verification; they are part of the contract (section 12.6)."""


class VerificationFailed(GatewayError):
    """A check failed: `code` is one of CODES, and the message is a sentence that names what is wrong and where.

    `evidence` has the files that show it, by name, for `--evidence`: the signed notes, and what failed.
    """

    code = "verification_failed"

    def __init__(self, code: Code, sentence: str, evidence: Mapping[str, bytes] | None = None) -> None:
        super().__init__(sentence)
        self.code = code
        self.evidence = dict(evidence or {})


class NotThere(VerificationFailed):
    """A record or a part of it does not exist where it was looked for."""

    code = "not_there"

    def __init__(self, sentence: str, problem: str | None = None) -> None:
        super().__init__("unreachable", sentence)
        self.problem = problem
        """The code of the feed door's answer, `not_signed` for example, if it is one."""
