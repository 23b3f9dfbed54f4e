"""Rehearse a data set: load it as a separate election, issue tokens, replay it, judge the history, and summarise it.

An operator with a token of its own decides on the reports that are held.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

from gateway.client.hold_command import OperatorOptions
from gateway.client.subscriber import Block, Subscriber
from gateway.journal.administration import administration
from gateway.rehearsal.dataset import DataSet
from gateway.rehearsal.judge import History, judge
from gateway.rehearsal.known_errors import KnownError
from gateway.rehearsal.operator import LOOK_S, Decided, Operator, ReportKey
from gateway.rehearsal.replay import TRANSPORTS, Replay, Sending, prepare, rehearsal_of
from gateway.rehearsal.results import Summary
from gateway.rehearsal.schedule import Schedule
from gateway.wire.holds import AreaNames, Hold

SET_UP_S = 1.5
"""Seconds between the creation of a rehearsal and its first report."""


MakeSchedule = Callable[[Sequence[datetime], datetime], Schedule]
"""Makes a schedule from the times of the recorded reports and the end of the recorded embargo."""


class GatewayUrls(NamedTuple):
    """The addresses of a running gateway: its database, as the owner, and its doors."""

    database: str
    push: str
    feed: str
    require_standby: bool = False
    """Whether it requires a synchronous standby."""


class Rehearsal(msgspec.Struct):
    """A replay that is ready to run."""

    election: str
    started: datetime
    publish_at: datetime
    replay: Replay
    dataset: DataSet
    tokens: dict[str, str]

    database_url: str
    author: str

    async def run(self) -> Summary:
        """Run the replay, then judge its history. Raises ReplayFailed."""
        summary = await self.replay.run(self.dataset, self.started, self.publish_at)
        async with administration(self.database_url, self.author) as administered:
            stored = await administered.journal_reports(self.election)
            holds = await administered.journal_holds(self.election)
        history = History(
            registry=self.dataset.registry,
            publish_from=self.publish_at.timestamp(),
            pushes=self.replay.pushes(),
            readings=[self.replay.reading(self.dataset.registry)],
            stored=stored,
            holds=holds,
        )
        return msgspec.structs.replace(summary, broken=judge(history))


async def rehearse(
    dataset: DataSet,
    make_schedule: MakeSchedule,
    gateway: GatewayUrls,
    *,
    author: str,
    transports: Sequence[str] = TRANSPORTS,
    on_block: Callable[[Subscriber, Block], None] = lambda *_: None,
    on_answer: Callable[[Sending], None] = lambda _: None,
    look_s: float = LOOK_S,
    on_held: Callable[[Hold, Mapping[str, AreaNames]], None] = lambda *_: None,
    on_decided: Callable[[Decided], None] = lambda _: None,
    prepare_log: Callable[[str], Awaitable[None]] | None = None,
) -> Rehearsal:
    """Load a data set as a separate election that starts in SET_UP_S, with one token per municipality.

    An operator looks at each held report for `look_s` seconds and then decides by the data set's known errors, whose
    corrections wait for that; a copy waits for what it repeats. `prepare_log` is called with the election before it is
    opened, and so before anything of it is signed. Raises GatewayError.
    """
    errors = dataset.errors()
    recorded = list(dataset.reports())
    publish_from = datetime.fromisoformat(dataset.registry["election"]["publish_from"])
    schedule = make_schedule([report.counted_at for report in recorded], publish_from)
    started = datetime.now(UTC) + timedelta(seconds=SET_UP_S)
    document = rehearsal_of(dataset.registry, started, schedule)
    senders = prepare(recorded, started, schedule)
    async with administration(
        gateway.database, author, require_standby=gateway.require_standby
    ) as administered:
        election = await administered.load_election(document, dataset.previous())
        if prepare_log is not None:
            await prepare_log(election)
        await administered.open_election(election)
        wanted = [([municipality], "rehearsal") for municipality in senders]
        issued = await administered.issue_tokens(election, wanted)
        root = next(area["id"] for area in document["areas"] if area.get("parent") is None)
        operator_token = await administered.issue_token(
            election, [root], role="operator", note="operator of a rehearsal"
        )
    tokens = {municipality: token.secret for municipality, token in zip(senders, issued, strict=True)}

    async def placed() -> int | None:
        async with administration(gateway.database, author) as administered:
            return await administered.placed(election)

    operator = Operator(
        OperatorOptions(gateway.push, gateway.feed, election, operator_token.secret),
        errors,
        look_s=look_s,
        on_held=on_held,
        on_decided=on_decided,
    )
    replay = Replay(
        gateway.push,
        gateway.feed,
        election,
        tokens,
        senders,
        transports=transports,
        on_block=on_block,
        on_answer=on_answer,
        operator=operator,
        placed=placed,
        after=_after(errors),
    )
    publish_at = started + timedelta(seconds=schedule.publish_s)
    return Rehearsal(election, started, publish_at, replay, dataset, tokens, gateway.database, author)


def _after(errors: Sequence[KnownError]) -> dict[ReportKey, ReportKey]:
    """Return which reports wait for others: corrections for the decision, and copies for what they repeat."""
    after = {}
    for error in errors:
        for wrong, correction in zip(error.reports, error.corrected_by, strict=False):
            after[correction.unit, correction.revision] = (wrong.unit, wrong.revision)
        if error.copied_from is not None:
            for copy in error.reports:
                after[copy.unit, copy.revision] = (error.copied_from.unit, error.copied_from.revision)
    return after
