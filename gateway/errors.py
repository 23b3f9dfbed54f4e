"""The errors of the gateway, with their codes on the wire.

    GatewayError
    ├── Overloaded            this sender's share, or the whole queue, is full             retryable
    ├── Draining              this process is shutting down                                retryable
    ├── JournalUnavailable    Postgres did not decide; the outcome is unknown              retryable
    │   └── StandbyMissing    a synchronous standby is required but missing                retryable
    ├── ElectionUnknown       no election has this name
    ├── TokenMissing          a request without a token
    ├── TokenInvalid          not a valid token of this election
    ├── RoleForbidden         a token that may not push reports
    ├── ElectionStarted       a registry cannot change once a report is accepted
    ├── MalformedRegistry     an invalid registry, with every problem
    ├── MalformedCursor       a cursor that is not `sequence-cccccccc`
    ├── MalformedDocument     bytes that are not valid JSON of their kind
    └── Refused               an administrative act that the rules forbid

An invalid report is not an exception: see `election.validation`, which returns every violation at once.
"""

from collections.abc import Sequence


class GatewayError(Exception):
    """The base of all; `code` is stable on the wire, and `retryable` means that the same request may succeed later."""

    code = "error"
    retryable = False
    retry_after_s = 1.0
    """After how many seconds a client may try again, if retryable."""
    reason: str | None = None
    """The text for clients, if the message itself is only for the log."""


class Overloaded(GatewayError):
    """There is no room for these reports now; they may be sent again after `retry_after_s`."""

    code = "overloaded"
    retryable = True

    def __init__(self, detail: str, retry_after_s: float, *, share: bool = False) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s
        self.share = share
        """Whether the sender's own share is full (429) and not the whole queue (503)."""


class Draining(GatewayError):
    """The process is shutting down and accepts nothing new."""

    code = "draining"
    retryable = True


class JournalUnavailable(GatewayError):
    """Postgres gave no answer: reports that were submitted may or may not be durable."""

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
    """A synchronous standby is required, and Postgres waits for none: its commits give no receipts."""

    reason = "there is no synchronous standby, and this gateway gives no receipts without one"


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
