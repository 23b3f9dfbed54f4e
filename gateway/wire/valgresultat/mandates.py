"""Seats of a party in a district and in the house, and how several parties are shown as one row."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")
_NO_QUOTIENT: dict[str, None] = {"kvotient": None, "mandatrang": None}


class Quotient(NamedTuple):
    """A quotient, and its rank from 1."""

    value: float | None
    rank: int

    def document(self) -> dict[str, float | int | None]:
        """Return it as members."""
        return {"kvotient": self.value, "mandatrang": self.rank}


class DistrictMandates(NamedTuple):
    """A party's seats in a district, levelling seats included, and its last and next ordinary seat."""

    seats: int = 0
    levelling: int | None = 0
    """None until levelling seats are given."""
    last: Quotient | None = None
    next: Quotient | None = None

    def document(self) -> dict[str, Any]:
        """Return them as members."""
        return {
            "antall": self.seats,
            "endring": None,
            "sisteMandat": _quotient(self.last),
            "nesteMandat": _quotient(self.next),
            "utjevningAntall": self.levelling,
        }

    @classmethod
    def together(cls, each: Sequence["DistrictMandates"]) -> "DistrictMandates":
        """Return the row of several parties: the last of their last seats, and the first of their next ones."""
        return cls(
            sum(one.seats for one in each),
            _sum(one.levelling for one in each),
            max((one.last for one in each if one.last is not None), key=_rank, default=None),
            min((one.next for one in each if one.next is not None), key=_rank, default=None),
        )


class HouseMandates(NamedTuple):
    """A party's seats in the house, levelling seats included, and the last of its levelling seats."""

    seats: int = 0
    levelling: int | None = 0
    """None until levelling seats are given."""
    last: Quotient | None = None

    def document(self) -> dict[str, Any]:
        """Return them as members."""
        return {
            "antall": self.seats,
            "endring": None,
            "utjevningAntall": self.levelling,
            "utjevning": _quotient(self.last),
        }

    @classmethod
    def together(cls, each: Sequence["HouseMandates"]) -> "HouseMandates":
        """Return the row of several parties."""
        return cls(
            sum(one.seats for one in each),
            _sum(one.levelling for one in each),
            max((one.last for one in each if one.last is not None), key=_rank, default=None),
        )


RowSeats = Callable[[Sequence[str]], dict[str, Any]]
"""Returns the seats of a row, from the parties in it."""


def district_rows(mandates: Mapping[str, DistrictMandates] | None) -> RowSeats:
    """Return the seats of the rows of a district; with None, every member is null."""
    if mandates is None:
        return lambda _: dict.fromkeys(DistrictMandates().document())
    return lambda parties: DistrictMandates.together(_known(mandates, parties)).document()


def house_rows(mandates: Mapping[str, HouseMandates] | None) -> RowSeats:
    """Return the seats of the rows of the house; with None, every member is null."""
    if mandates is None:
        return lambda _: dict.fromkeys(HouseMandates().document())
    return lambda parties: HouseMandates.together(_known(mandates, parties)).document()


def _known(mandates: Mapping[str, T], parties: Sequence[str]) -> list[T]:
    return [mandates[party] for party in parties if party in mandates]


def _sum(numbers: Iterable[int | None]) -> int | None:
    """Return the sum of numbers; None if one of them is."""
    total = 0
    for number in numbers:
        if number is None:
            return None
        total += number
    return total


def _rank(quotient: Quotient) -> int:
    return quotient.rank


def _quotient(quotient: Quotient | None) -> dict[str, Any]:
    return {**_NO_QUOTIENT} if quotient is None else quotient.document()
