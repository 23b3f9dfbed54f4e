"""The signed record at the feed door: checkpoints, tiles, entry bundles, proofs, and the registry.

Everything is read from the tree and the archive of this process; only old entries and old checkpoints are read from the
record, whole ranges at a time. Source: C2SP tlog-tiles, tlog-checkpoint, tlog-proof.
"""

import asyncio
import re

from aiohttp import web

from gateway.clock import SYSTEM_CLOCK, Clock
from gateway.errors import JournalUnavailable
from gateway.feed.log_checkpoints import CheckpointText
from gateway.feed.log_entries import read_entries
from gateway.feed.log_views import LogView
from gateway.feed.stream import ElectionFeed
from gateway.transparency.entries import parse_opening
from gateway.transparency.note import parse_note
from gateway.transparency.proof_file import ProofFile
from gateway.transparency.tiles import MalformedTile, Tile, encode_bundle, parse_path
from gateway.web.answers import JSON, Problem
from gateway.web.bodies import Body, BodyCache, body_steps
from gateway.web.client_address import ClientAddresses
from gateway.web.feed_lookup import FeedLookup
from gateway.web.feed_request import LINES, SEQUENCE_MAX, read_number
from gateway.web.fixed_texts import FixedTexts
from gateway.web.negotiation import gzip_accepted
from gateway.web.stream_limits import StreamLimits
from gateway.web.turns import in_slices

BODIES_MAX = 24 << 20
"""Bytes of registries and entry bundles that are cached, with their compressed forms. Those of a night take 10 MB."""
LIMIT_DEFAULT, LIMIT_MAX = 100, 1000
"""Checkpoints per page."""
BUNDLE_COST, PROOF_COST = 32 << 10, 32 << 10
"""What making a bundle costs, beside its bytes, and what making a proof costs, as a number of bytes assembled."""
RETRY_S = 5
"""Seconds after which a proof may be asked for again: the default interval between checkpoints."""

_OCTETS = "application/octet-stream"
_TEXT = "text/plain"
_PUBLIC = {"Cache-Control": "public, max-age=1"}
_IMMUTABLE = {"Cache-Control": "public, max-age=31536000, immutable"}
_NUMBER = re.compile(r"[1-9][0-9]{0,15}", re.ASCII)


class FeedLog:
    """Handlers of the paths below `…/log`. Invariant: no answer depends on more than the newest checkpoint covers."""

    def __init__(
        self,
        lookup: FeedLookup,
        limits: StreamLimits,
        addresses: ClientAddresses,
        texts: FixedTexts,
        *,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._lookup = lookup
        self._clock = clock
        self._limits = limits
        self._addresses = addresses
        self._texts = texts
        self._bodies = BodyCache(BODIES_MAX)
        self._making = asyncio.Lock()

    def add_routes(self, router: web.UrlDispatcher, election: str) -> None:
        """Add the routes of an election, of its newest history and of each by number."""
        for prefix in (f"{election}/log", f"{election}/log/history/{{history}}"):
            router.add_get(prefix + "/checkpoint", self.get_checkpoint)
            router.add_get(prefix + "/checkpoints", self.get_checkpoints)
            router.add_get(prefix + "/checkpoints/{size}", self.get_checkpoint_of_size)
            router.add_get(prefix + "/tile/{level}/{tile:.+}", self.get_tile)
            router.add_get(prefix + "/proof/{sequence}", self.get_proof)
            router.add_get(prefix + "/registry", self.get_registry)

    async def get_checkpoint(self, request: web.Request) -> web.Response:
        """`GET …/log/checkpoint`: the newest checkpoint."""
        _, view = await self._view(request)
        newest = view.checkpoints.newest_text(view.size)
        return Body(newest.note, _TEXT).answer(request, _PUBLIC, gzip=False)

    async def get_checkpoint_of_size(self, request: web.Request) -> web.Response:
        """`GET …/log/checkpoints/{size}`: the checkpoint of a size."""
        _, view = await self._view(request)
        size = _read_positive(request.match_info["size"])
        if size is not None and size > view.size:
            raise _beyond()
        place = None if size is None else view.checkpoints.place(size)
        if place is None:
            raise Problem(404, "unknown_checkpoint", "there is no checkpoint of this size")
        (found,) = await self._checkpoints(request, view, place, 1)
        return Body(found.note, _TEXT).answer(request, _PUBLIC, gzip=False)

    async def get_checkpoints(self, request: web.Request) -> web.Response:
        """`GET …/log/checkpoints`: a page of checkpoints in the order of their sizes, as lines."""
        after = read_number("after", request.query.get("after", "0"), 0, SEQUENCE_MAX)
        limit = read_number("limit", request.query.get("limit", str(LIMIT_DEFAULT)), 1, LIMIT_MAX)
        _, view = await self._view(request)
        found = await self._checkpoints(request, view, view.checkpoints.first_after(after), limit)
        joined = b"".join(each.line for each in found)
        self._limits.allowance.use(self._addresses.of_request(request), len(joined))
        return Body(joined, LINES).answer(request, _PUBLIC, gzip=False, charset=None)

    async def _checkpoints(
        self, request: web.Request, view: LogView, first: int, count: int
    ) -> list[CheckpointText]:
        """Return checkpoints from a place on. Reading them from the record is charged. Raises Problem."""
        client = self._addresses.of_request(request)
        if count > 1:
            self._limits.require_allowance(client)
        if pages := view.checkpoints.pages_to_read(first, first + count):
            self._limits.charge_read(client, pages)
        try:
            return await view.checkpoints.texts(first, first + count)
        except JournalUnavailable as error:
            raise _unavailable() from error

    async def get_tile(self, request: web.Request) -> web.Response:
        """`GET …/log/tile/{L}/{N}[.p/{W}]`: a tile of hashes, or `…/tile/entries/{N}[.p/{W}]`: an entry bundle."""
        feed, view = await self._view(request)
        try:
            tile = parse_path(f"tile/{request.match_info['level']}/{request.match_info['tile']}")
        except MalformedTile as error:
            raise Problem(400, "bad_tile", str(error)) from None
        if tile.end > view.covered:
            raise _beyond()
        if tile.level is None:
            body = await self._bundle(request, feed, view, tile)
            headers = {**_IMMUTABLE, "Vary": "Accept-Encoding"}
            return body.answer(request, headers, gzip=gzip_accepted(request.headers), charset=None)
        return Body(view.hashes(tile), _OCTETS).answer(request, _IMMUTABLE, gzip=False, charset=None)

    async def _bundle(self, request: web.Request, feed: ElectionFeed, view: LogView, tile: Tile) -> Body:
        """Return an entry bundle: made once, and charged to the client that requests it first. Raises Problem."""
        name, version = ("bundle", feed.id, view.head.history, tile.index, tile.width), view.number
        body = self._bodies.find(name, version)
        if body is not None:
            return body
        client = self._addresses.of_request(request)
        self._limits.require_allowance(client)
        async with self._making:
            body = self._bodies.find(name, version)  # another request has made it meanwhile
            if body is None:
                entries = await self._entries(client, feed, view, tile.start, tile.end - 1)
                steps = body_steps(encode_bundle(entries), _OCTETS)
                made = await in_slices(steps, clock=self._clock)
                body = self._bodies.get(name, version, lambda: made)
                self._limits.allowance.use(client, BUNDLE_COST + len(body.plain))
        return body

    async def get_proof(self, request: web.Request) -> web.Response:
        """`GET …/log/proof/{sequence}`: the proof that the newest checkpoint covers a report, with the report."""
        feed, view = await self._view(request)
        sequence = _read_positive(request.match_info["sequence"])
        if sequence is None:
            raise Problem(400, "bad_sequence", "the sequence of a report is a whole number from 1")
        if sequence > view.reports:
            raise _beyond(retry=view.closing is None and request.match_info.get("history") is None)
        client = self._addresses.of_request(request)
        self._limits.require_allowance(client)
        hashes = view.inclusion_proof(sequence)
        if hashes is None:
            raise _beyond()
        (report,) = await self._entries(client, feed, view, sequence, sequence)
        self._limits.allowance.use(client, PROOF_COST)
        note = parse_note(view.checkpoints.newest_text(view.size).note)
        proof = ProofFile(sequence, tuple(hashes), note, report).encode()
        return Body(proof, _TEXT).answer(request, _PUBLIC, gzip=False)

    async def _entries(
        self, client: str, feed: ElectionFeed, view: LogView, first: int, last: int
    ) -> list[bytes]:
        """Return entries of one bundle. Reading them from the record is charged. Raises Problem."""
        await self._lookup.wait_settled(feed)
        if last:
            self._limits.charge_range(client, feed.archive, max(first, 1))
        try:
            return await read_entries(feed, view, first, last)
        except JournalUnavailable as error:
            raise _unavailable() from error

    async def get_registry(self, request: web.Request) -> web.Response:
        """`GET …/log/registry`: the registry whose hash is in the opening entry, byte for byte."""
        feed, view = await self._view(request)
        text = self._texts.get("registry", feed, feed.documents.registry)
        if text.digest.hex() != parse_opening(view.head.opening).registry:
            feed.log.differs("registry", "the registry is not the one in the opening entry")
            raise _unavailable()
        name = ("registry", feed.id)
        body = self._bodies.get(name, feed.generation, lambda: text.between(b"", b"", JSON))
        headers = {**_IMMUTABLE, "Vary": "Accept-Encoding"}
        return body.answer(request, headers, gzip=gzip_accepted(request.headers))

    async def _view(self, request: web.Request) -> tuple[ElectionFeed, LogView]:
        """Return the election of a request, and what is shown of its log. Raises Problem."""
        feed = self._lookup.known(request.match_info["election"])
        await self._lookup.wait_log_known(feed)
        number, current = request.match_info.get("history"), feed.log.current
        if current is None:
            if not feed.log.signed:
                raise Problem(404, "not_signed", "this election has no signed record, or not yet")
            raise (
                _unavailable()
                if feed.log.disagrees
                else Problem(503, "starting", "the log is being compared with the record", retry_after_s=1.0)
            )
        if number is None:
            return feed, current
        history = _read_positive(number)
        view = None if history is None else feed.log.view(history)
        if view is None:
            raise Problem(404, "unknown_history", "the log of this election has no history of this number")
        return feed, view


def _read_positive(text: str) -> int | None:
    """Return a whole number from 1, written without leading zeros; None if it is anything else."""
    return int(text) if _NUMBER.fullmatch(text) else None


def _beyond(*, retry: bool = False) -> Problem:
    """Return the answer to a request for what the newest checkpoint does not cover: the same, whatever follows it."""
    detail = "the newest checkpoint does not cover this"
    headers = {"Retry-After": str(RETRY_S)} if retry else {}
    return Problem(404, "beyond_checkpoint", detail, headers=headers)


def _unavailable() -> Problem:
    detail = "this part of the record cannot be shown: it cannot be read, or is not what was signed"
    return Problem.of(JournalUnavailable.because(detail, 2.0))
