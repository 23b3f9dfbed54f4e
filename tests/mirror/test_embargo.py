"""The embargo: until it ends, no name, size, content or time of a file depends on what was accepted."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import aiohttp
import orjson
import pytest

from gateway.mirror import history
from gateway.mirror.documents import Documents, Paces
from gateway.mirror.mirror import Mirror
from gateway.mirror.parts import Part
from gateway.rehearsal.generator import GeneratedElection
from tests.conftest import Database
from tests.election.naive_seats import with_seats
from tests.mirror.memory import MemoryTarget
from tests.running import running
from tests.web.doors import COUNTRY, a_registry, a_report, pushed, units_of, until
from tests.web.test_embargo import some_holds

REPORTS = 1000
ROUNDS = 4
"""How often the time in `live.json` is written before and after the reports."""
TIME = re.compile(rb'"(written_at|server_time)":"[^"]*"')
HISTORY = re.compile(r"[0-9TZ]{16}-[0-9a-f]{8}")


@asynccontextmanager
async def mirrored(feed_url: str, election: str) -> AsyncIterator[MemoryTarget]:
    """Run a mirror until the block ends."""
    target = MemoryTarget()
    running_mirror = asyncio.create_task(Mirror(feed_url, election, target, every_s=1).run())
    try:
        yield target
    finally:
        running_mirror.cancel()
        with suppress(asyncio.CancelledError):
            await running_mirror
    assert target.broken == []


class CountedDocuments(Documents):
    """The rewritten files at a fast pace; counts the passes over each kind."""

    made: ClassVar[list["CountedDocuments"]] = []

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named, paces=Paces(*[0.2] * len(Paces._fields)))
        self.passes = {part.name: 0 for part in self._parts}
        self.made.append(self)

    def _note(self, part: Part, error: BaseException | None) -> None:
        super()._note(part, error)
        self.passes[part.name] += 1


async def all_passes(*names: str) -> None:
    """Wait until there were two more passes over these kinds of files of both elections, or one over all kinds."""
    wanted = [
        {name: each.passes[name] + 2 for name in names} or dict.fromkeys(each.passes, 1)
        for each in CountedDocuments.made
    ]

    async def passed() -> bool:
        return all(
            each.passes[name] >= passes
            for each, least in zip(CountedDocuments.made, wanted, strict=True)
            for name, passes in least.items()
        )

    await until(passed, 60.0)


async def rounds_of(*targets: MemoryTarget) -> None:
    """Wait until each mirror has written the time ROUNDS times."""
    for target in targets:
        wanted = len(target.lives) + ROUNDS
        await target.wait_for(lambda _, target=target, wanted=wanted: len(target.lives) >= wanted)


def written(target: MemoryTarget, election: str, since: int = 0) -> dict[str, list[tuple[int, bytes]]]:
    """Return size and content of every write of other content than before, by path, without times and identifiers."""
    found, before = dict[str, list[tuple[int, bytes]]](), dict[str, bytes]()
    for number, file in enumerate(target.writes):
        path = HISTORY.sub("history", file.path).replace(election, "election")
        body = HISTORY.sub("history", TIME.sub(rb'"\1":""', file.body).decode()).replace(election, "election")
        if number >= since and before.get(path) != body.encode():
            found.setdefault(path, []).append((len(body), body.encode()))
        before[path] = body.encode()
    return found


async def test_no_file_depends_on_what_was_accepted(
    database: Database, small: GeneratedElection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two elections under embargo, one of them with a thousand reports and some holds, have the same files."""
    monkeypatch.setattr(history, "REFRESH_S", 0.3)
    monkeypatch.setattr(history, "Documents", CountedDocuments)
    monkeypatch.setattr(CountedDocuments, "made", [])
    publish_from = datetime.now(UTC) + timedelta(hours=1)
    async with running(database) as gateway, aiohttp.ClientSession() as http:
        elections = [
            await gateway.load(with_seats(a_registry(small, id=name, publish_from=publish_from.isoformat())))
            for name in ("e-none", "e-many")
        ]
        senders = [await gateway.issue(election, [COUNTRY]) for election in elections]
        async with (
            mirrored(gateway.feed_url, elections[0]) as none,
            mirrored(gateway.feed_url, elections[1]) as many,
        ):
            await rounds_of(none, many)
            await all_passes()
            before = len(many.writes)
            lives = len(many.lives)
            first, second, *units = units_of(small)
            reports = [
                a_report(units[number % len(units)], 1 + number, votes=number % 90)
                for number in range(REPORTS)
            ]
            await pushed(http, senders[1], *reports)
            await some_holds(gateway, elections[1], first, second)
            await rounds_of(none, many)
            await all_passes("elections", "transfers")
    assert written(many, elections[1], before) == {}
    assert written(many, elections[1]) == written(none, elections[0])
    assert {HISTORY.sub("", path).replace("e-none", "") for path in none.files} == {
        HISTORY.sub("", path).replace("e-many", "") for path in many.files
    }
    assert {(live.sequence, live.holds, live.ranges, len(live.recent)) for live in many.lives} == {
        (0, 0, 0, 0)
    }
    assert len(many.lives) - lives >= ROUNDS
    (root,) = [path for path in many.files if path.endswith(f"/areas/{COUNTRY}.json")]
    assert orjson.loads(many.files[root])["units"]["reported"] == 0
