"""`valgnatt verify record` follows a real election: a gateway of several processes that signs, and a witness."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.rehearsal.generator import GeneratedElection
from tests.conftest import Database
from tests.counts import count
from tests.fork_server import Command
from tests.running import Gateway, running
from tests.signer.signing import LOG_NAME, create_key
from tests.web.doors import COUNTRY, a_registry, a_report, pushed, units_of, until
from tests.web.test_embargo import CONNECTIONS
from tests.witness.processes import WitnessProcess

pytestmark = pytest.mark.long
REVISIONS = count(3, full=10)
SIZE = 1 + 30 * (1 + REVISIONS)
"""Entries before the closing: 30 reports of each revision follow the opening."""


class Follower:
    """The command, which prints a document for each checkpoint."""

    def __init__(self, process: Any) -> None:
        self.process = process

    async def until(self, size: int) -> dict[str, Any]:
        """Return the first document of a checkpoint that has this size, or more; all before are verified, too."""
        while True:
            line = await asyncio.to_thread(self.process.stdout.readline)
            found: dict[str, Any] = json.loads(line)
            assert found["verified"], found
            if found["size"] >= size:
                return found

    async def ended(self) -> tuple[int, str]:
        """Return status and messages."""
        _, errors = await asyncio.to_thread(self.process.communicate)
        return self.process.returncode, errors


@asynccontextmanager
async def signing_gateway(
    database: Database, directory: Path, election: str
) -> AsyncIterator[tuple[Gateway, Path]]:
    """Run a gateway with a witness; yield it and a file with the policy."""
    key = create_key(directory / "sign", election).vkey
    with WitnessProcess(directory / "witness", str(key)) as witness:
        policy = directory / "policy"
        policy.write_text(f"log {key}\nwitness w {witness.vkey}\nquorum w\n")
        signing = {"log_name": LOG_NAME, "sign_dir": directory / "sign", "checkpoint_every_s": 1}
        signing |= {"signer_database_url": database.signer_url, "witnesses": f"{witness.vkey}={witness.url}"}
        async with running(database, push_workers=1, feed_workers=2, **signing) as gateway:
            yield gateway, policy


async def test_an_election_is_followed_from_its_opening_to_its_closing(
    database: Database, small: GeneratedElection, tmp_path: Path
) -> None:
    """Under embargo, through the release, corrections and the closing; with a state, and a copy that is whole."""
    registry = a_registry(small)
    election = registry["election"]["id"]
    units = units_of(small)
    async with signing_gateway(database, tmp_path, election) as (gateway, policy):
        registry["election"]["publish_from"] = (datetime.now(UTC) + timedelta(seconds=5)).isoformat()
        await gateway.load(registry)
        sender = await gateway.issue(election, [COUNTRY])
        async with gateway.administration() as acts:
            await acts.open_election(election)
        async with aiohttp.ClientSession() as http:
            await pushed(http, sender, *(a_report(unit) for unit in units[:30]))
            options = ("--policy", policy, "--save", tmp_path / "copy", "--state", tmp_path / "state")
            url = f"{gateway.feed_url}/v1/elections/{election}"
            await _is_signed(url)
            with Command(
                "verify", "record", url, *options, "--follow", "--json", environ=os.environ
            ) as process:
                follower = Follower(process)
                found = await follower.until(1)
                assert found["figures_at"] in (0, 30), "under embargo, or just released"
                await follower.until(31)
                for revision in range(2, 2 + REVISIONS):
                    votes = 10 if revision % 3 else 4
                    await pushed(
                        http,
                        sender,
                        *(a_report(unit, revision, votes=votes) for unit in units[revision : revision + 30]),
                    )
                found = await follower.until(SIZE)
                assert found["witnesses"]["w"] is not None
                async with gateway.administration() as acts:
                    await acts.close_election(election)
                found = await follower.until(SIZE + 1)
                assert (found["closed_at"] is not None, await follower.ended()) == (True, (0, ""))
        for where in (url, tmp_path / "copy"):
            with Command(
                "verify",
                "record",
                where,
                "--policy",
                policy,
                "--state",
                tmp_path / "state",
                environ=os.environ,
            ) as again:
                output, errors = await asyncio.to_thread(again.communicate)
            assert (again.returncode, errors) == (0, "")
            assert f"{SIZE} entries" not in output
            assert f"{SIZE + 1} entries" in output


async def _is_signed(url: str) -> None:
    """Wait until every process shows a checkpoint that a witness has cosigned, on fresh connections to each."""

    async def shown() -> bool:
        async with aiohttp.ClientSession() as http, http.get(f"{url}/log/checkpoint") as answer:
            return answer.status == 200 and (await answer.read()).count("— ".encode()) == 2

    async def shown_by_all() -> bool:
        return all([await shown() for _ in range(CONNECTIONS)])

    await until(shown_by_all)
