"""A mirror behind nginx beside a scenario, and the crowd that polls it: every state of each reader is compared with the
public record at the end.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

from bench.figures import Histogram, Unavailable
from bench.load.history import stored_reports
from bench.load.mirror_folder import MirrorFolder
from bench.load.mirror_process import mirror
from bench.load.mirror_servers import MirrorPlaces, mirror_places, readable_directory
from bench.load.polling import Polling, polling
from bench.load.polling_copies import digest_of
from bench.load.polling_messages import Copies, Place, Polled
from bench.load.target import NoTarget, Target
from bench.rehearse.run import Run
from gateway.election.record import JournalReport, Publication
from gateway.election.registry import Registry
from gateway.election.registry_reading import read_registry
from gateway.election.state import ElectionState
from gateway.mirror.profiles import profiles_of
from gateway.rehearsal.judge import BrokenGuarantee
from gateway.wire.areas import area_json
from gateway.wire.mirror import COUNTRY, DEFAULT

EVERY_S = 2
GUARANTEE = "a mirror is exact at every step"
REACHED_S = 30.0
"""How long the mirror may take to show the last publication to all readers, in s."""


@asynccontextmanager
async def places() -> AsyncIterator[MirrorPlaces]:
    """Reserve the addresses of a mirror, which a gateway can name. Raises NoTarget without nginx."""
    with readable_directory() as scratch:
        try:
            async with mirror_places(scratch) as found:
                yield found
        except Unavailable as error:
            raise NoTarget(f"this scenario needs a mirror behind nginx: {error}") from None


class Mirrored:
    """The crowd of a mirror. Its readers follow three profiles in turn."""

    def __init__(self, target: Target, run: Run, folder: MirrorFolder, readers: Polling, port: int) -> None:
        self._target = target
        self._run = run
        self._readers = readers
        self._port = port
        self.folder = folder
        self.registry = read_registry(target.registry)
        profiles = list(profiles_of(self.registry))
        self._profiles = (DEFAULT, COUNTRY, *(each for each in profiles if each not in (DEFAULT, COUNTRY)))[
            :3
        ]
        self._count = 0

    async def come(self, count: int, *, over_s: float, door: tuple[str, int] | None = None) -> None:
        """Add readers; those that ask a feed door first have to be turned away by it."""
        place = Place("127.0.0.1", self._port, self._target.election, self._profiles, EVERY_S, door)
        polled = await self._readers.connect(place, count, over_s=over_s, limit_s=REACHED_S)
        self._count += count
        if polled.without_state:
            self._run.invalid.append(f"{polled.without_state} readers of the mirror had no state in time")

    async def mark(self) -> None:
        """Measure delays from now on."""
        await self._readers.mark()

    async def judge(self, last: int) -> None:
        """Wait until all readers have the last publication, and compare every state that any of them had."""
        polled = await self._readers.look(last, REACHED_S)
        behind = polled.behind
        polled = await self._readers.stop()
        stored = await stored_reports(self._target)
        faults = [*polled.faults, *differences(self.registry, stored, polled.copies)]
        self._run.broken += [BrokenGuarantee(GUARANTEE, each) for each in faults[:20]]
        self._note(polled, behind)

    def _note(self, polled: Polled, behind: int) -> None:
        self._run.figures |= {
            "mirror_readers": self._count,
            "mirror_behind": behind,
            "mirror_went_back": polled.older,
            "mirror_turned_away": polled.turned_away,
            "mirror_states": len(polled.copies),
            "mirror_requests": polled.unchanged + polled.changed + polled.files,
            "mirror_unchanged": polled.unchanged,
            "mirror_megabytes": polled.size / 1e6,
            "mirror_disconnected": polled.lost,
        }
        if polled.latencies:
            delays = Histogram().add_counts(polled.latencies)
            self._run.latencies["mirror"] = delays.summary()
            self._run.histograms["mirror"] = delays.encoded()


def differences(registry: Registry, stored: Iterable[JournalReport], copies: Sequence[Copies]) -> list[str]:
    """Return which states of readers differ from the public record at their sequences."""
    state, profiles, found = ElectionState(registry), profiles_of(registry), list[str]()
    wanted: dict[int, list[Copies]] = {}
    for each in copies:
        wanted.setdefault(each.sequence, []).append(each)

    def compare() -> None:
        for each in wanted.pop(state.sequence, ()):
            documents = (area_json(state, registry.by_id[name].index) for name in profiles[each.profile])
            if digest_of(documents) != each.digest:
                found.append(f"{each.profile}: a reader has other figures than the record at {each.sequence}")

    compare()
    for report in stored:
        state.apply(_publication(report))
        compare()
    found += [f"the record has no sequence {sequence}, which a reader has" for sequence in wanted]
    return found


def _publication(each: JournalReport) -> Publication:
    at = each.published_at
    assert at is not None
    return Publication(
        each.sequence, at, each.unit, each.revision, each.digest, each.chain, each.body, at, at
    )


@asynccontextmanager
async def mirrored(target: Target, run: Run, where: MirrorPlaces) -> AsyncIterator[Mirrored]:
    """Run a mirror of the election and both servers."""
    files = where.scratch / "files"
    async with (
        mirror(target.feed_url, target.election, files, EVERY_S) as folder,
        where.serving(files, EVERY_S) as servers,
        polling() as readers,
    ):
        yield Mirrored(target, run, folder, readers, servers.edge_port)
