"""The table of results, made at once."""

from collections.abc import Iterable

from gateway.election.registry import Registry
from gateway.wire.results import CSV, Document, Heading


def results_csv(registry: Registry, documents: Iterable[Document], *, compared: bool = False) -> bytes:
    """Return the whole table of some areas as CSV; its head is the same for any of them."""
    head = CSV.encode_head(Heading(registry, "", None, 0, b"", None, compared))
    return head + CSV.separator.join(map(CSV.encoder(registry), documents)) + CSV.end
