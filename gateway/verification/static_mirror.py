"""The signed record in a mirror (section 13 of the contract), in its directory or on a web server.

It is read as a copy is, whose paths it has, but the publications are in ranges. A mirror also shows areas: what the
files that `live.json` names lead to.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, urlsplit

import msgspec

from gateway.client.http_session import environment_proxy, open_session
from gateway.verification.copies import Copy, PublicationLine, ShownAreas, SignedRecord, read_publication_line
from gateway.verification.failures import NotThere, VerificationFailed
from gateway.verification.feed_record import (
    CONNECTIONS,
    ELECTIONS,
    FEED_MAX,
    PAGE_MAX,
    REQUEST_S,
    SILENCE_S,
    is_url,
    open_record,
)
from gateway.verification.web_copy import WebCopy
from gateway.wire.mirror import ELECTIONS as ELECTIONS_FILE
from gateway.wire.mirror import (
    LIVE_READ_MAX,
    Live,
    MalformedMirror,
    decode_live,
    election_path,
    is_behind,
    range_path,
    rest_path,
    route,
)

RANGE = 1000
"""Publications of a complete range."""
LIST_MAX = 16 << 20
"""Bytes of the list of elections."""
BEHIND_S, POLL_S = 90.0, 2.0
"""How long the publications may be behind the areas, in seconds, and the seconds between two looks."""
ATTEMPTS = 5
"""How often the files of a `live.json` are read, if they are replaced meanwhile."""


class StaticMirror(SignedRecord):
    """The record of one election in a mirror; `document` reads a file below the directory of the election."""

    is_door = False
    has_publications = True
    shows_areas = True

    async def publications(self, after: int, last: int) -> AsyncIterator[list[PublicationLine]]:
        """Yield the publications after a sequence up to `last`, a file at a time; fewer if the record ends before."""
        live = await self._live()
        ranges = live.ranges
        while after < last:
            number = after // RANGE + 1
            if number <= ranges:
                path = _below(live, range_path(live.election, live.history, number))
                found = _after(await self._page(path), after, last, f"{self.where}{path}")
                if not found:
                    text = f"{self.where}{path}: a complete range without publication {after + 1}"
                    raise VerificationFailed("chain_mismatch", text)
                after += len(found)
                yield found
                continue
            path = _below(live, rest_path(live.election))
            lines = await self._page(path)
            if lines and lines[0].sequence > RANGE * number:
                ranges = number  # it was completed, and written, after this `live.json`
                continue
            if found := _after(lines, after, last, f"{self.where}{path}"):
                yield found
            return

    async def areas(self, levels: Sequence[str], since: ShownAreas | None = None) -> ShownAreas:  # noqa: ARG002
        """Return every area that the mirror shows, once it has the publications up to there.

        Raises NotThere if it shows no units, or if its publications do not follow: it may have stopped before.
        """
        for _ in range(ATTEMPTS):
            live = await self._live()
            try:
                found = await self._shown(live)
            except NotThere:
                await asyncio.sleep(POLL_S)  # replaced meanwhile
                continue
            if not _has_units(found.areas):
                raise NotThere(f"{self.where}: the mirror has no files of all units")
            await self._wait_published(live)
            return found
        raise VerificationFailed("unreachable", f"{self.where}: live.json names files that do not exist")

    async def _shown(self, live: Live) -> ShownAreas:
        found, size = dict[str, bytes](), 0
        for profile in live.profiles:
            steps = route(live, profile, None)
            for path in steps.files if steps is not None else ():
                body = await self.document(_below(live, path), FEED_MAX - size)
                size += len(body)
                found |= _areas_in(body, f"{self.where}{_below(live, path)}")
        return ShownAreas(live.cursor, live.sequence, live.chain, found)

    async def _wait_published(self, live: Live) -> None:
        """Wait until the publications reach a state. Raises NotThere if they do not: the mirror has stopped."""
        until = asyncio.get_running_loop().time() + BEHIND_S
        while await self._published() < live.sequence:
            newest = await self._live()
            age_s = (datetime.now(UTC) - newest.written_at).total_seconds()
            if is_behind(newest.every_s, age_s) or asyncio.get_running_loop().time() > until:
                raise NotThere(f"{self.where}: the publications do not reach the areas")
            await asyncio.sleep(POLL_S)

    async def _published(self) -> int:
        """Return the sequence of the last publication."""
        live = await self._live()
        rest = _below(live, rest_path(live.election))
        lines = await self._page(rest)
        return max(RANGE * live.ranges, lines[-1].sequence if lines else 0)

    async def _live(self) -> Live:
        try:
            return decode_live(await self.document("/live.json", LIVE_READ_MAX))
        except MalformedMirror as error:
            raise VerificationFailed("unreachable", f"{self.where}/live.json: {error}") from None

    async def _page(self, path: str) -> list[PublicationLine]:
        lines = (await self.document(path, PAGE_MAX)).split(b"\n", 2 * RANGE)[: 2 * RANGE]
        return [read_publication_line(line, f"{self.where}{path}") for line in lines if line]


def _below(live: Live, path: str) -> str:
    """Return a path of a mirror as one below the directory of the election."""
    return path.removeprefix(election_path(live.election))


class _Units(msgspec.Struct):
    total: int


class _Area(msgspec.Struct):
    parent: str | None
    units: _Units
    revision: int | msgspec.UnsetType | None = msgspec.UNSET
    """Only units have it."""


def _has_units(areas: Mapping[str, bytes]) -> bool:
    """Return whether there are as many units among some areas as the root counts."""
    try:
        found = [msgspec.json.decode(each, type=_Area) for each in areas.values()]
    except (ValueError, RecursionError):
        return True  # the comparison will name it
    total = max((each.units.total for each in found if each.parent is None), default=0)
    return sum(each.revision is not msgspec.UNSET for each in found) == total


class _Line(msgspec.Struct):
    area: str | msgspec.UnsetType = msgspec.UNSET
    areas: int | msgspec.UnsetType = msgspec.UNSET


def _areas_in(body: bytes, where: str) -> dict[str, bytes]:
    """Return the documents of a snapshot or a delta by area. Raises VerificationFailed if it is incomplete."""
    *lines, last, end = [b"", *body.split(b"\n")]
    try:
        found = {str(msgspec.json.decode(line, type=_Line).area): line for line in lines[1:]}
        complete = msgspec.json.decode(last, type=_Line).areas == len(lines) - 1 == len(found) and not end
    except (ValueError, RecursionError):
        complete = False
    if not complete:
        raise VerificationFailed("figures_differ", f"{where}: not a complete list of areas")
    return found


def _after(lines: Sequence[PublicationLine], after: int, last: int, where: str) -> list[PublicationLine]:
    """Return the lines after a sequence up to `last`. Raises VerificationFailed (chain_mismatch) if any is missing."""
    found = [each for each in lines if after < each.sequence <= last]
    if [each.sequence for each in found] != list(range(after + 1, after + 1 + len(found))):
        text = f"{where}: publications that are not numbered in order from {after + 1}"
        raise VerificationFailed("chain_mismatch", text)
    return found


class MirrorDirectory(StaticMirror, Copy):
    """A mirror in a directory: that of the election."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.has_publications = True

    async def document(self, path: str, most: int) -> bytes:
        """Return a file. Raises VerificationFailed (unreachable), NotThere if there is no such file."""
        return self.read(path.lstrip("/"), most)


class MirrorUrl(StaticMirror, WebCopy):
    """A mirror on a web server; `url` is that of the election."""

    async def document(self, path: str, most: int) -> bytes:
        """Return a file. Raises VerificationFailed (unreachable), NotThere if there is no such file."""
        return await WebCopy.document(self, path, most)


class _Entry(msgspec.Struct):
    id: str
    rehearsal: bool = False


class _List(msgspec.Struct):
    elections: list[_Entry]


def _chosen(content: bytes, election: str | None) -> str | None:
    """Return the election that was named, or the only one that is not a rehearsal; None if the list has none such."""
    try:
        found = msgspec.json.decode(content, type=_List).elections
    except (ValueError, RecursionError):
        return None
    if election is not None:
        return election if any(each.id == election for each in found) else None
    real = [each.id for each in found if not each.rehearsal] or [each.id for each in found]
    return real[0] if len(real) == 1 else None


@asynccontextmanager
async def open_published(where: str, election: str | None = None) -> AsyncIterator[SignedRecord]:
    """Open the record of an election: in a mirror, at a feed door, or a copy, each by its URL or its directory.

    It is a mirror if there is a `live.json`. Raises VerificationFailed (unreachable), BadProxy.
    """
    if not is_url(where):
        mirror = _directory(Path(where), election)
        if mirror is not None:
            yield mirror
            return
    else:
        url, proxy = where.rstrip("/"), environment_proxy(where)
        async with open_session(
            proxy, total_s=REQUEST_S, silence_s=SILENCE_S, decompress=False, connections_max=CONNECTIONS
        ) as http:
            found: str | None = url
            if not urlsplit(url).path.rpartition(ELECTIONS)[1]:
                content = await MirrorUrl(url, http, proxy).try_document(f"/{ELECTIONS_FILE}", LIST_MAX)
                name = None if content is None else _chosen(content, election)
                found = None if name is None else f"{url}/{election_path(quote(name, safe=''))}"
            if found is not None:
                of_url = MirrorUrl(found, http, proxy)
                if await of_url.try_document("/live.json", LIVE_READ_MAX) is not None:
                    yield of_url
                    return
    async with open_record(where, election) as record:
        yield record


def _directory(directory: Path, election: str | None) -> MirrorDirectory | None:
    """Return the mirror that a directory is or contains; None if there is none."""
    if not (directory / "live.json").is_file():
        try:
            name = _chosen(Copy(directory).read(ELECTIONS_FILE, LIST_MAX), election)
        except VerificationFailed:
            return None
        if name is None:
            return None
        directory /= election_path(name)
    return MirrorDirectory(directory) if (directory / "live.json").is_file() else None


@asynccontextmanager
async def open_copy(where: str, election: str) -> AsyncIterator[SignedRecord]:
    """Open a copy of an election's record: as `open_published` does, or that of a witness by its URL.

    A URL is that of a witness's copy if there is a checkpoint at URL/log/checkpoint, unless it names an election.
    Raises VerificationFailed, BadProxy.
    """
    if not is_url(where) or ELECTIONS in where:
        async with open_published(where, election) as record:
            yield record
        return
    url = where.rstrip("/")
    proxy = environment_proxy(url)
    async with open_session(proxy, total_s=REQUEST_S, decompress=False, connections_max=CONNECTIONS) as http:
        copy = WebCopy(url, http, proxy)
        try:
            await copy.checkpoint()
        except NotThere:
            async with open_published(where, election) as record:
                yield record
        else:
            yield copy
