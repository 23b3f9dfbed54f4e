"""What a mirror lacks, in words: its age, how far it is behind the feed door, and files that are missing.

Reads only, also while a mirror runs.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise

import msgspec

from gateway.client.documents import REQUEST_S, read_document
from gateway.client.http_json import open_door
from gateway.errors import GatewayError
from gateway.humanize import counted, duration
from gateway.mirror.elections import MirrorOptions
from gateway.mirror.target import Target
from gateway.mirror.targets import open_target
from gateway.output import say
from gateway.wire.mirror import (
    ELECTIONS,
    LIVE_READ_MAX,
    Live,
    decode_live,
    delta_path,
    election_path,
    history_path,
    is_behind,
    live_path,
    snapshot_path,
)

LISTED_MAX = 5
"""Missing files that are listed."""
DOCUMENT_MAX = 64 << 20
"""Bytes of a document that is read."""


class Head(msgspec.Struct, frozen=True):
    """An election in the list of a feed door."""

    id: str
    sequence: int
    chain: str = ""


class Heads(msgspec.Struct, frozen=True):
    """The list of a feed door."""

    elections: list[Head]


class CheckedElection(msgspec.Struct, frozen=True):
    """What was found of one election."""

    election: str
    good: bool
    text: str


async def show_check(options: MirrorOptions) -> int:
    """Print what is wrong with a mirror; return 0 if nothing is, and 1 otherwise. Raises GatewayError."""
    checked = await check(options)
    width = max((len(each.election) for each in checked), default=0)
    for each in checked:
        say(f"{each.election:<{width}}  {each.text}")
    if not checked:
        say("the feed door has no election yet")
    return 0 if all(each.good for each in checked) else 1


async def check(options: MirrorOptions) -> list[CheckedElection]:
    """Compare the files of a target with the elections of the feed door. Raises GatewayError."""
    wanted = options.elections or tuple(await heads_of(options.feed_url))
    target = open_target(options.target, options.every_s)
    try:
        listed = await target.read(ELECTIONS, DOCUMENT_MAX) is not None
        contents = {each: await target.read(live_path(each), LIVE_READ_MAX) for each in wanted}
        # After live.json, which would otherwise be ahead of the door while the night goes on.
        heads = await heads_of(options.feed_url)
        return [
            await _checked(target, each, content, heads.get(each), listed=listed)
            for each, content in contents.items()
        ]
    finally:
        await target.close()


async def heads_of(feed_url: str) -> Mapping[str, Head]:
    """Return the head of every election of a feed door. Raises GatewayError."""
    async with open_door("feed door", feed_url, total_s=REQUEST_S) as door:
        document = read_document(await door.get("/v1/elections"), Heads, feed_url)
    return {each.id: each for each in document.elections}


async def _checked(
    target: Target, election: str, content: bytes | None, head: Head | None, *, listed: bool
) -> CheckedElection:
    if content is None:
        return CheckedElection(election, good=False, text="not in the mirror: there is no live.json")
    try:
        live = decode_live(content)
    except GatewayError as error:
        return CheckedElection(election, good=False, text=f"live.json cannot be read: {error}")
    age_s = (datetime.now(UTC) - live.written_at).total_seconds()
    problems = [*problems_of(live, head, age_s), *await _missing(target, live)]
    if not listed:
        problems.append(f"{ELECTIONS} is missing, so that readers do not find the election")
    good = "up to date" if live.closed_at is None else "closed and complete"
    state = "behind" if is_behind(live.every_s, age_s, live.closed_at) else "incomplete" if problems else good
    about = f"{state}: {_age(age_s)}, sequence {live.sequence}{distance(live, head)}, history {live.history}"
    return CheckedElection(election, good=not problems, text="; ".join((about, *problems)))


def _age(age_s: float) -> str:
    return f"written {duration(age_s)} ago" if age_s >= 0 else f"written {duration(age_s)} in the future"


def distance(live: Live, head: Head | None) -> str:
    """Return how many publications are missing, for a text. While the night goes on, some always are. Pure."""
    missing = head.sequence - live.sequence if head is not None else 0
    return f" ({counted(missing, 'publication')} behind the feed door)" if missing > 0 else ""


def problems_of(live: Live, head: Head | None, age_s: float) -> Iterator[str]:
    """Yield what is wrong with a `live.json` of some age beside the head of the feed door. Pure."""
    if is_behind(live.every_s, age_s, live.closed_at):
        yield "no mirror has written for so long, or it does not get blocks from the feed door"
    if age_s < -live.every_s:
        yield "the clock of the mirror's machine is ahead, or that of this one behind"
    if head is None:
        yield "the feed door has no such election"
        return
    if live.closed_at is not None and head.sequence > live.sequence:
        yield "closed, but the feed door has more: it may have another record"
    if head.sequence < live.sequence:
        yield f"ahead of the feed door, which is at sequence {head.sequence}: it may have another record"
    if head.sequence == live.sequence and head.chain and head.chain != live.chain:
        yield "of another record than that of the feed door"


async def _missing(target: Target, live: Live) -> Sequence[str]:
    """Return what is wrong with the files that belong to a `live.json`."""
    found = {path async for path in target.list(f"{history_path(live.election, live.history)}/")}
    lacking = [path for path in named_files(live) if path not in found]
    beside = {path async for path in target.list(f"{election_path(live.election)}/areas/")}
    problems = []
    if lacking:
        shown = ", ".join(
            path.removeprefix(f"{election_path(live.election)}/") for path in lacking[:LISTED_MAX]
        )
        problems.append(f"{counted(len(lacking), 'file')} of live.json missing: {shown}")
    needed = [f"{election_path(live.election)}.json", f"{election_path(live.election)}/results.csv"]
    problems += [f"{path} is missing" for path in needed if await target.read(path, DOCUMENT_MAX) is None]
    if not beside:
        problems.append("there are no files of areas")
    return problems


def named_files(live: Live) -> Iterator[str]:
    """Yield the paths of all files that a `live.json` names. Pure."""
    for name, profile in live.profiles.items():
        yield snapshot_path(live.election, live.history, name, profile.snapshot)
        for since in profile.since:
            yield delta_path(live.election, live.history, name, since, profile.at)
        for one, other in pairwise(profile.steps):
            yield delta_path(live.election, live.history, name, one, other)
