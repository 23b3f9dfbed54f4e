"""Messages between a crowd of readers, in a separate process, and the process that controls it."""

import msgspec

from bench.figures import Histogram

FLUSHED = "\0\0\xff\xff"
"""The end of each of our blocks under gzip: a flush, after which all of the block can be decoded (RFC 1951)."""


class Group(msgspec.Struct):
    """Readers that connect to the same place with the same request."""

    host: str
    port: int
    request: str
    """Request line and headers, each ended by CRLF, without the empty line."""
    marker: str
    """What precedes the number of a change."""
    end: str = "\n\n"
    """What ends an event on the wire, one byte per character."""
    certificate: str = ""
    """File of the certificate to trust; the connection uses TLS if it is set."""
    gzip: bool = False
    greeted: bool = False
    """Whether each reader is sent an event as soon as it has connected."""
    returning: bool = False
    """Whether readers that were refused or cut off connect again, with `Last-Event-ID`."""
    sources: int = 0
    """Number of loopback addresses to connect from; 0: let the system choose."""


class Command(msgspec.Struct):
    """A command: `connect`, `mark`, `wait`, `weigh`, `cut`, `report` or `stop`."""

    do: str
    group: Group | None = None
    count: int = 0
    """`connect`: number of readers."""
    over_s: float = 0.0
    """`connect`: interval over which readers connect evenly, in s."""
    slow: float = 0.0
    """`connect`: part of the readers that read slowly."""
    limit_s: float = 30.0
    """`connect`, `wait`: time limit in s."""
    each: bool = False
    """`mark`: record who received what when, so that it can be weighed."""
    number: int = 0
    """`wait`: the change that all readers must have."""
    published: list[tuple[int, float]] = []
    """`weigh`: changes, and when each was published, in seconds since 1970."""
    within_s: float = 1.0
    """`cut`: all readers connect again within this time."""
    every_s: float = 1.0
    """`report`: interval between reports."""


class Seen(msgspec.Struct):
    """What the crowd has seen since the last mark; with `report`, since the last report."""

    do: str
    """The command that this answers; empty: a report."""
    at: float
    """By the monotonic clock."""
    readers: int
    """Connected readers."""
    covered: int
    """Changes that reached a reader, counted per reader; several may have arrived as one."""
    receives: int
    size: int
    """Bytes received."""
    behind: int
    """Readers that lack the change of the last `wait`."""
    silent: int
    """After `connect`: readers that had no response, or no first event, within the limit; slow ones left out."""
    lost: int
    """Connections that ended without `cut`, since the process started."""
    refused: int
    """Requests that were not answered with 200, and readers that could not connect, since the process started."""
    inspected: int
    """Pieces of bytes that differed from those seen before."""
    differing: int
    """Pieces that do not decode, or decode to another text than others of the same length and changes."""
    latencies: dict[int, int]
    """From publication to a reader, for the newest change of each event: microseconds, rounded down → number.

    After `weigh`: for each change, to the event that contained it or a newer one.
    """
    cpu_s: float
    lag_s: float
    """Longest time that this process took between two polls."""
    last_at: float = 0.0
    """When a reader last received a new change, in seconds since 1970."""
    joined: list[float] = []
    """Since the last answer or report: from connecting to the first event, in s."""
    returned: list[float] = []
    """Likewise: from losing a connection to the first event on the next one, in s."""
    numbers: dict[int, int] = {}
    """After `stop`: newest change → number of readers that have it, slow ones left out."""
    compared: int = 0
    """After `stop`: readers that received a change since a mark with `each`."""
    first_at: float = 0.0
    """After `stop`: when the last of them received its first change, in seconds since 1970."""

    def percentile(self, percent: float) -> float:
        """Return a percentile of the latencies in seconds; 0.0 if there are none."""
        return Histogram().add_counts(self.latencies).at(percent)

    @property
    def p50_s(self) -> float:
        """Median latency."""
        return self.percentile(50)

    @property
    def p99_s(self) -> float:
        """99th percentile of the latencies."""
        return self.percentile(99)
