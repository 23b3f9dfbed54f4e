"""A feed door without a database, whose record is signed: real pages, with documents made up. And proofs of reports."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.page_composition import FEED_PAGES
from gateway.transparency.checkpoint import Checkpoint
from gateway.transparency.cosignature import cosign
from gateway.transparency.ed25519 import SigningKey
from gateway.transparency.note import COSIGNATURE, ED25519, Note
from gateway.transparency.proof_file import ProofFile
from gateway.transparency.tree import Tree
from gateway.web.pages import add_pages

ELECTION = "st-2025"
ORIGIN = f"results.example.no/live/{ELECTION}"
UNIT, NAME = "0301-0001", "Gamle Oslo"
REPORTS = 12
LOG = SigningKey(ORIGIN, ED25519, b"l" * 32)
OTHER = SigningKey(ORIGIN, ED25519, b"o" * 32)
"""A key of the same name, which is not that of the log."""
WITNESSES = tuple(SigningKey(f"w{number}.example.org", COSIGNATURE, b"%d" % number * 32) for number in (1, 2))
REGISTRY: dict[str, Any] = {
    "election": {"id": ELECTION, "timezone": "Europe/Oslo", "categories": ["advance", "election_day"]},
    "areas": [
        {"id": "no", "parent": None, "level": "country", "name": "Norge"},
        {"id": UNIT, "parent": "no", "level": "precinct", "name": NAME},
    ],
    "parties": [{"code": "A", "name": "Arbeiderpartiet"}, {"code": "H", "name": "Høyre"}],
}


def a_report(revision: int = 1, **members: Any) -> dict[str, Any]:
    """Return a report of the unit."""
    counts = {
        "ballots": 1234 + revision,
        "blank": 4,
        "rejected": 2,
        "votes": {"A": 1000 + revision, "H": 230},
    }
    return {
        "counted_at": "2025-09-08T22:15:00+02:00",
        "counts": {"advance": counts, "election_day": {**counts, "voters": 1240}},
        "revision": revision,
        "status": "preliminary",
        "unit": UNIT,
    } | members


class SignedRecord:
    """The entries of a log, its tree, and what its keys sign."""

    def __init__(self, reports: int = REPORTS, origin: str = ORIGIN) -> None:
        self.origin = origin
        self.log = SigningKey(origin, ED25519, b"l" * 32)
        self.entries = [b'{"entry":"opening/1"}']
        self.tree = Tree()
        self.tree.append(self.entries[0])
        for revision in range(1, reports + 1):
            self.add(msgspec.json.encode(a_report(revision), order="sorted"))

    def add(self, entry: bytes) -> int:
        """Append an entry and return its index."""
        self.entries.append(entry)
        self.tree.append(entry)
        return self.tree.size - 1

    def note(
        self, *keys: SigningKey, witnesses: tuple[SigningKey, ...] = WITNESSES, at: int | None = None
    ) -> Note:
        """Return the newest checkpoint, signed by keys, that of the log by default, and cosigned."""
        signed = Checkpoint(self.origin, self.tree.size, self.tree.root()).signed_by(*(keys or (self.log,)))
        time = int(datetime.now(UTC).timestamp()) if at is None else at
        return Note(
            signed.text, signed.signatures + tuple(cosign(each, signed.text, time) for each in witnesses)
        )

    def proof(self, index: int, note: Note | None = None, extra: bytes | None = None) -> ProofFile:
        """Return the proof of an entry."""
        entry = self.entries[index] if extra is None else extra
        return ProofFile(
            index, tuple(self.tree.inclusion_proof(index)), self.note() if note is None else note, entry
        )


class SignedDoor:
    """Answers like the feed door, with documents that a test changes."""

    def __init__(self) -> None:
        self.url = ""
        self.record = SignedRecord()
        self.witnesses: tuple[SigningKey, ...] = WITNESSES
        """Those that are configured."""
        self.signed_at = datetime.now(UTC) - timedelta(seconds=3)
        self.note = self.record.note()
        self.published = REPORTS
        self.published_at = datetime.now(UTC)
        self.has_checkpoint = True
        self.is_signed = True
        self.history = 1

    def log(self) -> dict[str, Any] | None:
        """Return what `/v1/elections` shows of the log."""
        if not self.is_signed:
            return None
        return {
            "origin": self.record.origin,
            "vkeys": [str(self.record.log.vkey)],
            "history": self.history,
            "witnesses": [str(each.vkey) for each in self.witnesses],
        }

    def application(self) -> web.Application:
        """Return the routes."""
        application = web.Application()
        base = f"/v1/elections/{ELECTION}"
        application.router.add_get("/v1/elections", self._elections)
        application.router.add_get(base, self._election)
        application.router.add_get(f"{base}/log/checkpoint", self._checkpoint)
        application.router.add_get(f"{base}/log/checkpoints", self._checkpoints)
        application.router.add_get(f"{base}/publications", self._publications)
        add_pages(application, FEED_PAGES)
        return application

    def _document(self) -> dict[str, Any]:
        return {
            "id": ELECTION, "name": "Stortingsvalget 2025", "date": "2025-09-08", "rehearsal": False,
            "publish_from": "2025-09-08T19:00:00Z", "released_at": "2025-09-08T19:00:00Z", "closed_at": None,
            "sequence": self.published, "chain": "0" * 64, "levels": ["country", "precinct"], "units": 1,
            "log": self.log(),
        }  # fmt: skip

    async def _elections(self, _: web.Request) -> web.Response:
        return web.json_response({"elections": [self._document()]})

    async def _election(self, _: web.Request) -> web.Response:
        return web.json_response({**self._document(), "registry": REGISTRY})

    async def _publications(self, request: web.Request) -> web.Response:
        assert request.query["limit"] == "1"
        line = {
            "sequence": int(request.query["after"]) + 1,
            "published_at": self.published_at.isoformat(),
            "report": a_report(),
        }
        return web.Response(body=msgspec.json.encode(line) + b"\n", content_type="application/x-ndjson")

    async def _checkpoint(self, _: web.Request) -> web.Response:
        if not self.has_checkpoint:
            return web.Response(status=404)
        return web.Response(body=self.note.encode(), content_type="text/plain", charset="utf-8")

    async def _checkpoints(self, request: web.Request) -> web.Response:
        assert request.query["limit"] == "1"
        size, root = self.note.text.split("\n")[1:3]
        assert int(request.query["after"]) == int(size) - 1
        line = {"size": int(size), "root": root, "signed_at": self.signed_at.isoformat()}
        text = msgspec.json.encode({**line, "note": self.note.encode().decode()}) + b"\n"
        return web.Response(body=text, content_type="application/x-ndjson")


@asynccontextmanager
async def signed_door() -> AsyncIterator[SignedDoor]:
    """Run a door with a signed record."""
    door = SignedDoor()
    async with TestServer(door.application()) as server:
        door.url = str(server.make_url("")).rstrip("/")
        yield door


def lines_changed(encoded: bytes) -> Iterator[bytes]:
    """Yield a proof file with one of its lines left out, for each line."""
    lines = encoded.splitlines(keepends=True)
    for left_out in range(len(lines)):
        yield b"".join(lines[:left_out] + lines[left_out + 1 :])
