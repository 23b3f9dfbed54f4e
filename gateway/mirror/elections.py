"""All elections of a feed door in one target: each has a mirror of its own, which is started again if it ends.

Knows neither processes nor ports (`service.py`).
"""

import asyncio
import time
from collections.abc import Callable, Collection, Iterator, Mapping

import msgspec
import structlog

from gateway.backoff import Backoff, with_jitter
from gateway.client.documents import REQUEST_S, Elections, read_document
from gateway.client.http_json import open_door
from gateway.errors import GatewayError, text_of
from gateway.mirror.election_files import ElectionList
from gateway.mirror.mirror import Mirror
from gateway.mirror.pages import write_pages
from gateway.mirror.target import Target, TargetInUse, TargetUnavailable
from gateway.telemetry.mirror_metrics import MirroredElection, MirrorMetrics, MirrorTotals
from gateway.transparency.note import VerifierKey
from gateway.transparency.origins import parse_origin
from gateway.wire.mirror import is_behind

LISTED_EVERY_S = 10.0
"""Seconds between two readings of the list of elections."""
RETRY_FIRST_S, RETRY_MOST_S = 0.5, 30.0
"""Delays before the mirror of an election is started again, and before the target is opened again."""
PATIENCE_S = 30.0
"""Seconds after which it is an error that nothing can be written; a feed door may start later than its mirror."""
CLOSE_S = 5.0
"""Seconds that the target may take to be closed."""

log = structlog.get_logger()


class MirrorOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a mirror reads and writes."""

    feed_url: str
    target: str
    elections: tuple[str, ...] = ()
    """Those that are mirrored; empty: all of the door, also those that it gets later."""
    every_s: int = 2
    keys: tuple[VerifierKey, ...] = ()

    def keys_of(self, election: str) -> tuple[VerifierKey, ...]:
        """Return the keys of an election's log: of its histories, and those that replace each other."""
        return tuple(key for key in self.keys if parse_origin(key.name).election == election)


class _Running:
    """The mirror of one election, since when it runs, and why it ended last."""

    def __init__(self, mirror: Mirror, since_s: float) -> None:
        self.mirror = mirror
        self.since_s = since_s
        self.ended: tuple[str, float] | None = None
        """Why and when it ended last, in seconds of Unix time."""
        self.reason = ""
        """Why it was refused last, as it was logged."""

    @property
    def fails(self) -> Iterator[str]:
        """Yield what fails now. An end counts until `live.json` has been written again."""
        progress = self.mirror.progress
        yield from progress.failures
        if progress.document_failures:
            yield "documents"
        if self.ended is not None:
            written_at = progress.written_at
            if written_at is None or written_at.timestamp() < self.ended[1]:
                yield self.ended[0]


class MirrorService:
    """Mirrors the elections of a feed door to one target. Invariants:

    * The mirror of an election that fails is started again, and none of the others notices.
    * No other mirror writes to the target while `run` runs, as far as the target can exclude it.
    """

    def __init__(
        self,
        options: MirrorOptions,
        target: Target,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        *,
        patient: bool = True,
    ) -> None:
        """Mirror to a target. If not `patient`, one that cannot be used until settings change is an error at once."""
        self._options = options
        self._patient = patient
        self._target = target
        self._clock = clock
        self._wall = wall
        self._running: dict[str, _Running] = {}
        self._list = ElectionList((), target, options.every_s)
        self._problem_at_s = 0.0
        self._is_logged = False
        self.problem = ""
        """Why nothing is written at all; empty while elections are mirrored."""
        self.metrics = MirrorMetrics(options.every_s, self.elections, self._totals)

    def elections(self) -> Mapping[str, MirroredElection]:
        """Return the state of each election that was found."""
        return {election: self._state(each) for election, each in self._running.items()}

    def behind(self) -> Mapping[str, float]:
        """Return the age of each election that is behind, in seconds."""
        return {
            election: state.age_s
            for election, state in self.elections().items()
            if is_behind(self._options.every_s, state.age_s)
        }

    async def run(self) -> None:
        """Mirror until cancelled. Raises TargetInUse, TargetUnavailable, ConfigError."""
        try:
            await self._open()
            async with asyncio.TaskGroup() as parts:
                pages = write_pages(self._options.feed_url, self._target, self._options.every_s)
                parts.create_task(pages, name="pages")
                await self._follow_list(parts)
        except BaseExceptionGroup as group:
            raise cause_of(group) from None
        finally:
            await self._close()

    async def _open(self) -> None:
        """Open the target, again after every failure that may end. Raises TargetInUse, TargetUnavailable."""
        backoff = Backoff(RETRY_FIRST_S, RETRY_MOST_S)
        while True:
            try:
                await self._target.open()
            except TargetInUse:
                raise
            except TargetUnavailable as error:
                if error.permanent and not self._patient:
                    raise
                self._note(f"the target cannot be used: {error}")
            else:
                self._note("")
                return
            await asyncio.sleep(with_jitter(backoff.next()))

    async def _close(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._target.close()
        except (GatewayError, OSError, TimeoutError) as error:
            log.warning("target not closed", target=self._target.where, reason=text_of(error))

    async def _follow_list(self, parts: asyncio.TaskGroup) -> None:
        """Start a mirror for every election, also for those that appear later."""
        for election in self._options.elections:
            self._start(election, parts)
        backoff = Backoff(RETRY_FIRST_S, LISTED_EVERY_S)
        while True:
            delay_s = LISTED_EVERY_S
            if not self._options.elections:
                try:
                    await self._start_listed(parts)
                except GatewayError as error:
                    self._note(f"the elections of {self._options.feed_url} are not known: {error}")
                    delay_s = backoff.next()
                else:
                    self._note("")
                    backoff.reset()
            await asyncio.sleep(with_jitter(delay_s))

    async def _start_listed(self, parts: asyncio.TaskGroup) -> None:
        """Start a mirror for every election of the door; without any, say so to readers. Raises GatewayError."""
        listed = await self._listed()
        for election in listed:
            self._start(election, parts)
        if not listed and not self._running:
            await self._list.write()

    async def _listed(self) -> Collection[str]:
        async with open_door("feed door", self._options.feed_url, total_s=REQUEST_S) as door:
            document = await door.get("/v1/elections")
        return [
            each["id"] for each in read_document(document, Elections, self._options.feed_url)["elections"]
        ]

    def _start(self, election: str, parts: asyncio.TaskGroup) -> None:
        if election in self._running:
            return
        self._list.add(election)
        mirror = Mirror(
            self._options.feed_url,
            election,
            self._target,
            every_s=self._options.every_s,
            keys=self._options.keys_of(election),
            elections=self._list,
        )
        mirror.progress.observe_step = self.metrics.step_s.observe
        running = self._running[election] = _Running(mirror, self._clock())
        parts.create_task(self._keep_running(election, running), name=f"mirror of {election}")

    async def _keep_running(self, election: str, running: _Running) -> None:
        """Run the mirror of an election, again after every failure. Raises TargetInUse."""
        backoff = Backoff(RETRY_FIRST_S, RETRY_MOST_S)
        while True:
            began_s = self._clock()
            try:
                await running.mirror.run()
            except Exception as raised:
                error = cause_of(raised)
                if isinstance(error, TargetInUse):
                    raise error from None
                refused = isinstance(error, GatewayError)
                running.ended = ("refused" if refused else "failed", self._wall())
                ran = self._clock() - began_s > RETRY_MOST_S
                if refused and (ran or str(error) != running.reason):
                    running.reason = str(error)
                    log.error("election not mirrored", election=election, reason=str(error))
                elif not refused:  # an internal error of the mirror; the others go on
                    log.exception("mirror of an election failed", election=election, error=error)
                self._list.drop(election)
            if self._clock() - began_s > RETRY_MOST_S:
                backoff.reset()
            await asyncio.sleep(with_jitter(backoff.next()))
            self._list.add(election)

    def _state(self, running: _Running) -> MirroredElection:
        progress = running.mirror.progress
        age_s = self._clock() - running.since_s
        if progress.written_at is not None:
            age_s = max(0.0, self._wall() - progress.written_at.timestamp())
        if progress.closed_at is not None:
            age_s = 0.0
        return MirroredElection(
            age_s=age_s,
            sequence=progress.sequence,
            behind=max(0, progress.received - progress.sequence),
            documents_behind=max(0, progress.sequence - progress.documents),
            steps=progress.steps,
            histories=progress.histories,
            fails=frozenset(running.fails),
        )

    def _totals(self) -> MirrorTotals:
        return MirrorTotals(self._target.puts, self._target.written_bytes, stopped=bool(self.problem))

    def _note(self, problem: str) -> None:
        """Take note of why nothing is written, or that it is; log it, as an error once it has lasted PATIENCE_S."""
        now_s = self._clock()
        if not self.problem or not problem:
            self._problem_at_s, self._is_logged = now_s, False
        lasting = now_s - self._problem_at_s >= PATIENCE_S
        if problem and lasting and not self._is_logged:
            self._is_logged = True
            log.error("nothing is mirrored", reason=problem)
        elif problem and problem != self.problem:
            log.warning("nothing is mirrored yet", reason=problem)
        self.problem = problem


def cause_of(error: BaseException) -> BaseException:
    """Return the first error of the gateway in an exception or a group of them; the exception if there is none."""
    if isinstance(error, BaseExceptionGroup):
        causes = [cause_of(each) for each in error.exceptions]
        return next((each for each in causes if isinstance(each, GatewayError)), error)
    return error
