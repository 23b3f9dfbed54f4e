"""What a push process knows of each election: registry, tokens, and the version they belong to.

It is a copy, and every append names the version it is based on; the journal rejects a batch that is based on an older
one. So a revoked token and a new registry take effect at the moment they are committed, in every process, however late
the copy is renewed.
"""

import asyncio
import hashlib
import math
from collections.abc import Callable
from datetime import datetime

from gateway.clock import SYSTEM_CLOCK, Clock
from gateway.deadline import wait_at_most
from gateway.election.outcome import Refusal, refusal_of
from gateway.election.registry import Registry
from gateway.election.validation import ExplanationBudget, Scope, Validator, ValidReport
from gateway.errors import ElectionUnknown, JournalUnavailable
from gateway.journal.postgres import ElectionRow, PostgresJournal
from gateway.telemetry.logs import Outage

REFRESH_S = 1.0
"""How often versions are read, in seconds; a NOTIFY makes it sooner."""
REFRESH_MIN_S = 0.02
"""The shortest time between two refreshes for an unknown token or election, or after notifications, which any login may
send; a request that comes sooner waits."""


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


class ElectionVersion:
    """An election at one version. Immutable, so it can be recorded which version a report was checked by."""

    def __init__(self, identifier: str, row: ElectionRow) -> None:
        self.id = identifier
        self.key = row.key
        self.version = row.version
        self.registry = row.registry
        self.policy = row.policy if row.policy is not None else row.registry.policy
        self.validator = Validator(row.registry, row.ceilings)
        self.publish_from = row.publish_from
        self.released = row.released
        self.closed = row.closed
        self._tokens = {
            each.digest: Token(each.key, each.areas, each.role, each.expires_at, row.registry)
            for each in row.tokens
        }
        self._by_key = {token.key: token for token in self._tokens.values()}

    def find_token(self, secret: str, now: datetime) -> Token | None:
        """Return the token with this secret, None if it is not a valid one of this election.

        It is looked up by its SHA-256, so the time it takes reveals nothing about any token.
        """
        token = self._tokens.get(_digest(secret))
        return None if token is None or token.expired(now) else token

    def holder(self, secret: str) -> int | None:
        """Return the key of the token with this secret, also if it has expired; None if there is none."""
        token = self._tokens.get(_digest(secret))
        return None if token is None else token.key

    def valid_token(self, key: int, now: datetime) -> Token | None:
        """Return the token with this key if it is still valid."""
        found = self._by_key.get(key)
        return None if found is None or found.expired(now) else found

    def check(
        self, raw: bytes, token: Token, budget: ExplanationBudget | None = None
    ) -> ValidReport | Refusal:
        """Check a report as it was sent, see `Validator.check`. Raises MalformedDocument."""
        checked = self.validator.check(raw, token.scope, budget)
        return checked if isinstance(checked, ValidReport) else refusal_of(checked)

    def check_again(self, sender: int, valid: ValidReport, now: datetime) -> ValidReport | Refusal:
        """Check again a report that was valid by another version."""
        token = self.valid_token(sender, now)
        if token is None:
            return Refusal("token_revoked", valid.report.unit, valid.report.revision)
        return self.check(valid.body, token)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


class Elections:
    """The elections of one push process. Invariants:

    * A version is replaced only by one that was read after it, and that differs in its number or in its release, or
      was read from another host. The number may be lower, and a release undone, where the database is a restored or
      badly failed-over one; it may also be that of another act.
    * An election is dropped only if a refresh that began after it was read does not find it.
    * For an unknown token or election Postgres is asked again, so one just made is found; but one refresh at a time,
      and one per REFRESH_MIN_S, however many unknown clients ask.
    """

    def __init__(
        self,
        journal: PostgresJournal,
        on_renewed: Callable[[ElectionVersion], None],
        *,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._on_renewed = on_renewed
        self._versions: dict[str, ElectionVersion] = {}
        self._again: set[str] = set()
        """Elections that are to be replaced whatever their numbers are, since the host has changed."""
        self._begun = self._answered = 0
        """How many refreshes have begun, and the number of the last one that has ended."""
        self._began_at = -math.inf
        self._failed: JournalUnavailable | None = None
        self._refreshing = asyncio.Lock()
        self._renewing = asyncio.Lock()
        self._refresh_wanted = asyncio.Event()
        self._known = asyncio.Event()

    async def wait_known(self) -> None:
        """Wait until the elections were read for the first time."""
        await self._known.wait()

    def known(self) -> list[ElectionVersion]:
        """Return the elections known now."""
        return list(self._versions.values())

    def get(self, identifier: str) -> ElectionVersion | None:
        """Return an election if it is known now."""
        return self._versions.get(identifier)

    def refresh_soon(self) -> None:
        """Request an early read of the versions, after a notification."""
        self._refresh_wanted.set()

    def read_again(self) -> None:
        """Read all elections again soon: the host has changed.

        After a failover that has lost an act, another act may have its number on the new primary.
        """
        self._again = set(self._versions)
        self._refresh_wanted.set()

    async def find(self, identifier: str) -> ElectionVersion:
        """Return an election. Raises ElectionUnknown, or JournalUnavailable if it was never read."""
        if identifier not in self._versions:
            await self._refresh(REFRESH_MIN_S)
        if identifier not in self._versions:
            raise ElectionUnknown(f"no election {identifier[:64]!r}")
        return self._versions[identifier]

    async def authenticate(self, identifier: str, secret: str) -> tuple[ElectionVersion, Token | None]:
        """Return the election and the token; a token not known yet is looked for in Postgres.

        Raises ElectionUnknown, or JournalUnavailable if Postgres cannot be asked.
        """
        version = await self.find(identifier)
        token = version.find_token(secret, self._clock.now())
        if token is None:
            await self._refresh(REFRESH_MIN_S)
            version = await self.find(identifier)
            token = version.find_token(secret, self._clock.now())
        return version, token

    async def renew(self, identifier: str) -> ElectionVersion:
        """Return the election as Postgres has it now. Raises ElectionUnknown and JournalUnavailable."""
        async with self._renewing:  # one read after another, so that the last one is the newest
            again = identifier in self._again
            self._again.discard(identifier)
            try:
                row = await self._journal.election(identifier)
            except BaseException:
                if again:
                    self._again.add(identifier)
                raise
            known = None if again else self._versions.get(identifier)
            if known is not None and (known.key, known.version, known.released) == (
                row.key,
                row.version,
                row.released,
            ):
                return known
            version = ElectionVersion(identifier, row)
            self._versions[identifier] = version
            self._on_renewed(version)
            return version

    async def refresh(self) -> None:
        """Read the versions of all elections and renew those that changed. Raises JournalUnavailable.

        A caller that arrives during a refresh waits for the next one, together with all others.
        """
        await self._refresh(0.0)

    async def _refresh(self, apart_s: float) -> None:
        """Refresh, at least `apart_s` seconds after the last refresh began."""
        clock, begun_before = self._clock.monotonic, self._begun
        async with self._refreshing:
            if self._answered <= begun_before:  # a refresh answers only those who asked before it began
                pause_s = self._began_at + apart_s - clock()
                if pause_s > 0.0:
                    await asyncio.sleep(pause_s)
                self._began_at = clock()
                self._begun += 1
                try:
                    await self._renew_changed()
                except JournalUnavailable as error:
                    self._failed = error
                else:
                    self._failed = None
                self._answered = self._begun
            if self._failed is not None:
                raise JournalUnavailable(str(self._failed))

    async def _renew_changed(self) -> None:
        before = dict(self._versions)
        found = await self._journal.versions()
        for identifier, (number, released) in found.items():
            newest = self._versions.get(identifier)
            if (
                identifier in self._again
                or newest is None
                or (newest.version, newest.released) != (number, released)
            ):
                await self.renew(identifier)
        for identifier, known in before.items():
            if identifier not in found and self._versions.get(identifier) is known:
                del self._versions[identifier]
        self._known.set()

    async def run(self) -> None:
        """Follow the versions until cancelled; while Postgres is unavailable, the last known ones stay in use."""
        outage = Outage("versions of elections")
        while True:
            self._refresh_wanted.clear()
            try:
                await self._refresh(REFRESH_MIN_S)
            except JournalUnavailable as error:
                outage.failed(error)
            except ElectionUnknown:
                pass  # it was removed between two statements; the next refresh drops it
            else:
                outage.succeeded()
            await wait_at_most(self._refresh_wanted, REFRESH_S)
