"""The events of the feed, and the lines of the publication stream.

The feed has two events: `area` carries an area's absolute values; `block` ends a run of areas that belong to one
moment, and only it carries an `id`. Source: WHATWG HTML, "Server-sent events".
"""

from datetime import datetime

from gateway.election.record import Publication
from gateway.election.state import Cursor, ElectionState
from gateway.wire.areas import area_json
from gateway.wire.cursors import format_cursor
from gateway.wire.json import to_json

_AREA_HEAD, _AREA_END = b"event: area\ndata: ", b"\n\n"
_REPORT = b',"report":'
"""Before the report in a line; the members before it cannot contain it, as quotation marks in texts are escaped."""


def area_event(state: ElectionState, index: int) -> bytes:
    """Return an area as an `area` event."""
    return _AREA_HEAD + area_json(state, index) + _AREA_END


def document_of(event: bytes) -> bytes:
    """Return the document of an `area` event."""
    return event[len(_AREA_HEAD) : -len(_AREA_END)]


def block_event(
    cursor: Cursor,
    chain: bytes,
    published_at: datetime | None,
    *,
    snapshot: bool,
    areas: int,
    rehearsal: bool,
    holds: int,
    server_time: datetime,
) -> bytes:
    """Return the event that ends a block of `areas` areas and moves the reader to `cursor`."""
    document = block_json(
        cursor.sequence,
        chain.hex(),
        published_at,
        snapshot=snapshot,
        areas=areas,
        rehearsal=rehearsal,
        holds=holds,
        server_time=server_time,
    )
    return b"event: block\nid: " + format_cursor(cursor).encode() + b"\ndata: " + document + b"\n\n"


def block_json(
    sequence: int,
    chain: str,
    published_at: datetime | None,
    *,
    snapshot: bool,
    areas: int,
    rehearsal: bool,
    holds: int,
    server_time: datetime,
) -> bytes:
    """Return the document that ends a block of `areas` areas.

    In a rehearsal, snapshots contain `rehearsal`. `holds` is the number of lines of the list of holds; it is left out
    while there are none.
    """
    document = {
        "sequence": sequence,
        "published_at": published_at,
        "chain": chain,
        "snapshot": snapshot,
        "areas": areas,
        "server_time": server_time,
    }
    if holds:
        document["holds"] = holds
    if snapshot and rehearsal:
        document["rehearsal"] = True
    return to_json(document)


def retry_event(delay_ms: int) -> bytes:
    """Return the field with the delay after which a client reconnects."""
    return b"retry: %d\n\n" % delay_ms


def publication_line(publication: Publication) -> bytes:
    """Return a publication as a line of JSON that contains the stored bytes of the report unchanged.

    Only a report that was held has `held`.
    """
    document = {
        "sequence": publication.sequence,
        "published_at": publication.published_at,
        "digest": publication.digest.hex(),
        "chain": publication.chain.hex(),
    }
    if publication.held_since is not None:
        document["held"] = {"since": publication.held_since, "rules": publication.held_rules}
    return to_json(document)[:-1] + _REPORT + publication.body + b"}\n"


def report_in(line: bytes) -> bytes:
    """Return the bytes of the report in a line from `publication_line`."""
    return line[line.index(_REPORT) + len(_REPORT) : -2]


def hold_line(line: bytes, chain: bytes) -> bytes:
    """Return a line of the list of holds with its chain, before the members that the chain was computed from."""
    return b'{"chain":"' + chain.hex().encode() + b'",' + line[1:] + b"\n"


def publication_event(line: bytes, cursor: Cursor) -> bytes:
    """Return a line from `publication_line` as a `publication` event."""
    return b"event: publication\nid: " + format_cursor(cursor).encode() + b"\ndata: " + line + b"\n"
