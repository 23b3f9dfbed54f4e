"""Readers that poll a mirror: whatever one of them is sent that is not exact is found."""

import gzip
import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from bench.load.mirror_night import MirrorNight, Moment
from bench.load.mirror_servers import mirror_places, readable_directory
from bench.load.polling import polling
from bench.load.polling_copies import CopyStore
from bench.load.polling_messages import Place
from bench.load.record import publications
from bench.rehearse.mirrored import differences
from gateway.election.record import JournalReport
from gateway.mirror.encoding import compressed
from gateway.rehearsal.dataset import DataSet
from gateway.wire.mirror import COUNTRY, DEFAULT, Live, Position, encode_live, live_path, route
from tests.deploy.proxies import require_program

EVERY_S = 1


class Night(NamedTuple):
    """The first steps of a mirror, and the public record."""

    night: MirrorNight
    moments: Sequence[Moment]
    stored: Sequence[JournalReport]
    files: dict[str, bytes]


@pytest.fixture(scope="module")
def night(data: Path) -> Night:
    dataset = DataSet.open(data)
    night = MirrorNight(dataset, EVERY_S)
    moments = list(islice(night.moments(), 6))
    stored = [
        JournalReport(
            each.sequence,
            each.unit,
            each.revision,
            each.digest,
            each.chain,
            each.body,
            each.published_at,
        )
        for each in publications(dataset, night.registry)
    ]
    files = {file.path: compressed(file.body) for moment in moments for file in moment.step.files}
    return Night(night, moments, stored, files)


def position(live: Live) -> Position:
    return Position(live.sequence, live.cursor, live.history)


def follow(store: CopyStore, night: Night, moments: Sequence[Moment], profile: str) -> None:
    """Have a reader apply what leads to each of these states."""
    has: Position | None = None
    for moment in moments:
        found = route(moment.live, profile, has)
        assert found is not None
        for path in found.files:
            store.add_file(path, night.files[path])
        target = position(moment.live)
        if found.files:
            store.move(profile, has, target, found.files)
        elif has is not None:
            store.stay(profile, has, target)
        has = target


def test_readers_on_every_way_have_the_states_of_the_record(night: Night) -> None:
    """One that sees every step, one that misses some, and one that comes late."""
    store = CopyStore()
    for profile in night.night.profiles:
        for seen in (night.moments, night.moments[::2], night.moments[3:]):
            follow(store, night, seen, profile)
    assert not store.faults
    copies = store.all()
    assert {each.sequence for each in copies} == {moment.view.sequence for moment in night.moments}
    assert differences(night.night.registry, night.stored, copies) == []


def test_a_state_that_differs_from_the_record_is_found(night: Night) -> None:
    """Another figure, and a sequence that the record does not have."""
    store = CopyStore()
    follow(store, night, night.moments, DEFAULT)
    *others, last = store.all()
    wrong = msgspec.structs.replace(last, digest="0" * 64)
    (found,) = differences(night.night.registry, night.stored, [*others, wrong])
    assert str(last.sequence) in found
    beyond = msgspec.structs.replace(last, sequence=len(night.stored) + 1)
    (found,) = differences(night.night.registry, night.stored, [*others, beyond])
    assert "no sequence" in found


def test_a_file_that_is_not_the_same_for_all_readers_is_a_fault(night: Night) -> None:
    store = CopyStore()
    path, content = next(iter(night.files.items()))
    store.add_file(path, content)
    store.add_file(path, bytes(bytearray(content)))
    assert not store.faults
    store.add_file(path, content[:-1])
    assert list(store.faults) == [f"{path}: two readers were sent different bytes"]


def test_ways_that_lead_to_different_copies_are_a_fault(night: Night) -> None:
    """A delta that lacks a change leaves another copy than the snapshot that has it."""
    store = CopyStore()
    follow(store, night, night.moments[1:3], COUNTRY)
    last, before = night.moments[2].live, night.moments[1].live
    store.stay(COUNTRY, position(before), position(last))
    assert list(store.faults) == [f"{COUNTRY}: readers have different copies at sequence {last.sequence}"]


class Folder:
    """The directory of a mirror, written step by step."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._mtime_s = 1_000_000_000

    def write(self, moment: Moment) -> None:
        for file in moment.step.files:
            self._store(file.path, file.body)
        self._store(live_path(moment.live.election), encode_live(moment.live))

    def _store(self, path: str, body: bytes) -> None:
        file = self._directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        self._mtime_s += 1
        for name, content in ((file, body), (file.with_name(f"{file.name}.gz"), gzip.compress(body, 1))):
            new = name.with_name("new")
            new.write_bytes(content)
            os.utime(new, (self._mtime_s, self._mtime_s))
            new.rename(name)


@pytest.fixture
def scratch() -> Iterator[Path]:
    with readable_directory() as directory:
        yield directory


async def test_readers_behind_nginx_are_exact_and_none_goes_back(night: Night, scratch: Path) -> None:
    """They ask with `If-None-Match` on a connection that stays open; an older `live.json` is counted and ignored."""
    require_program("nginx")
    folder, moments = Folder(scratch / "files"), night.moments
    folder.write(moments[0])
    async with (
        mirror_places(scratch) as places,
        places.serving(scratch / "files", EVERY_S) as servers,
        polling() as readers,
    ):
        place = Place("127.0.0.1", servers.edge_port, night.night.registry.id, (DEFAULT, COUNTRY), 0.2)
        assert not (await readers.connect(place, 6)).without_state
        for moment in moments[1:4]:
            folder.write(moment)
            seen = await readers.look(moment.view.sequence, 30)
            assert (seen.behind, seen.older, seen.lost) == (0, 0, 0)
        assert seen.unchanged > 0
        assert max(servers.requests()[f"/{path}"] for path in night.files) == 1
        folder.write(moments[2])
        while not seen.older:
            seen = await readers.look(moments[3].view.sequence, 30)
            assert seen.behind == 0
        stopped = await readers.stop()
    assert stopped.faults == []
    assert differences(night.night.registry, night.stored, stopped.copies) == []
