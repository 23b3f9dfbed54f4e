"""Messages between readers that poll a mirror, in a separate process, and the process that controls them."""

import msgspec


class Place(msgspec.Struct, frozen=True):
    """Where readers read: an election of a mirror, and the feed door that they ask before it, if any."""

    host: str
    port: int
    election: str
    profiles: tuple[str, ...]
    """The profiles that readers follow in turn."""
    every_s: float
    """How often each asks for `live.json`, in s; ±20 %, as clients do."""
    door: tuple[str, int] | None = None
    """Host and port of a feed door, which has to turn readers away and to name the mirror."""


class PollCommand(msgspec.Struct):
    """A command: `connect`, `mark`, `look` or `stop`; each is answered by a `Polled`."""

    do: str
    place: Place | None = None
    count: int = 0
    """`connect`: number of readers."""
    over_s: float = 0.0
    """`connect`: interval over which they come evenly, in s."""
    limit_s: float = 60.0
    """`connect`: how long they may take to have a state, in s."""
    sequence: int = -1
    """`look`: wait up to `limit_s` until all readers have this sequence."""


class Copies(msgspec.Struct, frozen=True):
    """What readers of one profile had at one sequence: all had the same, or it is among the faults."""

    profile: str
    sequence: int
    digest: str
    """SHA-256 of the documents of all areas of the profile, in its order, each with a line feed."""


class Polled(msgspec.Struct):
    """What readers have seen since the last mark, unless it says otherwise."""

    do: str
    readers: int
    """Readers with a connection."""
    without_state: int
    """Readers that have no state yet."""
    behind: int
    """After `look` with a sequence: readers that lack it."""
    unchanged: int
    """Answers 304."""
    changed: int
    """Answers 200 with another `live.json`."""
    files: int
    size: int
    """Bytes of all answers."""
    unchanged_bytes: int
    """Bytes of the last whole answer 304, and of the last head of an answer 200."""
    head_bytes: int
    latencies: dict[int, int]
    """From publication to a reader, for the newest publication of each step: microseconds → number."""
    cpu_s: float
    turned_away: int
    """Since the start: readers that the feed door answered with 503 and the URL of the mirror."""
    older: int
    """Since the start: how often a reader was sent an older `live.json` than before."""
    lost: int
    """Since the start: connections that ended; their readers connect again."""
    faults: list[str]
    """Since the start: what was not as it has to be, each once."""
    copies: list[Copies] = []
    """After `stop`: every state that readers had since the start."""
