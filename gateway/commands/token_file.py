"""The file of tokens that `token issue --each` writes, so that every issued token is in a file.

The tokens are made first, and stored in a pending file beside the wanted one, flushed to the disk. Then they are
issued, all in one act, and the pending file is renamed. So after an interruption at any moment, either the pending file
has every token that was issued, and repeating the command completes it, or no token was issued.
"""

import csv
import fcntl
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

import msgspec

from gateway.doctor.findings import some
from gateway.durable_files import sync_directory
from gateway.errors import ElectionUnknown, GatewayError, JournalUnavailable, Refused, StandbyMissing, text_of
from gateway.humanize import counted
from gateway.journal.administration import TOKEN_PREFIX, Administration, NewToken, new_secret
from gateway.wire.csv_text import csv_row, not_a_formula

COLUMNS = ("election", "area", "name", "token", "address")
MODE = 0o600
FILE_MAX = 64 << 20
"""Largest size of a pending file that is read, in bytes."""


class TokenFileUnusable(GatewayError):
    """The file for new tokens cannot be written or read; the message names the file and the reason."""

    code = "token_file_unusable"


class TokenRow(msgspec.Struct, frozen=True):
    """A line of the file: the token of one area."""

    election: str
    area: str
    name: str
    token: str
    address: str

    def __repr__(self) -> str:
        return f"TokenRow(election={self.election!r}, area={self.area!r})"

    def new(self, note: str) -> NewToken:
        """Return the token to issue; its note is by default the name of the area."""
        return NewToken([self.area], note or self.name, self.token)


def count_page(push_url: str, election: str) -> str:
    """Return the address of the page on which officers enter counts; it does not contain the token."""
    return f"{push_url.rstrip('/')}/count?election={quote(election, safe='')}"


class TokenFile:
    """The file and, until the tokens are issued, the pending file beside it. Invariants:

    * No file is overwritten, and both are readable only by their owner.
    * The pending file is deleted only once its tokens are known not to exist, or once the file has them.
    * The file appears as a whole.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pending = path.with_name(path.name + ".pending")

    def check_new(self) -> None:
        """Raise TokenFileUnusable if the file exists or its directory does not."""
        if not self.path.absolute().parent.is_dir():
            raise TokenFileUnusable(f"{self.path}: no such directory")
        if os.path.lexists(self.path):
            raise TokenFileUnusable(f"{self.path} exists and is never overwritten: name another file")

    @contextmanager
    def locked(self) -> Iterator[BinaryIO]:
        """Open the pending file, new or of an interrupted command, for this command alone."""
        with self._named_errors(self.pending):
            fd = os.open(self.pending, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, MODE)
        with os.fdopen(fd, "r+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                same = os.path.samestat(os.fstat(fd), os.stat(self.pending))
            except OSError:
                same = False
            if not same:
                raise TokenFileUnusable(f"{self.pending}: another command is writing it")
            os.fchmod(fd, MODE)
            yield file

    def read(self, file: BinaryIO, election: str) -> list[NewToken]:
        """Return the tokens in the pending file of an interrupted command; none if it is new.

        If it was not completely written, none of its tokens was issued. Raises TokenFileUnusable for another file.
        """
        file.seek(0)
        text = file.read(FILE_MAX).decode("utf-8-sig", "replace")
        head = ",".join(COLUMNS)
        if not text.startswith(head) and not head.startswith(text):
            raise TokenFileUnusable(f"{self.pending} is not a pending file of this command: move it away")
        tokens = []
        for line in csv.DictReader(io.StringIO(text, newline="")):
            if line["token"] is not None and line["token"].startswith(TOKEN_PREFIX):
                if line["election"] != not_a_formula(election):
                    raise TokenFileUnusable(f"{self.pending} has tokens of election {line['election']}")
                tokens.append(NewToken([line["area"]], line["name"], line["token"]))
        return tokens

    def write(self, file: BinaryIO, rows: Sequence[TokenRow]) -> None:
        """Write the rows to the pending file and flush it and its directory to the disk."""
        text = "".join(map(csv_row, (COLUMNS, *map(msgspec.structs.astuple, rows))))
        with self._named_errors(self.pending):
            file.seek(0)
            file.truncate()
            file.write(text.encode("utf-8-sig"))
            file.flush()
            os.fsync(file.fileno())
            sync_directory(self.path.absolute().parent)

    def complete(self) -> None:
        """Give the pending file its name, if no file has that."""
        with self._named_errors(self.path, f"the tokens are issued, and in {self.pending}"):
            os.link(self.pending, self.path)  # fails where the name exists, unlike a rename
            os.unlink(self.pending)
            sync_directory(self.path.absolute().parent)

    def discard(self) -> None:
        """Delete the pending file."""
        with self._named_errors(self.pending):
            os.unlink(self.pending)

    @contextmanager
    def _named_errors(self, path: Path, more: str = "") -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = text_of(error) if error.strerror is None else error.strerror
            raise TokenFileUnusable(f"{path}: {reason}" + (f"; {more}" if more else "")) from error


class TokenBatch(msgspec.Struct, frozen=True, kw_only=True):
    """A command that issues a token for each area of a level."""

    election: str
    level: str
    missing_only: bool
    push_url: str
    role: str
    expires_at: datetime | None
    note: str

    async def issue(self, acts: Administration, file: TokenFile) -> int | None:
        """Issue the tokens and write the file.

        Return how many were issued, 0 if no area lacks one, or None if an interrupted command had issued those of its
        pending file, which now has its name. Raises Refused, ElectionUnknown and StandbyMissing, and then nothing was
        issued; and JournalUnavailable, after which the pending file is kept.
        """
        with file.locked() as pending:
            before = file.read(pending, self.election)
            if before and await acts.has_issued(self.election, before):
                file.complete()
                return None
            try:
                rows = await self._rows(acts)
                if rows:
                    file.write(pending, rows)
            except GatewayError:
                file.discard()
                raise
            if not rows:
                file.discard()
                return 0
            await self._issue(acts, file, rows)
            file.complete()
            return len(rows)

    async def _issue(self, acts: Administration, file: TokenFile, rows: Sequence[TokenRow]) -> None:
        try:
            tokens = [row.new(self.note) for row in rows]
            await acts.issue_known_tokens(self.election, tokens, role=self.role, expires_at=self.expires_at)
        except StandbyMissing:  # nothing was issued
            file.discard()
            raise
        except JournalUnavailable as error:
            raise JournalUnavailable(
                f"{error}. The tokens are kept in {file.pending}: repeating this command completes"
                f" {file.path}, or starts anew if they were not issued"
            ) from error
        except GatewayError:
            file.discard()
            raise

    async def _rows(self, acts: Administration) -> list[TokenRow]:
        """Return a new token for each area. Raises Refused, also for areas that have one, unless they are skipped."""
        registry = (await acts.registries()).get(self.election)
        if registry is None:
            raise ElectionUnknown(f"no election {self.election!r}")
        areas = [area for area in registry.areas if area.level == self.level]
        if not areas:
            levels = ", ".join(dict.fromkeys(area.level for area in registry.areas))
            raise Refused(f"{self.election} has no level {self.level!r}; its levels are {levels}")
        now = datetime.now(UTC)
        present = {
            area
            for token in await acts.tokens(self.election)
            if token.role == self.role and token.revoked_at is None and not token.expired(now)
            for area in token.areas
        }
        missing = [area for area in areas if area.id not in present]
        if len(missing) < len(areas) and not self.missing_only:
            having = [f"{area.id} {area.name}" for area in areas if area.id in present]
            raise Refused(
                f"{len(having)} of {counted(len(areas), 'area')} already have a valid token: {some(having)}."
                " With --missing-only, the others get one; to replace a token, revoke it first. Nothing was issued"
            )
        address = count_page(self.push_url, self.election)
        return [TokenRow(self.election, area.id, area.name, new_secret(), address) for area in missing]
