"""The signer is killed under load, while primaries crash and their standbys take over."""

import asyncio
import os
import random
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from gateway.errors import GatewayError
from gateway.journal.administration import administration
from gateway.journal.announcer import Announcer
from gateway.journal.confirmations import PostgresConfirmations
from gateway.journal.connection import open_pool
from gateway.journal.postgres import PostgresJournal
from gateway.journal.signing import SigningJournal
from gateway.signer.directory import SignDirectory
from gateway.signer.steps import Signed
from gateway.transparency.tree import Tree
from tests.counts import count
from tests.faults.servers import Pair, a_pair, urls_of
from tests.fork_server import Command
from tests.journal.makers import UNITS, a_registry, a_report, append
from tests.signer.signing import LOG_NAME
from tests.web.doors import until

pytestmark = [pytest.mark.long, pytest.mark.timeout(count(90, full=1800))]

KILLS = count(1, full=200)
KILLS_PER_FAILOVER = count(1, full=20)
BATCH = 5
LOGGED = "nothing is signed"


class SignedNight:
    """An election on a pair, reports that keep arriving, and every checkpoint that anybody could have seen."""

    def __init__(self, pair: Pair, directory: Path, election: str, key: int) -> None:
        self.pair, self.directory, self.election, self.key = pair, directory, election, key
        self.seen: set[Signed] = set()
        self.revision = 0
        reader = pair.servers["a"].signer_url.partition("://")[2].partition("@")[0]
        where = pair.database.url.partition("://")[2].partition("@")[2]
        self.signer_url = f"postgresql://{reader}@{where}"

    def signer(self) -> Command:
        """Start a signer, as a process of its own."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("VALGNATT_")}
        options = {
            "LOG_NAME": LOG_NAME,
            "SIGN_DIR": str(self.directory),
            "SIGNER_DATABASE_URL": self.signer_url,
            "CHECKPOINT_EVERY_S": "1",
            "ADMIN_PORT": "none",
            "LOG_FORMAT": "json",
        }
        environ |= {f"VALGNATT_{name}": value for name, value in options.items()}
        log = (self.directory.parent / "signer.log").open("ab")
        with log:
            return Command("sign", environ=environ, stdout=subprocess.DEVNULL, stderr=log, text=False)

    async def push(self, journal: PostgresJournal) -> None:
        """Accept reports until cancelled; those that a crash left unanswered are sent again."""
        while True:
            self.revision += 1
            reports = [a_report(unit, self.revision) for unit in UNITS[:BATCH]]
            sent = False
            while not sent:
                with suppress(GatewayError):
                    await append(journal, self.key, 1, *reports)
                    sent = True
                await asyncio.sleep(0.02)

    async def look(self, journal: SigningJournal) -> None:
        """Read every new checkpoint until cancelled, as a feed does, also one that a failover could still lose."""
        while True:
            with suppress(GatewayError):
                for log in await journal.logs.heads():
                    after = max((each.size for each in self.seen), default=0)
                    for each in await journal.logs.checkpoints(log.key, log.history, max(0, after - 100)):
                        self.seen.add(Signed(each.size, each.root))
            await asyncio.sleep(0.05)

    def stored(self) -> Signed:
        """Return what the directory has, which may have been signed."""
        sign_dir = SignDirectory(self.directory, LOG_NAME)
        log = sign_dir.newest(self.election)
        assert log is not None
        signed = sign_dir.state(log).signed
        if signed.size:
            self.seen.add(signed)
        return signed

    async def contradictions(self, journal: SigningJournal) -> list[Signed]:
        """Return the checkpoints that are not of the record as it is now."""
        (log,) = await journal.logs.heads()
        tree, sequence = Tree(), 0
        tree.append(log.opening)
        while page := await journal.record.publications(self.key, sequence, 1000):
            for each in page:
                tree.append(each.body)
            sequence = page[-1].sequence
        return [each for each in self.seen if each.size > tree.size or tree.root(each.size) != each.root]


@asynccontextmanager
async def a_signed_night(tmp_path: Path) -> AsyncIterator[SignedNight]:
    async with a_pair(tmp_path) as pair:
        primary = urls_of(pair.servers["a"])
        async with administration(primary.url, "test") as acts:
            election = await acts.load_election(a_registry(rehearsal=True))
        async with open_pool(primary.url) as pool:
            key = (await PostgresJournal(pool).election(election)).key
        yield SignedNight(pair, tmp_path / "sign", election, key)


async def test_no_kill_and_no_failover_makes_checkpoints_contradict_each_other(tmp_path: Path) -> None:
    """Nor stops the signing: a signer that starts after a kill goes on, and nothing is refused."""
    chance = random.Random(16)
    async with (
        a_signed_night(tmp_path) as night,
        open_pool(night.pair.database.url) as pool,
        open_pool(night.signer_url, signer=True, max_size=2) as reading,
    ):
        journal = SigningJournal(reading)
        announcer = Announcer(PostgresConfirmations(pool))
        working = [
            asyncio.create_task(night.push(PostgresJournal(pool, announcer))),
            asyncio.create_task(night.look(journal)),
            asyncio.create_task(announcer.run(lambda _: None)),
        ]
        old, new = "a", "b"
        signer = night.signer()
        try:
            for kill in range(1, KILLS + 1):
                known = max((each.size for each in night.seen), default=0)

                async def larger(known: int = known, signer: Command = signer) -> bool:
                    assert signer.poll() is None, "the signer has ended"
                    return any(each.size > known for each in night.seen)

                await until(larger, 30.0)
                await asyncio.sleep(chance.uniform(0.0, 1.0))
                if kill % KILLS_PER_FAILOVER == 0:
                    night.pair.servers[old].crash()
                    await night.pair.promote(new)
                    await night.pair.rejoin(old, new)
                    old, new = new, old
                signer.kill()
                signer.wait()
                night.stored()
                signer = night.signer()
            size = night.stored().size
            await until(lambda: _grown(night, size), 30.0)
        finally:
            signer.kill()
            signer.wait()
            for task in working:
                task.cancel()
            await asyncio.gather(*working, return_exceptions=True)
        assert len(night.seen) > KILLS
        night.stored()
        assert await night.contradictions(journal) == []
    assert LOGGED not in (tmp_path / "signer.log").read_text()


async def _grown(night: SignedNight, size: int) -> bool:
    return night.stored().size > size
