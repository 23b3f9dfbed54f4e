"""Reads the members of a registry about seats: `election.apportionment`, `seats` of districts, `election.blocs`.

All mistakes are reported, each with its JSON path. Works on the document, so that mistakes elsewhere in it do not hide
those here.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Sequence
from typing import NamedTuple, TypeGuard

from gateway.characters import printable
from gateway.election.apportionment.methods import Divisors, LargestRemainder
from gateway.election.apportionment.rules import Apportionment, Bloc, District
from gateway.election.apportionment.threshold import Threshold
from gateway.election.names import NAME_MAX, find_problems, read_names

SEATS_MAX = 10_000
"""Seats of a district, and of all districts together."""
SHARES_MAX = 5_000
"""Districts times parties if seats depend on the votes of the country: the house is then computed in at most
some 50 ms, with thousands of levelling seats."""
ROWS_MAX = 200_000
"""Districts times parties in any case: the rows of the table of seats."""
REMAINDERS_MAX = 200
"""Parties if a threshold applies to seats by the largest remainder: the search for `lacks` and `spare` then takes time
that grows with their square, at most some 20 ms."""
DIVISORS_MAX = 100
DIVISOR_MAX = 1_000_000
BLOCS_MAX = 100
_SHOWN_MAX = 64
"""Characters of a name that are repeated in a message."""
_PERCENT = re.compile(r"\d{1,2}(\.\d{1,3})?", re.ASCII)
_MEMBERS = ("method", "divisors", "districts", "threshold", "levelling")

Problem = tuple[str, str]
"""Where something is wrong, and what."""


class AreaEntry(NamedTuple):
    """An area of the document, as far as its tree is known; parents precede their children."""

    path: str
    """Its JSON path."""
    id: str
    level: object
    parent: object
    is_unit: bool
    seats: object


def read_apportionment(document: object, areas: Sequence[AreaEntry]) -> Apportionment | None:
    """Return the rules of an `election.apportionment`, None if there is none, or one with mistakes.

    The areas are those of the registry, in its order.
    """
    if not isinstance(document, dict) or any(find_apportionment_problems(document, areas)):
        return None
    districts = [
        District(index, area.seats)
        for index, area in enumerate(areas)
        if area.level == document["districts"] and isinstance(area.seats, int)
    ]
    divisors = document.get("divisors")
    threshold, levelling = document.get("threshold"), document.get("levelling")
    return Apportionment(
        Divisors(tuple(divisors or ())) if document["method"] == "divisors" else LargestRemainder(),
        document["districts"],
        tuple(districts),
        Threshold(_parts(threshold["percent"]) or 1, threshold["of"]) if threshold else None,
        levelling["per_district"] if levelling else None,
    )


def read_blocs(document: object, codes: Sequence[str]) -> tuple[Bloc, ...]:
    """Return the blocs of an `election.blocs`; none if there are none, or some with mistakes."""
    if not isinstance(document, list) or any(find_bloc_problems(document, codes)):
        return ()
    places = {code: place for place, code in enumerate(codes)}
    return tuple(
        Bloc(each["name"], read_names(each.get("names")), tuple(places[code] for code in each["parties"]))
        for each in document
    )


def find_apportionment_problems(
    document: object, areas: Sequence[AreaEntry], parties: int = 0
) -> Iterator[Problem]:
    """Yield what is wrong with an `election.apportionment` and with the districts that it needs.

    With the number of `parties`, also whether computing the seats would take too long.
    """
    path = "$.election.apportionment"
    for place, detail in _rule_problems(document):
        yield path + place, detail
    if isinstance(document, dict) and isinstance(level := document.get("districts"), str):
        if not any(area.level == level for area in areas):
            yield f"{path}.districts", f"no area has the level {_shown(level)!r}"
        else:
            levelling = document.get("levelling")
            per_district = levelling.get("per_district") if isinstance(levelling, dict) else 0
            yield from _district_problems(level, per_district if _is_number(per_district) else 0, areas)
            yield from _size_problems(document, sum(area.level == level for area in areas), parties)


def _district_problems(level: str, per_district: int, areas: Sequence[AreaEntry]) -> Iterator[Problem]:
    """Yield problems of the districts, of which each unit has to be in one."""
    seats, inside = 0, set[object]()
    for area in areas:
        if area.level == level:
            if type(area.seats) is not int or not per_district < area.seats <= SEATS_MAX:
                yield f"{area.path}.seats", f"expected an integer from {per_district + 1} to {SEATS_MAX}"
            else:
                seats += area.seats
            if area.parent in inside:
                yield f"{area.path}.parent", "a district cannot be inside another one"
        if area.level == level or area.parent in inside:
            inside.add(area.id)
        elif area.is_unit:
            yield area.path, f"the unit {_shown(area.id)} is in no area of the level {_shown(level)}"
    if seats > SEATS_MAX:
        yield "$.areas", f"the districts have {seats} seats, more than {SEATS_MAX}"


def _size_problems(document: dict[str, object], districts: int, parties: int) -> Iterator[Problem]:
    threshold = document.get("threshold")
    by_country = isinstance(threshold, dict) and threshold.get("of") == "country"
    most = SHARES_MAX if districts > 1 and ("levelling" in document or by_country) else ROWS_MAX
    if districts * parties > most:
        sizes = f"{districts} districts and {parties} parties"
        yield (
            "$.areas",
            f"{sizes} are too many for this apportionment: districts times parties exceeds {most}",
        )
    searched = threshold is not None and "levelling" not in document
    if searched and document.get("method") == "largest_remainder" and parties > REMAINDERS_MAX:
        yield "$.parties", f"more than {REMAINDERS_MAX} with a threshold and the method largest_remainder"


def _rule_problems(document: object) -> Iterator[Problem]:
    if not isinstance(document, dict):
        yield "", "expected an object"
        return
    for member in document:
        if member not in _MEMBERS:
            yield f".{_shown(member)}", "no such member"
    method = document.get("method")
    if method == "divisors":
        yield from _divisor_problems(document.get("divisors"))
    elif method != "largest_remainder":
        yield ".method", "expected 'divisors' or 'largest_remainder'"
    elif "divisors" in document:
        yield ".divisors", "the method largest_remainder has no divisors"
    if not isinstance(document.get("districts"), str):
        yield ".districts", "expected the level of the districts"
    yield from _threshold_problems(document.get("threshold"), levelling="levelling" in document)
    if "levelling" in document:
        yield from _levelling_problems(document["levelling"])


def _divisor_problems(divisors: object) -> Iterator[Problem]:
    if not isinstance(divisors, list) or not 2 <= len(divisors) <= DIVISORS_MAX:
        yield ".divisors", f"expected an array of 2 to {DIVISORS_MAX} integers"
        return
    before = 0
    for number, divisor in enumerate(divisors):
        if type(divisor) is not int or not before < divisor <= DIVISOR_MAX:
            yield f".divisors[{number}]", f"expected an integer from {before + 1} to {DIVISOR_MAX}"
        else:
            before = divisor


def _threshold_problems(threshold: object, *, levelling: bool) -> Iterator[Problem]:
    if threshold is None:
        return
    if not isinstance(threshold, dict):
        yield ".threshold", "expected an object"
        return
    for member in threshold:
        if member not in ("percent", "of"):
            yield f".threshold.{_shown(member)}", "no such member"
    if _parts(threshold.get("percent")) is None:
        detail = "expected a percentage above 0 and below 100 with at most 3 decimals"
        yield ".threshold.percent", detail
    of = threshold.get("of")
    if of not in ("country", "district"):
        yield ".threshold.of", "expected 'country' or 'district'"
    elif levelling and of == "district":
        yield ".threshold.of", "expected 'country': the threshold applies to levelling seats"


def _levelling_problems(levelling: object) -> Iterator[Problem]:
    if not isinstance(levelling, dict):
        yield ".levelling", "expected an object"
        return
    for member in levelling:
        if member != "per_district":
            yield f".levelling.{_shown(member)}", "no such member"
    if not _is_number(levelling.get("per_district")):
        yield ".levelling.per_district", f"expected an integer from 1 to {SEATS_MAX}"


def find_bloc_problems(document: object, codes: Container[str]) -> Iterator[Problem]:
    """Yield what is wrong with an `election.blocs`."""
    for place, detail in _bloc_problems(document, codes):
        yield f"$.election.blocs{place}", detail


def _bloc_problems(document: object, codes: Container[str]) -> Iterator[Problem]:
    if not isinstance(document, list) or len(document) > BLOCS_MAX:
        yield "", f"expected an array of at most {BLOCS_MAX} blocs"
        return
    used: dict[str, int] = {}
    for number, bloc in enumerate(document):
        if not isinstance(bloc, dict):
            yield f"[{number}]", "expected an object"
            continue
        name, parties = bloc.get("name"), bloc.get("parties")
        if not isinstance(name, str) or not 0 < len(name) <= NAME_MAX:
            yield f"[{number}].name", f"expected 1 to {NAME_MAX} characters"
        if "names" in bloc:
            yield from ((f"[{number}]{path}", detail) for path, detail in find_problems(bloc["names"]))
        if not isinstance(parties, list) or not parties:
            yield f"[{number}].parties", "expected a non-empty array of party codes"
            continue
        for place, code in enumerate(parties):
            path = f"[{number}].parties[{place}]"
            if not isinstance(code, str):
                yield path, "expected a party code"
            elif code not in codes:
                yield path, f"{_shown(code)!r} is not a party"
            elif code in used:
                yield path, f"{_shown(code)} is in $.election.blocs[{used[code]}] already"
            else:
                used[code] = number


def _parts(percent: object) -> int | None:
    """Return a percentage (a number or its text) as thousandths, None if it is none between 0 and 100."""
    if isinstance(percent, bool) or not isinstance(percent, int | float | str):
        return None
    if isinstance(percent, int) and not 0 < percent < 100:
        return None  # also numbers with too many digits to be written as text
    text = str(percent)
    if len(text) > 8 or not _PERCENT.fullmatch(text):
        return None
    whole, _, decimals = text.partition(".")
    return int(whole) * 1_000 + int(decimals.ljust(3, "0")) or None


def _is_number(value: object) -> TypeGuard[int]:
    return type(value) is int and 1 <= value <= SEATS_MAX


def _shown(name: str) -> str:
    return printable(name[:_SHOWN_MAX])
