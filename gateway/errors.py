"""What can go wrong, by name, with the code it shows on the wire.

    GatewayError
    ├── Overloaded            this sender, or the whole queue, has its share waiting       retryable
    ├── Draining              this process is about to end                                 retryable
    ├── JournalUnavailable    Postgres did not decide; the outcome is unknown              retryable
    │   └── StandbyMissing    a synchronous standby is required, and there is none         retryable
    ├── ElectionUnknown       no election of that name
    ├── TokenMissing          a request without a token
    ├── TokenInvalid          not a valid token of this election
    ├── RoleForbidden         a token that may not push reports
    ├── ElectionStarted       a registry cannot change once a report is accepted
    ├── MalformedRegistry     a registry that cannot be used, with every reason
    ├── MalformedCursor       a cursor that is not `sequence-cccccccc`
    ├── MalformedDocument     bytes that are not the JSON they claim to be
    └── Refused               an administrative act the rules forbid

A wrong report is not an exception: see `election.validation`, which returns every violation at once.
"""

from collections.abc import Sequence


class GatewayError(Exception):
    """Anything the gateway names; `code` is stable on the wire, `retryable` says whether sending again may help."""

    code = "error"
    retryable = False
    retry_after_s = 1.0
    """After how many seconds a client may try again, where that may help."""
    reason: str | None = None
    """What clients may know of it, where the message itself is for the log."""


class Overloaded(GatewayError):
    """No room for these reports now; `retry_after_s` says when to come back."""

    code = "overloaded"
    retryable = True

    def __init__(self, detail: str, retry_after_s: float, *, share: bool = False) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s
        self.share = share
        """Whether it is this sender's own share that is full (429) and not the whole queue (503)."""


class Draining(GatewayError):
    """The process is about to end and takes nothing new."""

    code = "draining"
    retryable = True


class JournalUnavailable(GatewayError):
    """Postgres gave no answer: what was handed over may or may not be durable."""

    code = "journal_unavailable"
    retryable = True
    reason = "Postgres does not answer"

    @classmethod
    def because(cls, reason: str, retry_after_s: float) -> "JournalUnavailable":
        """Return an error with this reason for clients."""
        error = cls(reason)
        error.reason, error.retry_after_s = reason, retry_after_s
        return error


class StandbyMissing(JournalUnavailable):
    """A synchronous standby is required, and Postgres waits for none: what it commits has no receipt."""

    reason = "there is no synchronous standby, and without one this gateway gives no receipts"


class ElectionUnknown(GatewayError):
    """There is no election of that name."""

    code = "unknown_election"
    reason = "no election has this name"


class TokenMissing(GatewayError):
    """The request carries no token."""

    code = "token_missing"


class TokenInvalid(GatewayError):
    """The token is not one of this election, or no longer valid."""

    code = "token_invalid"


class RoleForbidden(GatewayError):
    """A token of this role may not push reports."""

    code = "role_forbidden"


class ElectionStarted(GatewayError):
    """A report is accepted already, so the registry stands; the message names what would have changed."""

    code = "election_started"


class MalformedRegistry(GatewayError):
    """A registry with mistakes; `problems` names each with its JSON path."""

    code = "malformed_registry"

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class MalformedCursor(GatewayError):
    """A text that is no cursor; readers with one get a snapshot."""

    code = "malformed_cursor"


class MalformedDocument(GatewayError):
    """Bytes that cannot be read as what they claim to be."""

    code = "malformed"


class Refused(GatewayError):
    """An administrative act that the rules of an election forbid."""

    code = "refused"
