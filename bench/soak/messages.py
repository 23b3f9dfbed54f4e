"""Messages between the processes of a soak: one JSON document per line, orders to a process and what it has seen."""

import msgspec


class NightOrder(msgspec.Struct):
    """One election: loaded, opened, pushed, released, closed and judged."""

    push_url: str
    feed_url: str
    admin_url: str
    database_url: str
    postmaster: int
    data: str = ""
    """Directory of a data set; empty: the recorded election, or a generated one."""
    seconds: float = 240.0
    """For how long reports are pushed."""
    rate: float = 30.0
    """Reports per second."""
    embargo_s: float = 30.0
    """End of the embargo, after the first report."""
    bursts: list[float] = []
    """When more reports arrive at once, in s after the first report."""
    burst: int = 0
    """Reports of each burst."""
    every_s: float = 10.0
    """Interval between two messages."""


class NightSeen(msgspec.Struct):
    """What the process of an election has seen: `opened`, `interval`, `closed` or `judged`."""

    do: str
    election: str
    at: float
    """By the monotonic clock."""
    reports: int = 0
    """Reports with a receipt, since the election was opened."""
    receipts: dict[int, int] = {}
    """Since the last message, from when a report was due to its receipt: microseconds → number."""
    lags: dict[int, int] = {}
    """Since the last message, from the publication of the newest report of a block to the subscriber."""
    late_s: float = 0.0
    """Since the last message: how late a report was sent at most, because the generator was slow."""
    reconnected: int = 0
    """WebSockets of senders that were closed and opened again, since the election was opened."""
    decided: int = 0
    """Held reports that the operator has decided on."""
    outcomes: dict[str, int] = {}
    faults: list[str] = []
    """After `judged`: every guarantee that was broken, and what was lost."""
    took_s: float = 0.0
    """After `judged`: duration of the judgement."""


class ReadersOrder(msgspec.Struct):
    """Readers of an election; a later order replaces an earlier one, and readers move as they come and go."""

    host: str
    port: int
    election: str
    readers: int
    lives_s: float
    """Mean duration of a connection."""
    every_s: float = 10.0


class ReadersSeen(msgspec.Struct):
    """What the readers have seen since the last message; counts without other unit are since their process started."""

    at: float
    connected: int = 0
    joined: int = 0
    left: int = 0
    silent: int = 0
    """Readers that have stopped reading without closing their connection, at the moment."""
    cut: int = 0
    """Connections that the gateway ended."""
    refused: int = 0
    """Requests that were not answered with 200, or not at all."""
    documents: int = 0
    """Documents and ranges of the record that were requested, by others than readers of the stream."""
    went_back: int = 0
    """Blocks with a lower sequence than the reader had; there must be none."""
    blocks: int = 0
    megabytes: float = 0.0
    first: dict[int, int] = {}
    """Since the last message, from connecting to the first block, slow readers left out: microseconds → number."""
    late_s: float = 0.0
    """Since the last message: how late the process itself was at most."""
