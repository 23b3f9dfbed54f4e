"""Read an election from a mirror: its `live.json` at intervals, and then the files that lead to the newest state.

Everything that a mirror may send is bounded in bytes and time, and what is not of its format is named.
"""

import asyncio
from datetime import datetime
from random import Random
from urllib.parse import quote

import aiohttp
import msgspec

from gateway.backoff import Backoff, with_jitter
from gateway.client.failures import URL_MAX, Failure
from gateway.client.http_json import json_object
from gateway.client.mirror_age import MirrorAge
from gateway.client.mirror_files import take_file
from gateway.client.mirror_requests import ABSENT, MirrorFailed, MirrorRequests
from gateway.client.mirror_selection import Chosen, choose, needs_registry
from gateway.client.proxies import Proxy
from gateway.client.updates import Areas, Update
from gateway.clock import SYSTEM_CHANCE, SYSTEM_CLOCK, Clock
from gateway.election.registry_reading import read_registry
from gateway.errors import MalformedRegistry
from gateway.wire.mirror import (
    DEFAULT,
    ELECTIONS,
    LIVE_READ_MAX,
    Live,
    MalformedMirror,
    Position,
    Route,
    decode_live,
    election_path,
    is_behind,
    live_path,
    route,
)

REGISTRY_MAX = 64 << 20
"""Bytes of a registry, unpacked."""
ELECTIONS_MAX = 1 << 20
"""Bytes of the list of elections, unpacked."""
EVERY_MIN_S, EVERY_MOST_S = 1, 60
"""Bounds of the interval between two requests for `live.json`, in seconds, for any `every_s` in it."""
RETRY_FIRST_S, RETRY_MOST_S = 1.0, 30.0
WHOLE_EVERY_S = 30.0
"""Seconds after which the whole `live.json` of a mirror that is behind is requested again.

A cache may keep the ETag of a file that has changed.
"""


class MirrorReader:
    """Follows the mirror of an election. Invariants:

    * Files are applied completely or not at all, all of a route in one update.
    * Within a history it never goes back, since a cache may have an older `live.json`. A history that is not later than
      all before is taken only from a mirror that goes on where the one that was read has stopped, and as that of
      another mirror: a reader that is ahead of it waits.
    * After a failure, requests are repeated at growing intervals.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        mirror_url: str,
        election: str,
        *,
        levels: str | None = None,
        areas: str | None = None,
        every_s: int = 0,
        gzip: bool = True,
        decode: bool = True,
        raw: bool = False,
        proxy: Proxy | None = None,
        clock: Clock = SYSTEM_CLOCK,
        chance: Random = SYSTEM_CHANCE,
    ) -> None:
        self.requests = MirrorRequests(session, mirror_url, gzip=gzip, proxy=proxy, clock=clock)
        self._chance = chance
        self._election = election
        self._path = quote(election, safe="")
        self._levels = levels
        self._areas = areas
        self._every_s = every_s
        self._decode = decode
        self._raw = raw
        self._live: Live | None = None
        self._latest_history = ""
        self._whole_at_s = 0.0
        """When the whole `live.json` was requested that was read last."""
        self._is_other = False
        """Whether the history is not later than all before."""
        self._etag: str | None = None
        self._is_found = False
        """Whether `find` has read `live.json`, and nothing since."""
        self._given: tuple[str, datetime] | None = None
        """The history and `written_at` of the state that was given last."""
        self._chosen: Chosen | None = None
        self._age = MirrorAge()
        self._backoff = Backoff(RETRY_FIRST_S, RETRY_MOST_S)
        self._next_at_s = 0.0

    @property
    def url(self) -> str:
        """The URL of the mirror, without a slash at its end."""
        return self.requests.url

    @property
    def age_s(self) -> float | None:
        """How old the newest state of the mirror is, in seconds; None before it is known."""
        return self._age.age_s(_clock())

    @property
    def is_behind(self) -> bool:
        """Whether the mirror has not been refreshed for longer than its interval allows."""
        age_s = self.age_s
        live = self._live
        return live is not None and age_s is not None and is_behind(live.every_s, age_s, live.closed_at)

    @property
    def closed_at(self) -> datetime | None:
        """When the election was closed, if nothing follows what the mirror has; None otherwise."""
        return self._live.closed_at if self._live is not None else None

    async def next(self, reader: Position | None) -> Update | None:
        """Wait until the next request is due, and return what is new for a reader, or None.

        An update may have no areas: then nothing has changed but the position and the age. Raises MirrorFailed, and
        NotInMirror for a selection that no profile contains.
        """
        await asyncio.sleep(max(0.0, self._next_at_s - _clock()))
        try:
            update = await self._poll(reader)
        except MirrorFailed as failed:
            pause_s = with_jitter(self._backoff.next(), 1.5, chance=self._chance)
            wait_s = max(pause_s, failed.failure.retry_after_s or 0.0)
            self._next_at_s = _clock() + wait_s
            raise
        self._backoff.reset()
        self._next_at_s = _clock() + self._interval_s()
        return update

    async def find(self) -> Failure | None:
        """Return None if there is a mirror of the election at the URL, else why not.

        The failure is permanent if there is a mirror, but not one that can be read.
        """
        try:
            await self._read_live()
        except MirrorFailed as failed:
            return await self._other_elections() or failed.failure
        self._is_found = True
        return None

    def _interval_s(self) -> float:
        every_s = self._live.every_s if self._live is not None else EVERY_MIN_S
        if self.closed_at is not None:
            every_s = EVERY_MOST_S
        interval_s = min(max(every_s, self._every_s, EVERY_MIN_S), EVERY_MOST_S)
        return interval_s * self._chance.uniform(0.8, 1.2)

    async def _poll(self, reader: Position | None) -> Update | None:
        if not self._is_found:
            await self._read_live()
        self._is_found = False
        live = self._live
        assert live is not None
        chosen = await self._choose(live)
        if chosen.profile not in live.profiles:
            raise self._malformed(live_path(self._path), f"it has no profile {chosen.profile}")
        is_other = self._given is None or self._is_other
        if reader is not None and is_other and reader.history != live.history:
            reader = Position(reader.sequence, reader.cursor)  # histories of other mirrors mean nothing here
        found = route(live, chosen.profile, reader)
        if found is None or (not found.files and self._given == (live.history, live.written_at)):
            return None
        update = await self._read_route(live, chosen, found)
        self._given = live.history, live.written_at
        return update

    async def _read_live(self) -> None:
        """Read `live.json`, unless it is unchanged, or older than the one that is known."""
        path = live_path(self._path)
        asked_at_s = _clock()
        is_doubtful = self.is_behind and asked_at_s - self._whole_at_s >= WHOLE_EVERY_S
        etag = None if is_doubtful else self._etag
        answer = await self.requests.get(path, LIVE_READ_MAX, etag=etag)
        if answer.status == 304 and self._live is not None:
            self._age.observe(self._live.written_at, answer.now, asked_at_s)
            return
        if answer.status in ABSENT:
            why = f"answered {answer.status}: there is no mirror of this election"
            raise self.requests.failed("mirror_missing", path, why, answer.status)
        self._whole_at_s = asked_at_s
        try:
            live = decode_live(answer.body)
        except MalformedMirror as error:
            raise self._malformed(path, str(error)) from None
        if live.election != self._election:
            raise self._malformed(path, "it is that of another election")
        if self._is_older(live):
            return
        if self._live is not None and live.history != self._live.history:
            self._chosen = None  # the registry may be another one
            self._is_other = live.history <= self._latest_history
        self._latest_history = max(live.history, self._latest_history)
        self._live, self._etag = live, answer.etag
        self._age.observe(live.written_at, answer.now, asked_at_s)

    def _is_older(self, live: Live) -> bool:
        """Return whether a `live.json` is from a cache that is late; a history begins with the time when it began.

        Another mirror may take the place of one that has stopped, with an earlier history: it is written later.
        """
        known = self._live
        if known is None or live.history > self._latest_history:
            return False
        if live.history == known.history:
            return (live.sequence, live.written_at) < (known.sequence, known.written_at)
        return not (self.is_behind and live.written_at > known.written_at)

    async def _choose(self, live: Live) -> Chosen:
        """Return the profile for the selection. Raises NotInMirror, MirrorFailed."""
        if self._chosen is None and not needs_registry(self._levels, self._areas):
            self._chosen = Chosen(DEFAULT)
        if self._chosen is None:
            path = f"{election_path(self._path)}.json"
            content = await self.requests.file(path, REGISTRY_MAX)
            try:
                registry = read_registry((json_object(content) or {}).get("registry"), stored=True)
            except (MalformedRegistry, RecursionError):
                raise self._malformed(path, "not the document of an election") from None
            self._chosen = choose(registry, live.profiles, self._levels, self._areas)
        return self._chosen

    async def _read_route(self, live: Live, chosen: Chosen, found: Route) -> Update:
        """Read the files of a route as one update: without the last one, the first may be older than the reader."""
        areas = Areas(self._decode, self._raw, chosen.areas)
        server_time = live.written_at
        for number, path in enumerate(found.files):
            content = await self.requests.file(path)
            try:
                header = take_file(content, path, snapshot=found.snapshot and not number, areas=areas)
            except MalformedMirror as error:
                raise self._malformed(path, str(error)) from None
            server_time = header.server_time
        return Update(
            live.cursor,
            live.sequence,
            live.chain,
            live.published_at,
            found.snapshot,
            server_time,
            live.holds,
            areas,
            live.history,
        )

    async def _other_elections(self) -> Failure | None:
        """Return that a mirror has other elections only, if this is a mirror at all."""
        try:
            answer = await self.requests.get(ELECTIONS, ELECTIONS_MAX)
            names = [each.id for each in msgspec.json.decode(answer.body, type=_Elections).elections]
        except (MirrorFailed, ValueError, RecursionError):
            return None
        if self._election in names:
            return None
        known = ", ".join(names[:10])[:URL_MAX] or "none"
        text = f"{self.url}: this mirror has no election {self._election[:64]!r}; it has: {known}"
        return Failure("mirror_missing", text, permanent=True, status=404)

    def _malformed(self, path: str, why: str) -> MirrorFailed:
        return self.requests.failed("mirror_malformed", path, why)


class _Election(msgspec.Struct):
    id: str


class _Elections(msgspec.Struct):
    elections: list[_Election]


def _clock() -> float:
    return asyncio.get_running_loop().time()
