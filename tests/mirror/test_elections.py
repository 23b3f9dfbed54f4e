"""A mirror of all elections of a door: which are mirrored, what a failure stops, and what it does not."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from gateway.errors import GatewayError
from gateway.mirror import elections
from gateway.mirror.directory import Directory
from gateway.mirror.election_files import KNOWN_S, ElectionList
from gateway.mirror.elections import MirrorOptions, MirrorService
from gateway.mirror.progress import Progress
from gateway.mirror.target import TargetInUse, TargetUnavailable
from gateway.telemetry.metrics import exposition
from gateway.transparency.note import ED25519, VerifierKey
from gateway.wire.mirror import ELECTIONS
from tests.mirror.memory import MemoryTarget

OPTIONS = MirrorOptions(feed_url="http://127.0.0.1:1", target="/unused")


class FakeMirror:
    """Stands for the mirror of one election; `outcomes` has what each run raises, the last one goes on."""

    outcomes: dict[str, list[BaseException]]
    began: list[str]

    def __init__(self, feed_url: str, election: str, *_: object, **__: object) -> None:
        self.election = election
        self.progress = Progress(election)

    async def run(self) -> None:
        self.began.append(self.election)
        if self.outcomes.get(self.election):
            raise self.outcomes[self.election].pop(0)
        self.progress.received = 7
        self.progress.sequence, self.progress.documents = 5, 3
        self.progress.written_at = datetime.now(UTC)
        await asyncio.get_running_loop().create_future()


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    """No mirror reads or writes anything, and nothing waits for long."""
    monkeypatch.setattr(elections, "Mirror", FakeMirror)
    monkeypatch.setattr(elections, "LISTED_EVERY_S", 0.01)
    monkeypatch.setattr(elections, "RETRY_FIRST_S", 0.01)
    monkeypatch.setattr(elections, "RETRY_MOST_S", 0.01)
    FakeMirror.outcomes, FakeMirror.began = {}, []


@asynccontextmanager
async def mirroring(
    directory: Path, listed: list[str] | GatewayError, options: MirrorOptions = OPTIONS, target: Any = None
) -> AsyncIterator[MirrorService]:
    """Run a service whose door lists some elections."""
    made = MirrorService(options, target or Directory(directory))

    async def of_door() -> list[str]:
        if isinstance(listed, GatewayError):
            raise listed
        return list(listed)

    made._listed = of_door  # type: ignore[method-assign]
    running = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def reached(fact: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not fact():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_all_elections_are_mirrored_also_those_that_appear_later(tmp_path: Path) -> None:
    """Each once; those of `elections` alone if some are named."""
    listed = ["a", "b"]
    async with mirroring(tmp_path, listed):
        await reached(lambda: sorted(FakeMirror.began) == ["a", "b"])
        listed.append("c")
        await reached(lambda: sorted(FakeMirror.began) == ["a", "b", "c"])
    FakeMirror.began.clear()
    named = MirrorOptions(feed_url="http://127.0.0.1:1", target="/unused", elections=("b",))
    async with mirroring(tmp_path, listed, named):
        await reached(lambda: FakeMirror.began == ["b"])


@pytest.mark.parametrize("error", [GatewayError("no election 'a'"), RuntimeError("a mistake")])
async def test_an_election_that_fails_is_tried_again_and_the_others_go_on(
    tmp_path: Path, error: Exception
) -> None:
    """Its failure is in the metrics until its files are written again."""
    FakeMirror.outcomes = {"a": [error, error]}
    async with mirroring(tmp_path, ["a", "b"]) as running:
        await reached(lambda: FakeMirror.began.count("a") == 3)
        assert FakeMirror.began.count("b") == 1
        await reached(lambda: not running.elections()["a"].fails)
        assert not running.problem
    FakeMirror.outcomes = {"a": [error] * 1000}
    async with mirroring(tmp_path, ["a", "b"]) as running:
        part = "refused" if isinstance(error, GatewayError) else "failed"
        await reached(lambda: running.elections().get("a") and running.elections()["a"].fails == {part})
        text = exposition(running.metrics.registry).decode()
        assert f'valgnatt_mirror_fails{{election="a",part="{part}"}} 1.0' in text
        assert f'valgnatt_mirror_fails{{election="b",part="{part}"}} 0.0' in text
        assert 'valgnatt_mirror_behind{election="b"} 2.0' in text
        assert 'valgnatt_mirror_documents_behind{election="b"} 2.0' in text


@pytest.mark.parametrize("grouped", [False, True])
async def test_a_target_that_another_mirror_has_taken_ends_everything(tmp_path: Path, grouped: bool) -> None:
    """With that error, which names the remedy, even if parts of an election report it together."""
    taken = TargetInUse("another mirror writes")
    FakeMirror.outcomes = {"b": [BaseExceptionGroup("parts", [taken]) if grouped else taken]}
    made = MirrorService(MirrorOptions(feed_url="", target="", elections=("a", "b")), Directory(tmp_path))
    with pytest.raises(TargetInUse, match="another mirror writes"):
        async with asyncio.timeout(30):
            await made.run()
    FakeMirror.began.clear()
    async with mirroring(tmp_path, ["a"]):
        await reached(lambda: "a" in FakeMirror.began)
        second = MirrorService(OPTIONS, Directory(tmp_path))
        with pytest.raises(TargetInUse, match="another mirror"):
            async with asyncio.timeout(30):
                await second.run()


async def test_a_target_that_cannot_be_used_until_settings_change_ends_a_command(tmp_path: Path) -> None:
    """And not a gateway that runs a mirror: there it is tried again."""
    (tmp_path / "file").write_text("not a directory")
    made = MirrorService(OPTIONS, Directory(tmp_path / "file"), patient=False)
    with pytest.raises(TargetUnavailable, match="is not a directory"):
        async with asyncio.timeout(30):
            await made.run()
    async with mirroring(tmp_path / "file", ["a"]) as running:
        await reached(lambda: "is not a directory" in running.problem)


async def test_a_target_that_cannot_be_used_yet_is_tried_again(tmp_path: Path) -> None:
    """Meanwhile there is a reason, which health and logs show; the same applies to the list of elections."""

    class Away(Directory):
        failures = 3

        async def open(self) -> None:
            if self.failures:
                self.failures -= 1
                raise TargetUnavailable("no such bucket")
            await super().open()

    seen = []
    async with mirroring(tmp_path, ["a"], target=Away(tmp_path)) as running:
        await reached(lambda: bool(seen.append(running.problem) or FakeMirror.began))
        assert any("no such bucket" in each for each in seen)
        assert not running.problem
    async with mirroring(tmp_path, GatewayError("connection refused")) as running:
        await reached(lambda: "connection refused" in running.problem)
        assert "valgnatt_mirror_stopped 1.0" in exposition(running.metrics.registry).decode()


def test_a_problem_is_an_error_only_once_it_has_lasted(tmp_path: Path) -> None:
    """At the start of a machine, its feed door may not accept connections yet."""
    clock = [100.0]
    made = MirrorService(OPTIONS, Directory(tmp_path), lambda: clock[0])
    with capture_logs() as logged:
        for at_s in (100.0, 101.0, 129.0, 130.0, 131.0):
            clock[0] = at_s
            made._note("connection refused")
        assert [each["log_level"] for each in logged] == ["warning", "error"]
        made._note("")
        clock[0] = 200.0
        made._note("connection refused")
    assert [each["log_level"] for each in logged] == ["warning", "error", "warning"]


def test_the_age_counts_from_the_start_until_something_is_written(tmp_path: Path) -> None:
    """An election of which nothing was ever written is behind as well."""
    clock = [100.0]
    made = MirrorService(OPTIONS, Directory(tmp_path), lambda: clock[0], lambda: 1_000.0)
    made._running["a"] = elections._Running(FakeMirror("", "a"), 100.0)  # type: ignore[arg-type]
    clock[0] = 111.0
    assert made.elections()["a"].age_s == 11.0
    assert made.behind() == {}
    clock[0] = 111.5
    assert made.behind() == {"a": 11.5}
    made._running["a"].mirror.progress.written_at = datetime.fromtimestamp(999.0, UTC)
    assert made.elections()["a"].age_s == 1.0
    made._running["a"].mirror.progress.closed_at = datetime.fromtimestamp(0.0, UTC)
    assert made.elections()["a"].age_s == 0.0


def test_a_key_belongs_to_the_election_in_its_name() -> None:
    key = VerifierKey("results.example.no/live/night", ED25519, bytes(32))
    options = MirrorOptions(feed_url="http://127.0.0.1:1", target="/x", keys=(key,))
    assert options.keys_of("night") == (key,)
    assert options.keys_of("live") == ()
    assert options.keys_of("other") == ()


async def test_an_election_that_never_becomes_known_keeps_no_other_from_the_list() -> None:
    """After a while the list is written without it, or with what an earlier one says about it."""
    target, clock = MemoryTarget(), [100.0]

    def listed() -> list[str]:
        return [each["id"] for each in orjson.loads(target.files[ELECTIONS])["elections"]]

    entries = ElectionList(["a", "b"], target, 2, lambda: clock[0])
    await entries.update("a", {"id": "a"})
    assert ELECTIONS not in target.files
    clock[0] += KNOWN_S
    await entries.update("a", {"id": "a"})
    assert listed() == ["a"]
    await entries.update("b", {"id": "b"})
    assert listed() == ["a", "b"]
    restarted = ElectionList(["a", "b", "c"], target, 2, lambda: clock[0])
    await restarted.update("a", {"id": "a", "sequence": 7})
    clock[0] += KNOWN_S
    await restarted.update("a", {"id": "a", "sequence": 7})
    assert listed() == ["a", "b"]
    target.files[ELECTIONS] = b"[]"
    await restarted.update("a", {"id": "a", "sequence": 8})
    assert listed() == ["a"]
