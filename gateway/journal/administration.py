"""Administrative acts: registries, embargo, closing, tokens, revision ceilings."""

import hashlib
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Final

import asyncpg
import msgspec
import orjson

from gateway.election.previous import canonical, previous_differences, read_previous
from gateway.election.registry import COUNT_MAX, Registry, differences
from gateway.election.registry_reading import read_registry
from gateway.election.report import REVISION_CEILING, REVISION_STEP
from gateway.errors import ElectionStarted, JournalUnavailable, MalformedPrevious, Refused, StandbyMissing
from gateway.humanize import counted
from gateway.journal.acts import Acts, LockedElection
from gateway.journal.connection import connect
from gateway.journal.db_errors import CommittedLocally, translate_db_errors
from gateway.journal.election_reads import ElectionReads, OpenHold, TokenSummary
from gateway.journal.lock_waits import LockWait, gave_up, lock_waits_reported
from gateway.transparency.entries import Opening, Previous, parse_opening, registry_hash

KEPT: Final = object()
"""For `load_election`: the previous election is as it was loaded before."""
TOKEN_PREFIX = "vgn_"  # noqa: S105 - a prefix by which secret scanners recognise a token, not a secret


class IssuedToken(msgspec.Struct, frozen=True):
    """A new token; its secret is shown only once."""

    key: int
    secret: str

    def __repr__(self) -> str:
        return f"IssuedToken(key={self.key})"


def new_secret() -> str:
    """Return a new token: 256 random bits after TOKEN_PREFIX."""
    return TOKEN_PREFIX + secrets.token_urlsafe(32)


class NewToken(msgspec.Struct, frozen=True):
    """A token to issue, for areas and all below them, with the secret that its holder has or will get."""

    areas: Sequence[str]
    note: str = ""
    secret: str = msgspec.field(default_factory=new_secret)

    @property
    def digest(self) -> bytes:
        """What is stored of the secret: its SHA-256."""
        return hashlib.sha256(self.secret.encode()).digest()

    def __repr__(self) -> str:
        return f"NewToken(areas={self.areas!r}, note={self.note!r})"


class RevisionCeiling(msgspec.Struct, frozen=True):
    """The newest revision of a unit, 0 for none, and the highest that is accepted."""

    newest: int
    ceiling: int


class Administration(Acts, ElectionReads):
    """Performs acts on one connection. Raises JournalUnavailable, ElectionUnknown and Refused."""

    async def load_election(self, document: object, previous: object = KEPT) -> str:
        """Load a registry document, or replace it while no report is accepted; return the election's identifier.

        `previous` is the document of its previous election, None for none; KEPT leaves one that was loaded before.
        Idempotent. Raises MalformedRegistry, MalformedPrevious; ElectionStarted, naming what differs.
        """
        registry = read_registry(document)
        before: bytes | None = None
        if previous is not None and previous is not KEPT:
            read_previous(previous, registry)
            before = canonical(previous)
        connection = self._connection
        with translate_db_errors():
            async with self._transaction():
                # The insert decides which of two concurrent loads is first; the other waits here and then sees its row.
                key = await connection.fetchval(
                    "INSERT INTO election (id, registry) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING RETURNING key",
                    registry.id,
                    registry.canonical(),
                )
                if key is not None:
                    await connection.execute("SELECT add_election($1, $2)", key, registry.publish_from)
                    await self._store_previous(key, before)
                    detail = f"{counted(len(registry.areas), 'area')}, {counted(len(registry.units), 'unit')}"
                    await self._record(key, "load", detail + (", a previous election" if before else ""))
                    self._notification_due = True
                    return registry.id
        async with self._act(registry.id) as locked:
            stored: bytes | None = await connection.fetchval(
                "SELECT document FROM previous WHERE election = $1", locked.key
            )
            if previous is KEPT:
                before = stored
            found = differences(locked.registry, registry) + previous_differences(stored, before)
            if not found:
                return registry.id
            if await self._opening_of(locked.key) is not None:
                raise ElectionStarted(
                    "the registry cannot change after the election was opened, because the first entry of its signed"
                    f" record has the hash of the registry; it differs in: {', '.join(found)}"
                )
            if locked.accepted or locked.hold_lines:
                raise ElectionStarted(
                    f"the registry cannot change after a report was accepted ({locked.accepted} so far);"
                    f" it differs in: {', '.join(found)}"
                )
            if previous is KEPT and before is not None:
                _require_fit(before, registry)
            if before != stored:
                await self._store_previous(locked.key, before)
            await connection.execute(
                "UPDATE election SET registry = $2, loaded_at = clock_timestamp() WHERE key = $1",
                locked.key,
                registry.canonical(),
            )
            # An unchanged time leaves the embargo as it is, because it may have been moved since.
            if registry.publish_from != locked.registry.publish_from:
                await connection.execute(
                    "UPDATE embargo SET publish_from = $2 WHERE election = $1",
                    locked.key,
                    registry.publish_from,
                )
            await self._changed(locked.key, "load", f"again: {', '.join(found)}")
        return registry.id

    async def _store_previous(self, election: int, document: bytes | None) -> None:
        """Store the document of a previous election in place of another one; None: remove it."""
        await self._connection.execute("DELETE FROM previous WHERE election = $1", election)
        if document is not None:
            await self._connection.execute(
                "INSERT INTO previous (election, document) VALUES ($1, $2)", election, document
            )

    async def open_election(self, election: str) -> bytes:
        """Open an election: write the opening entry of its log, and return it. Idempotent.

        From then on its registry and its previous election are fixed. The end of the embargo opens an election that was
        not opened before.
        """
        async with self._act(election) as locked:
            entry = await self._opening_of(locked.key)
            if entry is None:
                await self._connection.execute("SELECT open($1, $2, NULL)", locked.key, locked.now)
                entry = await self._opening_of(locked.key)
                await self._changed(locked.key, "open", "history 1")
            assert entry is not None
        return entry

    async def start_history(self, election: str, previous: Previous, reason: str) -> bytes:
        """Start a new history of an election, after the newest one with the checkpoint `previous`; return its opening.

        For a record that has lost entries which were signed, and of which nobody has a copy. Idempotent: repeated for
        the same `previous`, it returns the same entry. Raises Refused if `previous` is not of the newest history, or is
        no larger than the record that is left.
        """
        async with self._act(election) as locked:
            newest = await self._connection.fetchrow(
                "SELECT history, entry FROM opening WHERE election = $1 ORDER BY history DESC LIMIT 1",
                locked.key,
            )
            if newest is None:
                raise Refused(f"{election} is not opened: it has no history that another one could follow")
            opening = parse_opening(newest["entry"])
            if opening.previous == previous:
                return bytes(newest["entry"])
            known = await self._connection.fetchval(
                "SELECT origin FROM log WHERE election = $1 AND history = $2", locked.key, newest["history"]
            )
            if known is not None and known != previous.origin:
                raise Refused(f"the newest history of {election} is {known}, not {previous.origin}")
            if not 0 <= previous.shared <= locked.accepted:
                raise Refused(
                    f"the histories cannot share {counted(previous.shared, 'report')}:"
                    f" the record has {counted(locked.accepted, 'report')}"
                )
            entry = Opening(
                election=election,
                history=newest["history"] + 1,
                opened_at=locked.now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                previous=previous,
                registry=registry_hash(await self._registry_bytes(locked.key)),
                rehearsal=locked.registry.rehearsal,
            ).encode()
            await self._connection.execute(
                "INSERT INTO opening (election, history, entry, opened_at) VALUES ($1, $2, $3, $4)",
                locked.key,
                newest["history"] + 1,
                entry,
                locked.now,
            )
            await self._changed(locked.key, "history", f"{newest['history'] + 1}: {reason}"[:4000])
        return entry

    async def _opening_of(self, election: int) -> bytes | None:
        """Return the opening entry of the newest history; None if the election is not opened."""
        entry: bytes | None = await self._connection.fetchval(
            "SELECT entry FROM opening WHERE election = $1 ORDER BY history DESC LIMIT 1", election
        )
        return entry

    async def _registry_bytes(self, election: int) -> bytes:
        document: bytes = await self._connection.fetchval(
            "SELECT registry FROM election WHERE key = $1", election
        )
        return document

    async def move_embargo(self, election: str, until: datetime) -> None:
        """Move the embargo's end to a later time, before it has passed. Idempotent."""
        async with self._act(election) as locked:
            if locked.released_at is not None or locked.now >= locked.publish_from:
                raise Refused(f"the embargo of {election} ended at {locked.publish_from.isoformat()}")
            if until == locked.publish_from:
                return
            if until < locked.publish_from:
                raise Refused(
                    f"the embargo can only be moved to a time later than {locked.publish_from.isoformat()}"
                )
            await self._connection.execute(
                "UPDATE embargo SET publish_from = $2 WHERE election = $1", locked.key, until
            )
            await self._changed(
                locked.key, "embargo", f"from {locked.publish_from.isoformat()} to {until.isoformat()}"
            )

    async def close_election(self, election: str) -> list[OpenHold]:
        """Close an election: no further report is accepted. Idempotent. Return the holds that are still open.

        They are decided after the closing as before it.
        """
        async with self._act(election) as locked:
            rows = await self._connection.fetch(
                "SELECT h.unit, h.revision, h.since, h.codes FROM hold h"
                " WHERE h.election = $1 AND h.state = 'open' ORDER BY h.since, h.unit",
                locked.key,
            )
            if locked.closed_at is None:
                await self._connection.execute(
                    "UPDATE head SET closed_at = clock_timestamp() WHERE election = $1", locked.key
                )
                await self._changed(locked.key, "close", f"after {counted(locked.accepted, 'report')}")
        return [OpenHold(*row) for row in rows]

    async def raise_revisions(self, election: str, unit: str) -> RevisionCeiling:
        """Raise a unit's revision ceiling to REVISION_STEP above its newest revision, and return both.

        Idempotent, so that repeated calls do not use up the remaining numbers. Raises Refused for an unknown unit, and
        if the current revision is the highest possible number.
        """
        async with self._act(election) as locked:
            if unit not in locked.registry.units:
                raise Refused(f"{unit!r} is not a unit of {election}")
            row = await self._connection.fetchrow(
                "SELECT greatest((SELECT max(r.revision) FROM report r WHERE r.election = $1 AND r.unit = $2),"
                "   (SELECT max(h.revision) FROM hold h WHERE h.election = $1 AND h.unit = $2)),"
                " (SELECT c.ceiling FROM revision_ceiling c WHERE c.election = $1 AND c.unit = $2)",
                locked.key,
                unit,
            )
            assert row is not None
            current, ceiling = row[0] or 0, row[1] or REVISION_CEILING
            if current == COUNT_MAX:
                raise Refused(
                    f"unit {unit} is at revision {current}, the highest possible: no report can follow it"
                )
            wanted = min(current + REVISION_STEP, COUNT_MAX)
            if wanted <= ceiling:
                return RevisionCeiling(current, ceiling)
            await self._connection.execute(
                "INSERT INTO revision_ceiling (election, unit, ceiling) VALUES ($1, $2, $3)"
                " ON CONFLICT (election, unit) DO UPDATE SET ceiling = excluded.ceiling",
                locked.key,
                unit,
                wanted,
            )
            await self._changed(locked.key, "revisions", f"unit {unit}, at {current}: up to {wanted}")
        return RevisionCeiling(current, wanted)

    async def issue_token(
        self,
        election: str,
        areas: Sequence[str],
        *,
        role: str = "sender",
        expires_at: datetime | None = None,
        note: str = "",
    ) -> IssuedToken:
        """Issue a token of 256 random bits for some areas and all below them; only its SHA-256 is stored."""
        return (await self.issue_tokens(election, [(areas, note)], role=role, expires_at=expires_at))[0]

    async def issue_tokens(
        self,
        election: str,
        wanted: Sequence[tuple[Sequence[str], str]],
        *,
        role: str = "sender",
        expires_at: datetime | None = None,
    ) -> list[IssuedToken]:
        """Issue a token for each (areas, note) in one act.

        Raises CommittedLocally, naming the tokens by their keys; their secrets are discarded then, so that nobody
        relies on tokens that a failover can lose.
        """
        tokens = [NewToken(areas, note) for areas, note in wanted]
        keys: list[int] = []
        try:
            async with self._act(election) as locked:
                await self._issue(locked, tokens, role, expires_at, keys)
        except CommittedLocally as error:
            raise CommittedLocally(
                "committed on the primary, but perhaps not on the synchronous standby: a failover can still lose the"
                f" issued tokens (numbers {', '.join(map(str, keys))}). Their secrets are not shown: revoke"
                " these tokens and issue new ones once the standby is back"
            ) from error
        return [IssuedToken(key, token.secret) for key, token in zip(keys, tokens, strict=True)]

    async def issue_known_tokens(
        self,
        election: str,
        tokens: Sequence[NewToken],
        *,
        role: str = "sender",
        expires_at: datetime | None = None,
    ) -> None:
        """Issue tokens whose secrets the caller has already stored, all in one act or none.

        Raises Refused also if an area has a valid token of this role already. Raises JournalUnavailable if it is not
        known whether the tokens exist, or whether the standby has them; `has_issued` then finds out.
        """
        wanted = {area for token in tokens for area in token.areas}
        async with self._act(election) as locked:
            present = await self._connection.fetchval(
                "SELECT count(DISTINCT area) FROM token t CROSS JOIN LATERAL unnest(t.areas) AS area"
                " WHERE t.election = $1 AND t.role = $2 AND t.revoked_at IS NULL AND area = ANY ($3)"
                " AND (t.expires_at IS NULL OR t.expires_at > $4)",
                locked.key,
                role,
                list(wanted),
                locked.now,
            )
            if present:
                raise Refused(
                    f"of {counted(len(wanted), 'area')}, {present} got a token meanwhile; nothing was issued"
                )
            await self._issue(locked, tokens, role, expires_at, [])

    async def has_issued(self, election: str, tokens: Sequence[NewToken]) -> bool:
        """Return whether these tokens were issued in one act, revoked since or not, and make that act durable.

        Waits for an act that is still in progress, so the answer is final. Raises Refused if only some exist.
        """
        async with self._act(election) as locked:
            found = await self._connection.fetchval(
                "SELECT count(*) FROM token t WHERE t.election = $1 AND t.digest = ANY ($2)",
                locked.key,
                [token.digest for token in tokens],
            )
        if found not in (0, len(tokens)):
            raise Refused(f"of {counted(len(tokens), 'token')}, {found} were issued for {election}")
        return bool(tokens) and found == len(tokens)

    async def _issue(
        self,
        locked: LockedElection,
        tokens: Sequence[NewToken],
        role: str,
        expires_at: datetime | None,
        keys: list[int],
    ) -> None:
        """Insert tokens in one statement, however many they are, and append their keys to `keys`."""
        unknown = [area for token in tokens for area in token.areas if area not in locked.registry.by_id]
        if unknown:
            raise Refused(f"not areas of {locked.registry.id}: {', '.join(unknown[:10])}")
        if not all(token.areas for token in tokens):
            raise Refused("a token needs at least one area")
        rows = await self._connection.fetch(
            "INSERT INTO token (election, digest, areas, role, note, expires_at)"
            " SELECT $1, s.digest, ARRAY(SELECT jsonb_array_elements_text(s.areas::jsonb)), $5, s.note, $6"
            " FROM unnest($2::bytea[], $3::text[], $4::text[]) WITH ORDINALITY AS s (digest, areas, note, place)"
            " ORDER BY place RETURNING key",
            locked.key,
            [token.digest for token in tokens],
            [orjson.dumps(list(token.areas)).decode() for token in tokens],
            [token.note for token in tokens],
            role,
            expires_at,
        )
        keys += [row["key"] for row in rows]
        named = ", ".join(area for token in tokens[:5] for area in token.areas[:5])
        await self._changed(locked.key, "token issue", f"{len(keys)} for {named}")

    async def revoke_token(self, key: int) -> TokenSummary:
        """Revoke a token at once, in every process; return it as it was before. Idempotent."""
        token = await self.token(key)
        if token is None:
            raise Refused(f"there is no token {key}")
        async with self._act(token.election) as locked:
            revoked = await self._connection.fetchval(
                "UPDATE token SET revoked_at = clock_timestamp() WHERE key = $1 AND revoked_at IS NULL RETURNING key",
                key,
            )
            if revoked is not None:
                await self._changed(locked.key, "token revoke", str(key))
        return token


def _require_fit(document: bytes, registry: Registry) -> None:
    """Raise MalformedPrevious if a previous election that was loaded before does not fit a new registry."""
    try:
        read_previous(orjson.loads(document), registry)
    except MalformedPrevious as error:
        hint = "the previous election loaded before does not fit this registry: load it again or remove it"
        raise MalformedPrevious([hint, *error.problems]) from error


@asynccontextmanager
async def administration(
    url: str, author: str, on_wait: Callable[[str], None] | None = None, *, require_standby: bool = False
) -> AsyncIterator[Administration]:
    """Open a connection for administrative acts by `author`; `on_wait` is called with a text while one waits.

    With `require_standby`, none is performed without a synchronous standby, see `Acts`.
    """
    connection = await connect(url, statement_s=60.0)
    try:
        acts = Administration(connection, author, require_standby=require_standby)
        if on_wait is None:
            with _lock_waits_named(LockWait()):
                yield acts
            return
        async with lock_waits_reported(connection, partial(connect, url), on_wait) as wait:
            with _lock_waits_named(wait):
                yield acts
    finally:
        connection.terminate()


@contextmanager
def _lock_waits_named(wait: LockWait) -> Iterator[None]:
    """Name the lock that an act did not get, and who has it, in its error."""
    try:
        yield
    except (CommittedLocally, StandbyMissing):  # the wait for a lock was not the cause
        raise
    except JournalUnavailable as error:
        if isinstance(error.__cause__, asyncpg.LockNotAvailableError):
            raise JournalUnavailable(gave_up(wait)) from error
        if wait.text:
            raise JournalUnavailable(f"gave up waiting for {wait.text}: {error}") from error
        raise
