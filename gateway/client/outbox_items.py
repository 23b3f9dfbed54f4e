"""PURE: what an outbox contains."""

import msgspec

from gateway.client.push_answers import Answer


class Destination(msgspec.Struct, frozen=True):
    """An election at one gateway. Receipts of another gateway say nothing about this one."""

    gateway: str
    """The push door's URL, normalised by `push_files.destination`."""
    election: str


class Item(msgspec.Struct, frozen=True):
    """One report in the outbox; `answer` is the latest answer, also while the report waits to be resent."""

    key: int
    unit: str
    revision: int
    body: bytes
    answer: Answer | None
    chosen: bool = False
    """Whether push chose the revision, so that it may choose another one while the report waits."""


class Kept(msgspec.Struct, frozen=True):
    """A report waiting in the outbox, with its destination."""

    to: Destination
    item: Item
    added_at: float
    """When it was added, in seconds since 1970."""
    answered_at: float | None
    has_proof: bool = False
    """Whether there is a proof of it, from before it was to be sent again."""


class Change(msgspec.Struct, frozen=True):
    """What becomes of a waiting report: another revision, with its body, or else an answer, which ends its wait."""

    item: Item
    revision: int
    body: bytes
    answer: Answer | None = None
