"""The format of a mirror: paths of its files, `live.json`, and which files bring a reader to its newest state.

Section 13 of the contract describes it. A mirror writes immutable files with what changed, and then `live.json`, which
names the newest of them. Pure: knows neither files nor HTTP.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

import msgspec

from gateway.errors import GatewayError

FORMAT = "valgnatt-mirror/1"
USER_AGENT = "valgnatt-mirror"
"""`User-Agent` of a mirror: a feed door has places for one on its own machine, also when it is full."""
LIVE_MAX = 4096
"""Bytes of `live.json` that a mirror writes. A reader takes up to LIVE_READ_MAX, as members may be added."""
LIVE_READ_MAX = 64 << 10
STEPS_MAX = 10
"""Steps of a profile that `live.json` names, and cursors in `recent`."""
AREA_PROFILES_MAX = 50
"""Areas below the root that have profiles; an election with more of them has the two common profiles only."""
AREA_PROFILES_WITH_STEPS_MAX = 24
"""With more area profiles, those have no steps, so that `live.json` remains small."""
BEHIND_INTERVALS, BEHIND_MORE_S = 3, 5.0
"""A mirror is behind if `written_at` is older than this many times `every_s`, and these seconds more."""

ELECTIONS = "v1/elections.json"
COUNTRY, DEFAULT = "country", "default"
"""The profiles of every election: the root and the areas below it; all areas that have children."""

FILE_NAME_MAX = 195
"""Characters of the name of a file that stands for an identifier: file systems take 255, with what is added."""
REGISTRY_SUFFIXES = (".json", ".json.gz")
"""Ends of the name of the file with an election's registry, which is beside the directories of elections."""

_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")
_HISTORY = re.compile(r"[0-9TZ]{16}-[0-9a-f]{8}")


class MalformedMirror(GatewayError):
    """A file of a mirror that is not of this format."""

    code = "malformed_mirror"


class NotMirrored(GatewayError):
    """An election whose files cannot have the names that this format gives them."""

    code = "not_mirrored"


class Profile(msgspec.Struct, frozen=True):
    """The newest files of a profile; each number is the sequence of the record after which a file was made."""

    at: int
    """What the newest files lead to. Nothing in the profile has changed since."""
    snapshot: int
    """The newest snapshot, `at_{snapshot}.ndjson`."""
    since: tuple[int, ...] = ()
    """A delta leads from each of these to `at`: `{since}_{at}.ndjson`. The last one is that from the snapshot."""
    steps: tuple[int, ...] = ()
    """A delta leads from each of these to the next one, and the last one is `at`: the steps of the last seconds."""


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """`live.json`: the state that a mirror shows, and the names of its newest files."""

    format: str
    election: str
    history: str
    """Part of the paths of all immutable files; another one after the gateway's record was replaced by another."""
    sequence: int
    chain: str
    cursor: str
    published_at: datetime | None
    written_at: datetime
    """When the mirror last knew that this is the newest state, by its own clock."""
    every_s: int
    recent: tuple[str, ...]
    """Cursors of the last steps, the newest last: where a reader of the stream or of another mirror can go on.

    None of sequence 0: that is the cursor of every record."""
    documents: int
    """All files that are rewritten show at least what was public as of this sequence."""
    ranges: int
    """How many complete ranges of the record there are, of 1 000 publications each."""
    holds: int
    """Lines of the list of holds."""
    profiles: Mapping[str, Profile]
    closed_at: datetime | None = None
    """When the election was closed, once nothing follows and all files show it; None until then."""


_encoder = msgspec.json.Encoder()
_live = msgspec.json.Decoder(Live)


def encode_live(live: Live) -> bytes:
    """Return the JSON of `live.json`."""
    return _encoder.encode(live)


def decode_live(content: bytes) -> Live:
    """Read `live.json`; unknown members are ignored. Raises MalformedMirror."""
    try:
        live = _live.decode(content)
    except (ValueError, RecursionError) as error:
        raise MalformedMirror(f"not a live.json of {FORMAT}: {error}") from None
    if live.format != FORMAT:
        raise MalformedMirror(f"the format is {live.format[:40]!r}, and not {FORMAT}")
    if not _HISTORY.fullmatch(live.history):
        raise MalformedMirror("history is not a time and eight hexadecimal digits")
    for name, profile in live.profiles.items():
        if not _consistent(profile) or profile.at > live.sequence or not _PLAIN.fullmatch(name):
            raise MalformedMirror(f"the files of the profile {name[:40]!r} are not in order")
    return live


def _consistent(profile: Profile) -> bool:
    steps = profile.steps
    return (
        0 <= profile.snapshot <= profile.at
        and all(0 <= each < profile.at for each in profile.since)
        and (profile.snapshot == profile.at or profile.snapshot in profile.since)
        and all(one < other for one, other in pairwise(steps))
        and (not steps or (steps[0] >= 0 and steps[-1] == profile.at))
    )


def file_name(identifier: str) -> str:
    """Return an identifier as the name of a file: the same one if it is plain.

    Each character but ASCII letters, digits, `-`, `_` and `.` (not first) becomes `_xHHHH_`, its code point with four
    hexadecimal digits or more, and `_x` becomes `_x005F_x`, as in EML documents (section 7 of the contract). So each
    identifier has a name of its own that every web server and object store accepts.
    """
    plain = re.sub(r"_(?=x)", "_x005F_", identifier)
    return "".join(_escaped(position, character) for position, character in enumerate(plain))


def _escaped(position: int, character: str) -> str:
    if character.isascii() and (character.isalnum() or character in "-_" or (character == "." and position)):
        return character
    return f"_x{ord(character):04X}_"


def require_names(election: str, areas: Iterable[str]) -> None:
    """Require that all files of an election have names of their own that file systems accept. Raises NotMirrored."""
    if election.endswith(REGISTRY_SUFFIXES):
        raise NotMirrored(
            f"the identifier of election {election} ends like the file of a registry, {REGISTRY_SUFFIXES[0]}: its"
            " directory could be where the registry of another election has to be"
        )
    for area in areas:
        if (length := len(file_name(area))) > FILE_NAME_MAX:
            raise NotMirrored(
                f"the name of a file of area {area} would have {length} characters, more than {FILE_NAME_MAX}: its"
                " identifier has too many characters other than ASCII letters and digits"
            )


def area_profile(area: str) -> str:
    """Return the name of the profile of an area below the root and of everything below it."""
    return f"area-{file_name(area)}"


def election_path(election: str) -> str:
    """Return the directory of an election; `{it}.json` has its registry. Identifiers of elections are plain."""
    return f"v1/elections/{election}"


def live_path(election: str) -> str:
    """Return the path of `live.json`."""
    return f"{election_path(election)}/live.json"


def history_path(election: str, history: str) -> str:
    """Return the directory of the snapshots and deltas of a history."""
    return f"{election_path(election)}/live/{history}"


def snapshot_path(election: str, history: str, profile: str, at: int) -> str:
    """Return the path of a snapshot."""
    return f"{history_path(election, history)}/{profile}/at_{at}.ndjson"


def delta_path(election: str, history: str, profile: str, since: int, to: int) -> str:
    """Return the path of what changed between two sequences."""
    return f"{history_path(election, history)}/{profile}/{since}_{to}.ndjson"


def ranges_path(election: str, history: str) -> str:
    """Return the directory of the complete ranges of the record in a history, with `/` at its end."""
    return f"{election_path(election)}/publications/{history}/"


def range_path(election: str, history: str, number: int) -> str:
    """Return the path of the complete range `number` of the record, from 1."""
    return f"{ranges_path(election, history)}{1000 * number - 999}-{1000 * number}.ndjson"


def rest_path(election: str) -> str:
    """Return the path of what follows the last complete range."""
    return f"{election_path(election)}/publications/rest.ndjson"


class Position(NamedTuple):
    """Where a reader is. `history` is that of the mirror that it last read from; None if that was a stream."""

    sequence: int
    cursor: str
    history: str | None = None


class Route(NamedTuple):
    """The files that a reader applies, in this order, to have the newest state of a profile."""

    files: tuple[str, ...]
    """Their paths. With none, the reader already has everything."""
    snapshot: bool
    """Whether the first file replaces the whole copy."""


NOTHING = Route((), snapshot=False)


def route(live: Live, profile_name: str, reader: Position | None) -> Route | None:
    """Return the fewest files that bring a reader to the state of `live`.

    A delta can be applied to a copy of any moment from its beginning to its end, because areas have absolute values. If
    the cursor of the reader is not known to be of this record, the route begins with a snapshot. None if the reader is
    ahead of the mirror, and so has to wait. Raises KeyError for a profile that the mirror does not have.
    """
    profile = live.profiles[profile_name]
    deltas = f"{history_path(live.election, live.history)}/{profile_name}/"
    if reader is not None and reader.history in (None, live.history) and reader.sequence > live.sequence:
        return None
    if reader is not None and (reader.history == live.history or reader.cursor in live.recent):
        if reader.sequence >= profile.at:
            return NOTHING
        found = _shortest(profile, reader.sequence)
        if found is not None:
            return Route(tuple(f"{deltas}{one}_{other}.ndjson" for one, other in found), snapshot=False)
    files = [f"{deltas}at_{profile.snapshot}.ndjson"]
    if profile.at > profile.snapshot:
        files.append(f"{deltas}{profile.snapshot}_{profile.at}.ndjson")
    return Route(tuple(files), snapshot=True)


def _shortest(profile: Profile, sequence: int) -> list[tuple[int, int]] | None:
    """Return the deltas after a sequence: up to two steps, or else one from before them; None if there is none."""
    steps = list(_steps_after(profile.steps, sequence))
    if 1 <= len(steps) <= 2:
        return steps
    earlier = [each for each in profile.since if each <= sequence]
    return [(max(earlier), profile.at)] if earlier else steps or None


def _steps_after(steps: tuple[int, ...], sequence: int) -> Iterator[tuple[int, int]]:
    if steps and steps[0] <= sequence:
        for one, other in pairwise(steps):
            if other > sequence:
                yield one, other


def is_behind(every_s: int, age_s: float, closed_at: datetime | None = None) -> bool:
    """Return whether a mirror whose `written_at` is `age_s` seconds old is behind: never, once nothing follows."""
    return closed_at is None and age_s > BEHIND_INTERVALS * every_s + BEHIND_MORE_S
