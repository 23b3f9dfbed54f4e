"""PURE: reads a report of the record straight into figures, with a decoder that is made for one registry.

The decoder knows every category and party beforehand, and makes no dictionaries. What it does not know, `decode_stored`
reads.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

import msgspec
from msgspec import UNSET

from gateway.election.report import (
    COUNT_NAMES,
    OPTIONAL_COUNT_NAMES,
    STATUSES,
    Count,
    Reason,
    Revision,
    Status,
)

UNIT_FIGURES = "i"
"""Type code of the figures of a unit: 32-bit signed, which hold every count of a report."""

_REQUIRED = len(COUNT_NAMES) - len(OPTIONAL_COUNT_NAMES)
"""How many counts every category has; those that it may lack follow them."""
_as_tuple: Callable[[Any], tuple[Any, ...]] = msgspec.structs.astuple


class StoredReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False, kw_only=True):
    """A report of the record whose counts are not decoded: those of canonical bytes are equal if their bytes are."""

    counted_at: str
    counts: msgspec.Raw
    reason: Reason | msgspec.UnsetType = UNSET
    revision: Revision
    status: Status
    unit: str


open_report: Callable[[bytes], StoredReport] = msgspec.json.Decoder(StoredReport).decode
"""Read a report but for its counts. Raises msgspec.ValidationError if it has a member, status or reason that this
version does not know."""


class ReportReader:
    """Reads the counts of reports that have known members, categories and parties only."""

    def __init__(self, categories: Sequence[str], parties: Sequence[str]) -> None:
        """`categories` and `parties` are in the registry's order, which is that of the figures."""
        # Canonical bytes have their keys in this order. A decoder that expects them in it need not search.
        order = sorted(range(len(parties)), key=lambda number: parties[number].encode())
        votes = _struct("Votes", [(parties[number], Count, 0) for number in order])
        self._in_order = _rearranged(order)
        counts = _struct(
            "Counts",
            [
                *((name, Count | msgspec.UnsetType, UNSET) if name in OPTIONAL_COUNT_NAMES else (name, Count)
                  for name in COUNT_NAMES),
                ("votes", votes),
            ],
        )  # fmt: skip
        of_categories = _struct(
            "Categories", [(name, counts | msgspec.UnsetType, UNSET) for name in categories]
        )
        self._decode = msgspec.json.Decoder(of_categories).decode
        width = 1 + len(OPTIONAL_COUNT_NAMES) + len(COUNT_NAMES) + len(parties)
        of_category = struct.Struct(f"{width}{UNIT_FIGURES}")
        self._pack_into, self._size = of_category.pack_into, of_category.size
        self._all_known = (1,) * (1 + len(OPTIONAL_COUNT_NAMES))
        self._statuses = {status: number for number, status in enumerate(STATUSES)}
        self._no_figures = array(UNIT_FIGURES, [0] * (len(STATUSES) + len(categories) * width))
        self._first = len(STATUSES) * self._no_figures.itemsize
        """Offset of the first category, in bytes."""

    def figures(self, report: StoredReport) -> array[int]:
        """Return the figures of a report, as `Layout` has them.

        Raises msgspec.ValidationError if there is anything in them that the registry or this version does not know.
        """
        figures, offset = self._no_figures[:], self._first
        figures[self._statuses[report.status]] = 1
        for counts in _as_tuple(self._decode(report.counts)):
            if counts is not UNSET:
                values = _as_tuple(counts)
                known, numbers = self._all_known, values[:-1]
                if UNSET in numbers[_REQUIRED:]:
                    known = (1, *[number is not UNSET for number in numbers[_REQUIRED:]])
                    numbers = tuple([0 if number is UNSET else number for number in numbers])
                self._pack_into(figures, offset, *known, *numbers, *self._in_order(_as_tuple(values[-1])))
            offset += self._size
        return figures


def _struct(name: str, members: Sequence[tuple[Any, ...]]) -> Any:
    """Return a class for an object with these members, whose names need not be identifiers; others are an error."""
    return msgspec.defstruct(
        name,
        [(f"member_{number}", *rest) for number, (_, *rest) in enumerate(members)],
        rename={f"member_{number}": each[0] for number, each in enumerate(members)},
        kw_only=True,
        frozen=True,
        gc=False,
        forbid_unknown_fields=True,
    )


def _rearranged(order: Sequence[int]) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """Return a function that puts what is at place n into place `order[n]`."""
    if len(order) == 1:
        return lambda values: values
    return itemgetter(*sorted(range(len(order)), key=order.__getitem__))
