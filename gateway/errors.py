"""All errors that the gateway names, with their codes. Where a code appears on the wire, it is part of the contract.

    GatewayError                error                    anything named by the gateway
    ├── Overloaded              overloaded               no room for these reports now               retryable
    ├── Draining                draining                 this process is shutting down               retryable
    ├── JournalUnavailable      journal_unavailable      Postgres did not answer; outcome unknown    retryable
    │   ├── StandbyMissing      journal_unavailable      no synchronous standby, and one is required retryable
    │   ├── CommittedLocally    journal_unavailable      committed without waiting for the standby   retryable
    │   ├── SessionUnfit        journal_unavailable      a session that a guarantee cannot rely on   retryable
    │   └── LoginRefused        journal_unavailable      the login is wrong; waiting does not help   retryable
    ├── VersionChanged          version_changed          the election changed; check again           retryable
    ├── Behind                  behind                   the rules did not see all; judge again      retryable
    ├── Unstorable              unstorable               Postgres rejects the report itself
    ├── AnotherSigner           another_signer           another signer has begun a round                retryable
    ├── CheckpointRefused       checkpoint_refused       the journal does not accept this checkpoint
    ├── SignerTooFast           signer_too_fast          too many writes of the signer                   retryable
    ├── AreaNotFound            unknown_area             no area, or more than one, has this name
    ├── ElectionUnknown         unknown_election         no election with this identifier
    ├── TokenMissing            token_missing            a request without a token
    ├── NoToken                 no_token                 a command without a token; nothing was sent
    ├── TokenInvalid            token_invalid            not a valid token of this election
    ├── RoleForbidden           role_forbidden           a token that may not push reports
    ├── ElectionStarted         election_started         the registry is fixed, as reports are in
    ├── Refused                 refused                  the rules forbid this administrative action
    ├── MalformedRegistry       malformed_registry       a registry that cannot be used
    ├── MalformedPrevious       malformed_previous       a previous election that cannot be used
    ├── MalformedPolicy         malformed_policy         a policy of rules that cannot be used
    ├── MalformedCursor         malformed_cursor         not `sequence-cccccccc`
    ├── MalformedDocument       malformed                not the JSON that was expected
    ├── MalformedBody           malformed                the body of a push request cannot be read
    ├── TooLarge                too_large                the body of a push request is too large
    ├── ConfigError             config                   mistakes in the configuration
    ├── ListenError             cannot_listen            an address or port cannot be bound
    ├── BadCertificate          bad_certificate          a certificate or key cannot be used
    ├── BadMap                  bad_map                  the file with the map cannot be used
    ├── EmbeddedPostgresError   embedded_postgres        the embedded Postgres cannot be run
    ├── PushRefused             push_refused             the push door does not accept this sender
    ├── FeedRefused             feed_refused             the feed door does not serve this request
    ├── NoDocument              no_document              a door gave another answer than the document
    ├── BadProxy                bad_proxy                the environment names a proxy that cannot be used
    ├── BadToken                bad_token                a token with characters that cannot be sent
    ├── BadCountFile            bad_count_file           a file with counts cannot be read
    ├── Mistakes                mistakes                 files with mistakes; nothing was sent
    │   ├── TooManyReports      too_many_reports         more reports than one command pushes
    │   └── RedLines            red_lines                reports that cross red lines; nobody accepted them
    ├── DirectoryUnavailable    directory_unavailable    a watched directory cannot be read
    ├── UnreadableFile          unreadable_file          a watched file cannot be read
    ├── StillOpen               still_open               a watched file is open for writing
    ├── OutboxUnavailable       outbox_unavailable       the outbox cannot be opened, read or written     retryable
    │   └── OutboxInUse         outbox_unavailable       another process sends from the outbox      retryable
    ├── NotDiscarded            not_discarded            nothing was removed from the outbox
    ├── NothingDecided          nothing_decided          no held report was decided, and no rule changed
    ├── ReceiptsUnavailable     receipts_unavailable     the table of receipts cannot be written
    ├── TokenFileUnusable       token_file_unusable      the file for new tokens cannot be written or read
    ├── OutboxConflict          outbox_conflict          the same revision with different figures
    ├── RevisionsUnknown        revisions_unknown        the gateway could not be asked for its current reports
    ├── DataSetError            malformed_data_set       a data set cannot be read
    ├── BadTable                bad_table                a table of areas and parties with mistakes
    ├── VerificationFailed      verification_failed      a check of a signed record failed; its code says which
    │   └── NotThere            not_there                a signed record, or a part of it, does not exist there
    ├── BadState                bad_state                the saved state of a verification cannot be used
    ├── UnusableOutbox          unusable_outbox          an outbox that cannot be verified
    ├── UnreadableFiles         unreadable_files         files that cannot be verified, as they cannot be read
    ├── NoLog                   no_log                   an election whose record is not signed
    ├── WrongProof              wrong_proof              a proof file that is not a proof for the report
    ├── ProofsUnavailable       proofs_unavailable       the files of proofs cannot be written
    ├── ReplayFailed            replay_failed            a replay could not be completed
    ├── ExtraMissing            extra_missing            a package that this needs is not installed
    ├── ProofInvalid            proof_invalid            a proof that does not show what it is to show
    ├── MalformedEntry          malformed_entry          an opening or closing entry that cannot be read
    ├── MalformedTile           malformed_tile           not a tile or an entry bundle, or not its path
    ├── MalformedOrigin         malformed_origin         not the origin of an election's log
    ├── MalformedNote           malformed_note           not a signed note, a checkpoint or a proof file
    ├── MalformedKey            malformed_key            not a key of a log or a witness
    ├── BadSignature            bad_signature            no trusted key signed, or one is not valid
    ├── SignDirUnusable         sign_dir_unusable        the signer's directory, or a file in it, cannot be used
    │   └── SignDirInUse        sign_dir_in_use          another signer uses the directory
    ├── KeyRefused              key_refused              a key was not created, added or retired
    ├── MalformedTrustPolicy    malformed_trust_policy   a policy of logs and witnesses with a mistake
    ├── BadLog                  bad_log                  a log that a witness cannot follow
    ├── WitnessDirectoryUnusable  witness_directory_unusable  key and state of a witness cannot be used
    ├── WitnessStateUnavailable  witness_state_unavailable  the state of a witness cannot be read or written  retryable
    ├── NotInMirror             not_in_mirror            no profile of a mirror has what a reader selects
    ├── MalformedMirror         malformed_mirror         a file of a mirror that is not of its format
    ├── NotMirrored             not_mirrored             an election whose files cannot have their names in a mirror
    ├── DoorDiffers             door_differs             what a feed door answers contradicts its stream      retryable
    ├── MirrorFull              mirror_full              the disk of a mirror has too little room
    ├── TargetUnavailable       target_unavailable       where a mirror stores its files, does not work      retryable
    ├── TargetInUse             target_in_use            another mirror writes to the same target
    ├── StateLost               state_lost               the state of a witness is lost; its key is of no use
    └── ClockBehind             clock_behind             the clock is behind a witness's last cosignature   retryable

An error is defined here if several packages need it, and otherwise next to the code that raises it; a test keeps the
list complete. An invalid report is not an exception: `election.validation` returns every violation.
"""

import os
import re
from collections.abc import Sequence


class GatewayError(Exception):
    """Base class of all errors named by the gateway.

    `code` is stable on the wire; `retryable` is whether repeating the same request may succeed.
    """

    code = "error"
    retryable = False
    retry_after_s = 1.0
    """Seconds after which a client may retry, if that may succeed."""
    reason: str | None = None
    """The reason as clients may see it, if the message itself is only for the log."""


class Overloaded(GatewayError):
    """There is no room for these reports now; retry after `retry_after_s` seconds."""

    code = "overloaded"
    retryable = True

    def __init__(self, detail: str, retry_after_s: float, *, share: bool = False) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s
        self.share = share
        """Whether this sender's share is full (429) rather than the whole queue (503)."""


class Draining(GatewayError):
    """The process is shutting down and accepts nothing new."""

    code = "draining"
    retryable = True


class JournalUnavailable(GatewayError):
    """Postgres did not answer: what was sent to it may or may not be durable."""

    code = "journal_unavailable"
    retryable = True
    reason = "Postgres does not answer"
    permanent = False
    """Whether waiting does not help, only a change of the settings here, in Postgres or in a pooler."""

    @classmethod
    def because(cls, reason: str, retry_after_s: float) -> "JournalUnavailable":
        """Return an error with this reason for clients."""
        error = cls(reason)
        error.reason, error.retry_after_s = reason, retry_after_s
        return error


class StandbyMissing(JournalUnavailable):
    """A synchronous standby is required and there is none, so a commit gets no receipt."""

    reason = "there is no synchronous standby, and this gateway gives no receipts without one"


class ElectionUnknown(GatewayError):
    """There is no election with this identifier."""

    code = "unknown_election"
    reason = "there is no election with this identifier"


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
    """The registry is fixed, because reports have been accepted; the message names what would have changed."""

    code = "election_started"


class MalformedRegistry(GatewayError):
    """A registry with mistakes; `problems` names each with its JSON path."""

    code = "malformed_registry"

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class MalformedPrevious(GatewayError):
    """The document of a previous election with mistakes; `problems` names each with its JSON path."""

    code = "malformed_previous"

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class MalformedPolicy(GatewayError):
    """A policy of rules with mistakes; `problems` names each with its JSON path."""

    code = "malformed_policy"

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class MalformedCursor(GatewayError):
    """A text that is not a cursor; the reader gets a snapshot instead."""

    code = "malformed_cursor"


class MalformedDocument(GatewayError):
    """Bytes that are not the JSON that was expected."""

    code = "malformed"


class ExtraMissing(GatewayError):
    """A package that only some commands need is not installed; the message says how to install it."""

    code = "extra_missing"


class Refused(GatewayError):
    """An administrative action that the rules of an election forbid."""

    code = "refused"


def text_of(error: BaseException) -> str:
    """Return the message of an exception; for one without a message, what happened, or its name."""
    if text := str(error):
        return text
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno)
    return " ".join(re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+", type(error).__name__)).lower()
