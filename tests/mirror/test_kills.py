"""A mirror that is killed at any moment: readers of its directory never see a file contradict another, or go back."""

import asyncio
import gzip
import hashlib
import os
import random
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from gateway.election.registry_reading import read_registry
from gateway.mirror.directory_files import OWN
from gateway.mirror.profiles import profiles_of
from gateway.rehearsal.generator import GeneratedElection
from gateway.wire.mirror import Live, decode_live, election_path, live_path
from tests.conftest import Database
from tests.counts import count
from tests.fork_server import Command
from tests.mirror.folder import Folder, MirrorReader
from tests.night.sums import children_of, wrong_sums
from tests.night.test_whole_night import server_copy
from tests.running import Gateway, Sender, running
from tests.web.doors import COUNTRY, a_registry, a_report, pushed, units_of

pytestmark = [pytest.mark.long, pytest.mark.timeout(count(60, full=300))]

KILLS = count(3, full=50)
VARIANTS = ("", ".gz")


class Checker:
    """Reads everything in a directory again and again, and notes what contradicts the promises of a mirror."""

    def __init__(self, root: Path, document: dict[str, Any]) -> None:
        self.wrong: list[str] = []
        self.rounds = 0
        self._root = root
        self._registry = read_registry(document)
        self._election = self._registry.id
        self._children = children_of(document)
        self._lives: dict[str, Live] = {}
        self._immutable: dict[str, bytes] = {}
        self._documents: dict[str, int] = {}
        self._readers = [
            MirrorReader(Folder(root), self._registry, profile) for profile in profiles_of(self._registry)
        ]

    @property
    def newest(self) -> Live | None:
        """The `live.json` that was read last."""
        return self._lives.get("")

    def look(self) -> None:
        """Read everything once."""
        for variant in VARIANTS:
            self._check_live(variant)
        for reader in self._readers:
            try:
                reader.look()
            except AssertionError as error:
                self.wrong.append(repr(error))
            if reader.wrong or reader.went_back:
                self.wrong.append(f"{reader.files.profile}: {reader.wrong}, {reader.went_back}")
        self._check_immutable()
        for area in (self._registry.root.id, self._registry.areas[self._registry.root.children[0]].id):
            for variant in VARIANTS:
                self._check_area(area, variant)
        self.rounds += 1

    def _check_live(self, variant: str) -> None:
        content = self._read(live_path(self._election), variant)
        if content is None:
            return
        live, before = decode_live(content), self._lives.get(variant)
        if before is not None:
            if live.history != before.history:
                self.wrong.append("another history")
            if (live.sequence, live.written_at) < (before.sequence, before.written_at):
                self.wrong.append(f"live.json{variant} goes back from {before.sequence} to {live.sequence}")
        self._lives[variant] = live

    def _check_immutable(self) -> None:
        """Whatever was named once never changes."""
        for path in (self._root / election_path(self._election) / "live").rglob("*.ndjson*"):
            content = path.read_bytes()
            body = gzip.decompress(content) if path.suffix == ".gz" else content
            name, digest = str(path).removesuffix(".gz"), hashlib.sha256(body).digest()
            if not self._is_named(name):
                continue
            if self._immutable.setdefault(name, digest) != digest:
                self.wrong.append(f"{name} has changed")

    def _is_named(self, name: str) -> bool:
        """Whether some `live.json` named a file, or a later one: a step that is not named yet may be made again."""
        at = int(name.removesuffix(".ndjson").rpartition("_")[2])
        return self.newest is not None and at <= self.newest.sequence

    def _check_area(self, area: str, variant: str) -> None:
        """A rewritten file is exact at the sequence that it names, and does not go back."""
        content = self._read(f"{election_path(self._election)}/areas/{area}.json", variant)
        if content is None:
            return
        document = orjson.loads(content)
        copy = {each["area"]: each for each in (document, *document["children"])}
        if wrong_sums(copy, self._children, [area]):
            self.wrong.append(f"{area}.json is not the sum of its children")
        sequence = document["sequence"]
        if sequence < self._documents.get(f"{area}{variant}", 0):
            self.wrong.append(f"{area}.json{variant} goes back")
        self._documents[f"{area}{variant}"] = sequence

    def _read(self, path: str, variant: str) -> bytes | None:
        try:
            content = (self._root / f"{path}{variant}").read_bytes()
        except FileNotFoundError:
            return None
        return gzip.decompress(content) if variant else content


@contextmanager
def mirror(gateway: Gateway, election: str, root: Path) -> Iterator[Command]:
    """Run the command until it is killed."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("VALGNATT_")}
    process = Command(
        *("mirror", gateway.feed_url, root, "--election", election, "--every", 1),
        environ=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


async def keep_pushing(sender: Sender, units: list[str], stop: asyncio.Event) -> int:
    """Push one report after another; return how many there were."""
    pushed_reports = 0
    async with aiohttp.ClientSession() as http:
        while not stop.is_set():
            unit = units[pushed_reports % len(units)]
            pushed_reports += 1
            await pushed(http, sender, a_report(unit, pushed_reports, votes=pushed_reports * 7 % 90))
            await asyncio.sleep(0.1)
    return pushed_reports


async def wait_for_kill(checker: Checker, root: Path, process: Command, sequence: int, in_step: bool) -> None:
    """Check until a later state was shown, and then until a moment to kill the mirror."""
    while checker.newest is None or checker.newest.sequence <= sequence:
        assert process.poll() is None, "the mirror ended by itself"
        checker.look()
        await asyncio.sleep(0.1)
    if in_step:
        while not any(name.endswith(".tmp") for name in os.listdir(root / OWN)):  # noqa: ASYNC110
            await asyncio.sleep(0.002)
    else:
        await asyncio.sleep(random.random() / 2)


async def test_a_mirror_that_is_killed_contradicts_nothing_and_never_goes_back(
    database: Database, small: GeneratedElection, tmp_path: Path
) -> None:
    """At random moments, and while files are written. In the end the files are those of the feed door."""
    document = a_registry(small)
    root = tmp_path / "mirror"
    async with running(database) as gateway:
        election = await gateway.load(document)
        sender = await gateway.issue(election, [COUNTRY])
        checker = Checker(root, document)
        stop = asyncio.Event()
        pushing = asyncio.create_task(keep_pushing(sender, units_of(small), stop))
        sequence = 0
        for number in range(KILLS):
            with mirror(gateway, election, root) as process:
                await wait_for_kill(checker, root, process, sequence, in_step=number % 2 == 0)
            checker.look()
            assert checker.wrong == []
            assert checker.newest is not None
            sequence = checker.newest.sequence
        stop.set()
        last = await pushing
        with mirror(gateway, election, root) as process:
            while (live := checker.newest) is None or min(live.sequence, live.documents) < last:
                assert process.poll() is None, "the mirror ended by itself"
                checker.look()
                await asyncio.sleep(0.1)
        async with aiohttp.ClientSession() as session:
            final = await server_copy(session, gateway.feed_url, election)
        assert checker.wrong == []
        assert checker.rounds > KILLS
        folder = Folder(root)
        for profile, areas in profiles_of(read_registry(document)).items():
            reader = MirrorReader(folder, read_registry(document), profile)
            assert reader.look()
            assert reader.copy == {name: final[name] for name in areas}
