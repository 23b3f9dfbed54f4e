"""What a witness has cosigned, in an SQLite file that is written before an answer is sent.

Invariants:

* Per log, the sizes of cosigned checkpoints only grow, and each has one root hash.
* A change is on the disk (`synchronous = FULL`) when `transaction` is left.
* Everything has a bound: COSIGNED_MAX checkpoints and EVIDENCE_MAX refused ones of each kind per log, of NOTE_MAX
  bytes each. Evidence that is kept is never replaced by other evidence.

Knows nothing of requests or signatures. One thread uses it, or several in turn; other processes are kept out.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import msgspec

from gateway.durable_files import sync_directory
from gateway.errors import GatewayError
from gateway.sqlite_transactions import write_transaction
from gateway.witness.decision import Kept

FORMAT = 1
COSIGNED_MAX = 200_000
"""Cosigned checkpoints that are kept per log, the newest: those of forty nights."""
EVIDENCE_MAX = 64
"""Refused checkpoints that are kept per log and kind."""
NOTE_MAX = 8 << 10
"""Bytes of a note that is kept: without the signatures of unknown keys."""
PRUNED_AT_ONCE = 1000
"""So many more cosigned checkpoints are kept, to remove that many at once."""
BUSY_S = 2.0
"""How long a transaction waits for another program that reads the file, such as a backup, in seconds."""

_ADVICE = {
    sqlite3.SQLITE_FULL: "no space left on its device; free some",
    sqlite3.SQLITE_BUSY: "another program has locked it",
    sqlite3.SQLITE_LOCKED: "another program has locked it",
    sqlite3.SQLITE_READONLY: "read-only; check the permissions of the file and of its directory",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; check the permissions of the file and of its directory",
    sqlite3.SQLITE_IOERR: "input/output error; check the disk and its free space",
    sqlite3.SQLITE_CORRUPT: "damaged",
    sqlite3.SQLITE_NOTADB: "damaged: not an SQLite file",
}
_SCHEMA = """
CREATE TABLE witness (vkey TEXT NOT NULL);
CREATE TABLE cosigned (
    origin TEXT NOT NULL, size INTEGER NOT NULL, root BLOB NOT NULL, note BLOB NOT NULL, at INTEGER NOT NULL,
    line TEXT NOT NULL, PRIMARY KEY (origin, size)
) WITHOUT ROWID;
CREATE TABLE evidence (
    origin TEXT NOT NULL, kind TEXT NOT NULL, size INTEGER NOT NULL, root BLOB NOT NULL, note BLOB NOT NULL,
    cosigned_note BLOB NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (origin, kind, size, root)
) WITHOUT ROWID;
CREATE TABLE behind (origin TEXT PRIMARY KEY, size INTEGER NOT NULL, note BLOB NOT NULL) WITHOUT ROWID;
"""


class WitnessStateUnavailable(GatewayError):
    """The file with the state of a witness cannot be opened, read or written, so nothing is cosigned."""

    code = "witness_state_unavailable"
    retryable = True


class StateLost(GatewayError):
    """The state of a witness is missing, or older than its own cosignatures: it must not cosign with this key again."""

    code = "state_lost"


class CosignedCheckpoint(msgspec.Struct, frozen=True):
    """A checkpoint with the cosignature of this witness."""

    origin: str
    size: int
    root: bytes
    note: bytes
    """The note with the verified signatures of the log, without the cosignature."""
    at: int
    """When it was cosigned, in seconds since the epoch."""
    line: str
    """The signature line of the cosignature, with its newline."""


class Evidence(msgspec.Struct, frozen=True):
    """A checkpoint that the log signed and this witness refused."""

    origin: str
    kind: Kept
    size: int
    root: bytes
    note: bytes
    cosigned_note: bytes
    """The cosigned checkpoint that contradicts it, or, if it is unproven, the newest at that time."""
    at: int
    """When it was refused, in seconds since the epoch."""


class State:
    """The file, opened by one process for writing, and by any for reading."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open an existing file. Raises WitnessStateUnavailable."""
        self.path = path
        self._lock = None if read_only else _lock_directory(path.parent)
        try:
            with self._errors():
                mode = "ro" if read_only else "rw"
                self._db = sqlite3.connect(
                    f"{path.absolute().as_uri()}?mode={mode}",
                    timeout=BUSY_S,
                    isolation_level=None,
                    uri=True,
                    check_same_thread=False,
                )
            try:
                self._prepare(read_only)
            except BaseException:
                self._db.close()
                raise
        except BaseException:
            self._unlock()
            raise
        self._identity = self._on_disk()
        self._counts: dict[str, int] = {}
        """At most so many cosigned checkpoints are kept of each log to which this process added any."""

    def close(self) -> None:
        """Close the file."""
        with suppress(sqlite3.Error):
            self._db.close()
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _prepare(self, read_only: bool) -> None:
        with self._errors():
            (found,) = self._db.execute("PRAGMA user_version").fetchone()
            if found != FORMAT:
                raise self._error(f"format {found}, not {FORMAT}; another version of valgnatt wrote it")
            if not read_only:
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = FULL")
            (self.vkey,) = self._db.execute("SELECT vkey FROM witness").fetchone()
            """The key that it belongs to."""
            problem = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if problem != "ok":
            raise self._error(f"damaged: {problem}")

    def is_empty(self) -> bool:
        """Return whether nothing was ever cosigned or refused."""
        with self._errors():
            query = "SELECT (SELECT count(*) FROM cosigned) + (SELECT count(*) FROM evidence)"
            return bool(self._db.execute(query).fetchone()[0] == 0)

    def newest(self, origin: str) -> CosignedCheckpoint | None:
        """Return the newest cosigned checkpoint of a log."""
        return self._cosigned("SELECT * FROM cosigned WHERE origin = ? ORDER BY size DESC LIMIT 1", origin)

    def up_to(self, origin: str, size: int) -> CosignedCheckpoint | None:
        """Return the largest cosigned checkpoint up to a size."""
        query = "SELECT * FROM cosigned WHERE origin = ? AND size <= ? ORDER BY size DESC LIMIT 1"
        return self._cosigned(query, origin, size)

    def all_newest(self) -> list[CosignedCheckpoint]:
        """Return the newest cosigned checkpoint of every log, by origin."""
        with self._errors():
            origins = [
                row[0] for row in self._db.execute("SELECT DISTINCT origin FROM cosigned ORDER BY origin")
            ]
        return [newest for origin in origins if (newest := self.newest(origin)) is not None]

    def of_size(self, origin: str, size: int) -> CosignedCheckpoint | None:
        """Return the cosigned checkpoint of a size, if there was one and it is still kept."""
        return self._cosigned("SELECT * FROM cosigned WHERE origin = ? AND size = ?", origin, size)

    def _cosigned(self, query: str, *arguments: object) -> CosignedCheckpoint | None:
        with self._errors():
            row = self._db.execute(query, arguments).fetchone()
        return None if row is None else CosignedCheckpoint(*row)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Write all of the block to the disk, or nothing. Raises WitnessStateUnavailable."""
        if self._on_disk() != self._identity:
            raise self._error("was moved, replaced or deleted while the witness ran; start it again")
        with self._errors(), write_transaction(self._db):
            yield

    def add_cosigned(self, cosigned: CosignedCheckpoint) -> None:
        """Record a cosigned checkpoint, the newest; an unproven one of the same size and root is no evidence any more.

        Within a transaction.
        """
        origin, size = cosigned.origin, cosigned.size
        self._db.execute(
            "INSERT INTO cosigned VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (origin, size) DO UPDATE SET at = excluded.at, line = excluded.line, note = excluded.note",
            (origin, size, cosigned.root, cosigned.note, cosigned.at, cosigned.line),
        )
        self._db.execute(
            "DELETE FROM evidence WHERE origin = ? AND kind = ? AND size = ? AND root = ?",
            (origin, Kept.UNPROVEN, size, cosigned.root),
        )
        if origin not in self._counts:
            self._counts[origin] = self._count("cosigned", origin)
        self._counts[origin] += 1  # at least as many as there are
        if self._counts[origin] > COSIGNED_MAX + PRUNED_AT_ONCE:
            self._prune(origin)

    def _prune(self, origin: str) -> None:
        """Remove the oldest cosigned checkpoints of a log that are too many."""
        count = self._count("cosigned", origin)
        self._db.execute(
            "DELETE FROM cosigned WHERE origin = ?1 AND size IN"
            " (SELECT size FROM cosigned WHERE origin = ?1 ORDER BY size LIMIT ?2)",
            (origin, max(0, count - COSIGNED_MAX)),
        )
        self._counts[origin] = min(count, COSIGNED_MAX)

    def _count(self, table: str, origin: str, kind: str | None = None) -> int:
        of_kind = "" if kind is None else " AND kind = ?"
        arguments = (origin,) if kind is None else (origin, kind)
        query = f"SELECT count(*) FROM {table} WHERE origin = ?{of_kind}"  # noqa: S608 - names of our own
        return int(self._db.execute(query, arguments).fetchone()[0])

    def add_evidence(self, evidence: Evidence) -> bool:
        """Record a refused checkpoint; return whether it is new and there was room for it. Raises as `transaction`."""
        with self.transaction():
            if self._count("evidence", evidence.origin, evidence.kind) >= EVIDENCE_MAX:
                return False
            row = msgspec.structs.astuple(evidence)
            added = self._db.execute("INSERT OR IGNORE INTO evidence VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            return added.rowcount == 1

    def evidence(self) -> list[Evidence]:
        """Return all refused checkpoints that are kept, by log and size."""
        with self._errors():
            rows = self._db.execute("SELECT * FROM evidence ORDER BY origin, kind, size").fetchall()
        return [Evidence(row[0], Kept(row[1]), *row[2:]) for row in rows]

    def settle(self, evidence: Evidence, root: bytes) -> Evidence | None:
        """Replace an unproven checkpoint, of whose size `root` is the right root: by a fork, or by nothing.

        Return the fork, if it is one and was not known. Raises WitnessStateUnavailable.
        """
        with self.transaction():
            key = (evidence.origin, evidence.kind, evidence.size, evidence.root)
            self._db.execute(
                "DELETE FROM evidence WHERE origin = ? AND kind = ? AND size = ? AND root = ?", key
            )
        fork = msgspec.structs.replace(evidence, kind=Kept.FORK)
        return fork if evidence.root != root and self.add_evidence(fork) else None

    def mark_behind(self, origin: str, size: int, note: bytes) -> None:
        """Record that this witness has cosigned a larger checkpoint than its state knows: it cosigns none any more."""
        with self.transaction():
            self._db.execute("INSERT OR IGNORE INTO behind VALUES (?, ?, ?)", (origin, size, note))

    def behind(self) -> dict[str, int]:
        """Return the logs of which the state is older than a cosignature of this witness, and the size of that."""
        with self._errors():
            return dict(self._db.execute("SELECT origin, size FROM behind").fetchall())

    def _on_disk(self) -> tuple[int, int]:
        with self._errors():
            found = self.path.stat()
        return found.st_dev, found.st_ino

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._error(
                _ADVICE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF) or str(error)
            ) from error
        except OSError as error:
            raise self._error(error.strerror or str(error)) from error

    def _error(self, reason: str) -> WitnessStateUnavailable:
        return WitnessStateUnavailable(f"state of the witness, {self.path}: {reason}")


def create_state(path: Path, vkey: str) -> None:
    """Create the file of a new witness, readable by its owner only, on the disk and complete or not at all."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.unlink(missing_ok=True)
    temporary.touch(mode=0o600)
    with closing(sqlite3.connect(temporary, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = FULL")
        db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {FORMAT};")
        db.execute("INSERT INTO witness VALUES (?)", (vkey,))
        db.execute("COMMIT")
    temporary.rename(path)
    sync_directory(path.parent)


def _lock_directory(directory: Path) -> int:
    """Return the descriptor that keeps other processes out while it is open. Raises WitnessStateUnavailable."""
    try:
        descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise WitnessStateUnavailable(f"{directory}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise WitnessStateUnavailable(f"{directory}: another witness runs in this directory") from None
    return descriptor
