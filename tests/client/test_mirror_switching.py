"""A subscriber between a stream and a mirror that both fail: exact at every block, and never back."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.client.failures import Failure
from gateway.client.subscriber import Block, Source, Subscriber
from tests.client.model_sources import (
    FEED,
    MIRROR,
    MIRROR_MODES,
    STREAM_MODES,
    Sources,
    StreamMode,
)
from tests.client.virtual import run
from tests.counts import examples
from tests.mirror.test_ledger import UNITS

MOST_S = 4000.0
"""Virtual seconds within which a reader has to have the newest state again."""


class Follower:
    """Follows a subscriber in a task, and compares each block with the record that it is of."""

    def __init__(self, sources: Sources, subscriber: Subscriber) -> None:
        self.sources = sources
        self.subscriber = subscriber
        self.blocks: list[tuple[Block, Source]] = []
        self._more = asyncio.Event()

    async def run(self) -> None:
        """Follow, and check each block."""
        reached: tuple[int, int] = (0, -1)
        async for block in self.subscriber.blocks():
            assert self.subscriber.source is not None
            shown = self.sources.shown(block.chain, block.sequence)
            assert self.subscriber.copy == shown, block
            assert block.cursor == self.subscriber.cursor
            reached = self._later(block, reached)
            self.blocks.append((block, self.subscriber.source))
            more, self._more = self._more, asyncio.Event()
            more.set()

    def _later(self, block: Block, reached: tuple[int, int]) -> tuple[int, int]:
        """Return the number of the block's record, or of the first that it may be of, and its sequence."""
        if not block.sequence:  # empty records are all alike
            least = reached[0] + (reached[1] > 0)
            assert least < len(self.sources.records), "the reader goes back to the beginning"
            return least, 0
        at = self.sources.number_of(block.chain, block.sequence), block.sequence
        if at < reached:  # after a stream, a reader does not know yet which histories of the mirror are past
            assert self.subscriber.source is not None
            assert at[0] < reached[0], "the reader goes back"
            assert block.snapshot
            assert (self.blocks[-1][1].kind, self.subscriber.source.kind) == ("stream", "mirror")
        return at

    async def until(self, reached: Callable[[Subscriber], bool]) -> float:
        """Wait until something is true after a block; return how many seconds that took."""
        clock = asyncio.get_running_loop().time
        began_s = clock()
        async with asyncio.timeout(MOST_S):
            while not reached(self.subscriber):
                await self._more.wait()
        return clock() - began_s

    async def newest(self) -> float:
        """Wait for the newest state."""
        return await self.until(lambda it: it.cursor == self.sources.record.cursor)

    async def reads(self, kind: str) -> float:
        """Wait until it reads a stream, or a mirror."""
        return await self.until(lambda it: it.source is not None and it.source.kind == kind)


@asynccontextmanager
async def following(sources: Sources, **options: object) -> AsyncIterator[Follower]:
    """Run a mirror and a subscriber; raise what the subscriber raises."""
    async with sources.subscriber(**options) as subscriber, asyncio.TaskGroup() as parts:
        follower = Follower(sources, subscriber)
        tasks = [parts.create_task(sources.run()), parts.create_task(follower.run())]
        try:
            yield follower
        finally:
            for task in tasks:
                task.cancel()


@settings(max_examples=examples(300), deadline=None)
@given(st.data())
def test_every_block_is_exact_whatever_fails_and_the_newest_state_is_reached(data: st.DataObject) -> None:
    """Copies are compared with the record at each block; the sequence falls only with another record."""

    selection = data.draw(
        st.sampled_from([{}, {"areas": "03"}, {"levels": "country,county"}, {"areas": "0303"}])
    )
    waits = st.sampled_from([0.0, 1.0, 3.0, 12.0, 40.0, 200.0])
    actions = st.sampled_from(["publish", "stream", "mirror", "record", "cut", "writer"])

    async def night() -> None:
        sources = Sources(**selection)
        sources.stream = data.draw(st.sampled_from(STREAM_MODES))
        sources.mirror = data.draw(st.sampled_from(MIRROR_MODES))
        async with following(sources, raw=True) as follower:
            for action in data.draw(st.lists(actions, max_size=12)):
                match action:
                    case "publish":
                        for unit in data.draw(st.lists(st.sampled_from(UNITS), min_size=1, max_size=3)):
                            sources.publish(unit)
                    case "stream":
                        sources.stream = data.draw(st.sampled_from(STREAM_MODES))
                    case "mirror":
                        sources.mirror = data.draw(st.sampled_from(MIRROR_MODES))
                    case "record":
                        sources.replace_record()
                    case "cut":
                        follower.subscriber.cut()
                    case "writer":
                        sources.is_written = not sources.is_written
                await asyncio.sleep(data.draw(waits))
            healthy = data.draw(st.sampled_from(["stream", "mirror"]))
            sources.stream = "open" if healthy == "stream" else data.draw(st.sampled_from(STREAM_MODES[1:]))
            if healthy == "mirror":
                sources.mirror, sources.is_written = "good", True
            earlier = max((each.sequence for each in sources.records[:-1]), default=0)
            while (
                sources.record.sequence <= earlier
            ):  # the mirror of a shorter record looks like one that is late
                sources.publish(UNITS[0])
            await follower.newest()

    run(night())


@pytest.mark.parametrize("mode", STREAM_MODES[1:])
def test_a_mirror_is_read_while_the_stream_cannot_be_and_the_stream_again_when_it_can(
    mode: StreamMode,
) -> None:
    async def night() -> None:
        sources = Sources()
        seen: list[Source] = []
        async with following(sources, on_source=seen.append) as follower:
            await follower.reads("stream")
            sources.stream = mode
            sources.publish(UNITS[0])
            assert await follower.reads("mirror") <= 60
            assert await follower.newest() <= 10
            sources.publish(UNITS[1])
            assert await follower.newest() <= 10
            assert follower.subscriber.age_s is not None
            assert follower.subscriber.age_s <= 10
            assert not follower.subscriber.is_behind
            sources.stream = "open"
            await follower.reads("stream")
            assert follower.subscriber.age_s is None
            sources.publish(UNITS[2])
            assert await follower.newest() <= 1
        assert [each.kind for each in seen] == ["stream", "mirror", "stream"]
        assert (seen[0].url, seen[1].url) == (FEED, MIRROR)
        assert seen[1].why is not None

    run(night())


def test_a_full_gateway_is_asked_less_and_less_often() -> None:
    """Every ten minutes in the end, and at least as often as without a mirror if the mirror fails."""

    async def night() -> None:
        sources = Sources()
        sources.stream = "full"
        async with following(sources) as follower:
            await follower.reads("mirror")
            await asyncio.sleep(3600)

            def asked() -> int:
                return sum(url.endswith("/feed") for url in sources.session.requested)

            assert asked() <= 20
            before = asked()
            sources.mirror = "unreachable"
            await asyncio.sleep(600)
            assert 20 <= asked() - before <= 130

    run(night())


def test_a_mirror_that_is_not_refreshed_is_behind() -> None:
    """From eleven seconds on at an interval of two; then the gateway is asked more often."""

    async def night() -> None:
        sources = Sources()
        sources.stream = "full"
        async with following(sources) as follower:
            await follower.reads("mirror")
            sources.is_written = False
            await asyncio.sleep(9)
            assert not follower.subscriber.is_behind
            await asyncio.sleep(6)
            assert follower.subscriber.is_behind
            sources.is_written = True
            await asyncio.sleep(5)
            assert not follower.subscriber.is_behind

    run(night())


def test_a_stream_that_breaks_is_opened_again_before_a_mirror_is_read() -> None:
    """As at a restart of a process: others serve the stream at once."""

    async def night() -> None:
        sources = Sources()
        async with following(sources) as follower:
            await follower.reads("stream")
            sources.stream = "cut"
            sources.publish(UNITS[0])
            await asyncio.sleep(0.05)
            sources.stream = "open"
            await follower.newest()
            assert {source.kind for _, source in follower.blocks} == {"stream"}

    run(night())


def test_failures_of_the_stream_are_not_reported_while_the_mirror_works() -> None:
    async def night() -> None:
        sources = Sources()
        sources.stream = "full"
        changes: list[Failure | None] = []
        async with following(sources, on_change=changes.append) as follower:
            await follower.reads("mirror")
            await asyncio.sleep(600)
            assert [change.problem for change in changes if change is not None] == ["full"]
            sources.mirror = "garbage"
            sources.publish(UNITS[0])
            await asyncio.sleep(60)
            assert {change.code for change in changes[-3:] if change is not None} == {"mirror_malformed"}

    run(night())


@pytest.mark.parametrize("first", ["open", "full"])
def test_the_mirror_is_learned_from_the_answers_of_the_feed(first: StreamMode) -> None:
    """From a stream that was open, or from a refusal; after a full gateway, the stream is used once it has room."""

    async def night() -> None:
        sources = Sources()
        sources.stream = first
        async with following(sources, mirror_url=None) as follower:
            if first == "open":
                await follower.reads("stream")
                sources.stream = "unreachable"
            await follower.reads("mirror")
            sources.stream = "open"
            await follower.reads("stream")

    run(night())


def test_without_use_mirror_only_the_stream_is_read() -> None:
    async def night() -> None:
        sources = Sources()
        sources.stream = "full"
        async with following(sources, use_mirror=False):
            await asyncio.sleep(120)
        assert not [url for url in sources.session.requested if url.startswith(MIRROR)]

    run(night())
