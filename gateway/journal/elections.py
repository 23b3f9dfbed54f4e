"""What a push process knows of each election: registry, tokens, and the version they belong to.

It is a copy, and every append says which version it rests on; the journal turns back a batch that rests on an older
one. So a revoked token and a new registry hold from the moment they are committed, in every process, however late
the copy is renewed.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable
from datetime import UTC, datetime

from gateway.election.outcome import Refusal, refusal_of
from gateway.election.registry import Registry
from gateway.election.validation import Scope, Validator, ValidReport
from gateway.errors import ElectionUnknown, JournalUnavailable
from gateway.journal.postgres import ElectionRow, PostgresJournal
from gateway.telemetry.logs import Outage

RENEW_S = 1.0
"""How often versions are asked for; a NOTIFY hastens it."""
MISS_S = 0.02
"""The least time between two looks for an unknown token or election, or upon notifications, which any login may send;
whoever asks sooner waits for its turn."""


class Token:
    """A sender's right to report for the units of some areas, until it expires or is revoked."""

    __slots__ = ("_registry", "_scope", "areas", "expires_at", "key", "role")

    def __init__(
        self, key: int, areas: frozenset[str], role: str, expires_at: datetime | None, registry: Registry
    ) -> None:
        self.key = key
        self.areas = areas
        self.role = role
        self.expires_at = expires_at
        self._registry = registry
        self._scope: Scope | None = None

    @property
    def scope(self) -> Scope:
        """The units it may report."""
        if self._scope is None:
            self._scope = Scope(self._registry, self.areas)
        return self._scope

    def expired(self, now: datetime) -> bool:
        """Whether its time is over."""
        return self.expires_at is not None and now >= self.expires_at


class Standing:
    """An election at one version. Immutable, so whatever was checked against it can say so."""

    def __init__(self, identifier: str, row: ElectionRow) -> None:
        self.id = identifier
        self.key = row.key
        self.version = row.version
        self.registry = row.registry
        self.validator = Validator(row.registry, row.ceilings)
        self.publish_from = row.publish_from
        self.released = row.released
        self.closed = row.closed
        self._tokens = {
            each.digest: Token(each.key, each.areas, each.role, each.expires_at, row.registry)
            for each in row.tokens
        }
        self._by_key = {token.key: token for token in self._tokens.values()}

    def token(self, secret: str, now: datetime) -> Token | None:
        """Return the token that a sender shows, None if it is not one of this election now.

        It is looked up by its SHA-256, so the time it takes tells nothing of any token.
        """
        token = self._tokens.get(hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest())
        return None if token is None or token.expired(now) else token

    def holds(self, token: int, now: datetime) -> Token | None:
        """Return the token with this key if it still holds."""
        found = self._by_key.get(token)
        return None if found is None or found.expired(now) else found

    def check_again(self, sender: int, valid: ValidReport, now: datetime) -> ValidReport | Refusal:
        """Judge a report again that was valid under another version."""
        token = self.holds(sender, now)
        if token is None:
            return Refusal("token_revoked", valid.report.unit, valid.report.revision)
        judged = self.validator.check(valid.body, token.scope)
        return judged if isinstance(judged, ValidReport) else refusal_of(judged)


class Elections:
    """The elections of one push process. Invariants:

    * A standing is replaced only by one that was read after it, at another version or released otherwise. That may
      be a lower version, and a release taken back, where the database is a restored or badly failed-over one.
    * A standing goes only where a look that began after it was made does not find it.
    * For an unknown token or election Postgres is asked anew, so one just made is found; but once at a time and
      once in MISS_S for all, however many strangers knock.
    """

    def __init__(self, journal: PostgresJournal, on_renewed: Callable[[Standing], None]) -> None:
        self._journal = journal
        self._on_renewed = on_renewed
        self._standings: dict[str, Standing] = {}
        self._looked_at = -1.0
        self._failed: JournalUnavailable | None = None
        self._looking = asyncio.Lock()
        self._renewing = asyncio.Lock()
        self._wanted = asyncio.Event()
        self._known = asyncio.Event()

    async def wait_known(self) -> None:
        """Wait until the elections were read for the first time."""
        await self._known.wait()

    def known(self) -> list[Standing]:
        """Return the standings known now."""
        return list(self._standings.values())

    def want(self) -> None:
        """Have versions looked at soon: something was notified."""
        self._wanted.set()

    async def standing(self, identifier: str) -> Standing:
        """Return an election. Raises ElectionUnknown, or JournalUnavailable where it was never seen."""
        if identifier not in self._standings:
            await self._look_again()
        if identifier not in self._standings:
            raise ElectionUnknown(f"no election {identifier[:64]!r}")
        return self._standings[identifier]

    async def authenticate(self, identifier: str, secret: str) -> tuple[Standing, Token | None]:
        """Return the election and the token; a token not known yet is looked for in Postgres.

        Raises ElectionUnknown, or JournalUnavailable where that cannot be told.
        """
        standing = await self.standing(identifier)
        token = standing.token(secret, datetime.now(UTC))
        if token is None:
            await self._look_again()
            standing = await self.standing(identifier)
            token = standing.token(secret, datetime.now(UTC))
        return standing, token

    async def renew(self, identifier: str) -> Standing:
        """Return the election as Postgres has it now. Raises ElectionUnknown and JournalUnavailable."""
        async with self._renewing:  # one read after another, so that the last one is the newest
            row = await self._journal.election(identifier)
            known = self._standings.get(identifier)
            if known is not None and (known.key, known.version, known.released) == (
                row.key,
                row.version,
                row.released,
            ):
                return known
            standing = Standing(identifier, row)
            self._standings[identifier] = standing
            self._on_renewed(standing)
            return standing

    async def look(self) -> None:
        """Ask for the versions of all elections and renew those that changed. Raises JournalUnavailable.

        Who asks while another looks shares the next look.
        """
        await self._look(0.0)

    async def _look_again(self) -> None:
        await self._look(MISS_S)

    async def _look(self, apart_s: float) -> None:
        """Look, at least so long after the last look began."""
        clock = time.monotonic  # finer than the loop's: a look answers for those only who asked before it
        asked_at = clock()
        async with self._looking:
            if self._looked_at < asked_at:
                pause_s = self._looked_at + apart_s - clock()
                if pause_s > 0.0:
                    await asyncio.sleep(pause_s)
                began_at = clock()
                try:
                    await self._compare()
                except JournalUnavailable as error:
                    self._failed = error
                else:
                    self._failed = None
                self._looked_at = began_at
            if self._failed is not None:
                raise JournalUnavailable(str(self._failed))

    async def _compare(self) -> None:
        before = dict(self._standings)
        versions = await self._journal.versions()
        for identifier, (version, released) in versions.items():
            known = self._standings.get(identifier)
            if known is None or (known.version, known.released) != (version, released):
                await self.renew(identifier)
        for identifier in set(before) - set(versions):
            if self._standings.get(identifier) is before[identifier]:
                del self._standings[identifier]
        self._known.set()

    async def run(self) -> None:
        """Follow the versions until cancelled; while Postgres is away the last known stand."""
        versions = Outage("versions of elections")
        while True:
            self._wanted.clear()
            try:
                await self._look_again()
            except JournalUnavailable as error:
                versions.away(error)
            except ElectionUnknown:
                pass  # gone between two statements; the next look tells
            else:
                versions.back()
            await _first(self._wanted, RENEW_S)


async def _first(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        pass
