"""A push door without a database, for tests of the page for operators: real pages, with documents made up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.election.rules.policy import recommended
from gateway.page_composition import PUSH_PAGES
from gateway.web.pages import add_pages

ELECTION = "no-storting-2025"
JEVNAKER, ASKER, NORTH, SOUTH = "3236-0001", "3203-0007", "3451-0001", "3451-0002"
AREAS: dict[str, dict[str, Any]] = {
    "3236": {"name": "Jevnaker"},
    JEVNAKER: {"name": "Sentrum", "municipality": "3236"},
    "3203": {"name": "Asker"},
    ASKER: {"name": "Nordre", "municipality": "3203"},
    "3451": {"name": "Nord-Aurdal"},
    NORTH: {"name": "Fagernes", "municipality": "3451"},
    SOUTH: {"name": "Leira", "municipality": "3451"},
    "32": {"name": "Akershus"},
}
PARTIES = ("A", "FRP", "H", "SP", "SV", "RØDT", "V", "MDG", "KRF", "INP")
SHARES = (280, 239, 146, 56, 56, 53, 47, 37, 42, 8)


def counts(ballots: int, blank: int = 9, **votes: int) -> dict[str, Any]:
    """Return a category with votes like those of the country; `votes` replaces some."""
    usual = {party: ballots * share // 1000 for party, share in zip(PARTIES, SHARES, strict=True)}
    return {"ballots": ballots, "blank": blank, "rejected": 2, "votes": usual | {"FNB": 0, "DNI": 0} | votes}


def a_held_report(unit: str, revision: int, **categories: dict[str, Any]) -> dict[str, Any]:
    """Return a report."""
    return {
        "unit": unit,
        "revision": revision,
        "counted_at": f"2025-09-08T22:{10 + revision:02}:51+02:00",
        "status": "preliminary",
        "counts": categories,
    }


def a_hold(
    report: dict[str, Any], *rules: dict[str, Any], age_s: float = 60.0, **members: Any
) -> dict[str, Any]:
    """Return an open hold."""
    at = (datetime.now(UTC) - timedelta(seconds=age_s)).isoformat()
    unit = report["unit"]
    return {
        "unit": unit,
        "municipality": unit[:4],
        "revision": report["revision"],
        "state": "open",
        "digest": f"{hash((unit, report['revision'])) % 2**64:064x}",
        "accepted_at": at,
        "since": at,
        "ballots": sum(each["ballots"] for each in report["counts"].values()),
        "rules": list(rules),
        "now": [rule["code"] for rule in rules if rule["do"] == "hold"],
        "report": report,
        "stands": None,
        "sender": {"token": 12, "note": "the municipality"},
        **members,
    }


def fired(code: str, do: str = "hold", **evidence: Any) -> dict[str, Any]:
    """Return a rule that fired."""
    return {"code": code, "do": do, "evidence": evidence}


def some_holds() -> list[dict[str, Any]]:
    """Return a count that appears elsewhere too, and both halves of a move."""
    copied = fired(
        "duplicate_elsewhere", category="advance", ballots=4761, whole=True, other=ASKER, other_category="advance",
        other_ballots=4761, difference=0,
    )  # fmt: skip
    above = fired(
        "above_eligible", "warn", area="3236", eligible=5412, before=1359, after=6120, of_unit=False
    )
    day = counts(1359)
    jevnaker = a_hold(
        a_held_report(JEVNAKER, 3, advance=counts(4761), election_day=day), copied, above,
        age_s=754, stands=a_held_report(JEVNAKER, 2, election_day=day),
    )  # fmt: skip
    fell = fired("fell", before=1000, after=400, municipality="3451", municipality_ballots=2600)
    whole, part, moved = counts(1000), counts(400), counts(600)
    moved["votes"] = {party: whole["votes"][party] - part["votes"][party] for party in whole["votes"]}
    arrived = fired(
        "duplicate_within", category="advance", ballots=600, whole=True, other=NORTH, other_category="advance",
        other_ballots=1000, difference=3,
    )  # fmt: skip
    south = a_hold(a_held_report(SOUTH, 1, advance=moved), arrived, age_s=95)
    north = a_hold(
        a_held_report(NORTH, 2, advance=part), fell, age_s=90, stands=a_held_report(NORTH, 1, advance=whole)
    )
    return [jevnaker, south, north]


class StubDoor:
    """Answers like the push door, with documents that a test changes."""

    def __init__(self) -> None:
        self.url = ""
        self.holds = some_holds()
        self.hidden_until: str | None = None
        self.closed = False
        self.most_open = 50
        self.is_broken = False
        """Whether holds and decisions are answered 503."""
        self.is_held_up = asyncio.Event()
        """Set while decisions are answered at once."""
        self.is_held_up.set()
        self.decisions: list[dict[str, Any]] = []
        """What was sent."""
        self.conflicts: list[dict[str, Any]] = []
        """With which a decision is answered 409."""
        self.reads = 0

    def application(self) -> web.Application:
        """Return the routes."""
        application = web.Application()
        base = f"/v1/elections/{ELECTION}"
        application.router.add_get(f"{base}/board", self._board)
        application.router.add_get(f"{base}/holds", self._holds)
        application.router.add_get(f"{base}/rules", self._rules)
        application.router.add_post(f"{base}/decisions", self._decide)
        add_pages(application, PUSH_PAGES)
        return application

    def of(self, unit: str) -> dict[str, Any]:
        """Return the open hold of a unit."""
        return next(each for each in self.holds if each["unit"] == unit and each["state"] == "open")

    async def _board(self, request: web.Request) -> web.Response:
        now = datetime.now(UTC)
        document = {
            "election": ELECTION, "name": "Stortingsvalget 2025", "rehearsal": False, "read_at": now.isoformat(),
            "publish_from": "2025-09-08T21:00:00+02:00", "timezone": "Europe/Oslo",
            "released_at": None if self.hidden_until else "2025-09-08T19:00:00Z", "closed_at": None,
            "accepted": 7123, "unpublished": {"reports": 0, "oldest_accepted_at": None},
            "waiting": {"reports": 0, "oldest_s": None}, "silent_after_s": 900, "shared_tokens": [],
            "refusals": [], "municipalities": [],
        }  # fmt: skip
        return web.json_response(document)

    async def _holds(self, request: web.Request) -> web.Response:
        self.reads += 1
        if self.is_broken:
            raise web.HTTPServiceUnavailable(headers={"Retry-After": "1"})
        every = request.query["state"] == "all"
        document = {
            "election": ELECTION, "name": "Stortingsvalget 2025", "rehearsal": False,
            "server_time": datetime.now(UTC).isoformat(),
            "open": sum(each["state"] == "open" for each in self.holds), "most_open": self.most_open,
            "embargo": {"hidden_until": self.hidden_until}, "closed": self.closed, "omitted": 0, "areas": AREAS,
            "holds": [each for each in self.holds if every or each["state"] == "open"],
        }  # fmt: skip
        return web.json_response(document)

    async def _rules(self, request: web.Request) -> web.Response:
        document = {
            "election": ELECTION, "rules": recommended().document(), "origin": "operator",
            "changed_at": "2025-09-08T20:02:00Z", "changed_by": {"token": 7, "note": "Anna"},
        }  # fmt: skip
        return web.json_response(document)

    async def _decide(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.decisions.append(body)
        await self.is_held_up.wait()
        if self.is_broken:
            raise web.HTTPServiceUnavailable(headers={"Retry-After": "1"})
        if self.conflicts:
            problem = {"status": 409, "code": "not_decided", "detail": "", "conflicts": self.conflicts}
            return web.json_response(problem, status=409, content_type="application/problem+json")
        state = {"release": "released", "reject": "rejected"}[body["decide"]]
        decided_at = datetime.now(UTC).isoformat()
        decided = []
        for place, named in enumerate(body["holds"]):
            sequence = 7124 + place if state == "released" and not self.hidden_until else None
            decided.append({**named, "state": state, "sequence": sequence, "decided_at": decided_at})
            for hold in self.holds:
                if hold["unit"] == named["unit"] and hold["state"] == "open":
                    hold |= {"state": state, "ended_at": decided_at, "reason": body["reason"], "now": []}
                    hold |= {"note": body["note"], "decided_by": {"token": 7, "note": "Anna"}}
        return web.json_response({"election": ELECTION, "holds": decided})


@asynccontextmanager
async def stub_door() -> AsyncIterator[StubDoor]:
    """Run a stub door."""
    door = StubDoor()
    async with TestServer(door.application()) as server:
        door.url = str(server.make_url("")).rstrip("/")
        yield door
