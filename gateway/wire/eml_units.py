"""The counts of one unit in an EML document, collected element by element, as a report.

What is wrong with them is kept with the report, and with the places of its figures in the document: a report of EML is
checked like any other, and its violations then name line, column and element too.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from gateway.election.outcome import Refusal
from gateway.election.registry import COUNT_MAX, Registry
from gateway.election.validation import DETAILS_OMITTED, ExplanationBudget, ValidReport
from gateway.election.violations import VIOLATIONS_MAX, Violation, abbreviated, member_path
from gateway.trimmed_json import dumps_trimmed

BLANK = frozenset(("blank", "blanco"))
"""Values of `ReasonCode` of ballots that are blank; all others are of rejected ballots."""
MISMATCH = "rehearsal_mismatch"
FIGURES_MAX = 10_000
"""Figures of a unit that are read: no report of REPORT_MAX bytes has more."""
_SUM_MAX = 1 << 62
"""The largest sum that is encoded; each figure is far below it, and what is above COUNT_MAX is refused."""


class Place(NamedTuple):
    """Where an element begins, from line 1 and column 1."""

    line: int
    column: int
    element: str

    def __str__(self) -> str:
        """Return it as the beginning of a message."""
        return f"line {self.line}, column {self.column}: {self.element}"


class EmlReport(msgspec.Struct, frozen=True, gc=False):
    """A report from EML, as JSON, and what is wrong with it that its bytes do not show.

    `places` has the place of each figure, by category and party, or by category and the name of another count.
    """

    body: bytes
    unit: str
    revision: int
    place: Place
    issued: Place
    places: Mapping[tuple[str, str, bool], Place]
    problems: tuple[Violation, ...] = ()

    def judged(self, checked: ValidReport | Refusal, budget: ExplanationBudget) -> ValidReport | Refusal:
        """Return the result of the check of `body`, with the problems, and with places in the document."""
        line = self.place.line
        mismatch = bool(self.problems) and self.problems[0].code == MISMATCH
        if isinstance(checked, ValidReport):
            if not self.problems:
                return checked
            code = MISMATCH if mismatch else "invalid_report"
            unit, revision = checked.report.unit, checked.report.revision
            return Refusal(code, unit, revision, violations=self._explained((), budget), line=line)
        if checked.code != "invalid_report":
            return msgspec.structs.replace(checked, line=line)
        code = MISMATCH if mismatch else checked.code
        violations = self._explained(checked.violations, budget)
        return msgspec.structs.replace(checked, code=code, violations=violations, line=line)

    def _explained(self, found: tuple[Violation, ...], budget: ExplanationBudget) -> tuple[Violation, ...]:
        """Return the problems and the violations found by the check, with their places, as far as the budget allows."""
        if found == DETAILS_OMITTED or (self.problems and budget.spent):
            return DETAILS_OMITTED
        budget.spend(0, self.problems)
        known, places = {each.path for each in self.problems}, self._paths()
        explained = (
            *self.problems,
            *(
                Violation(each.code, each.path, f"{each.detail} ({places.get(each.path, self.place)})")
                for each in found
                if each.path not in known
            ),
        )
        return explained[:VIOLATIONS_MAX]

    def _paths(self) -> dict[str, Place]:
        found = {"$.revision": self.issued, "$.counted_at": self.issued}
        for (category, name, is_party), place in self.places.items():
            path = member_path("$.counts", category)
            found.setdefault(path, place)
            found[member_path(f"{path}.votes" if is_party else path, name)] = place
        return found


class Unit:
    """The counts of a unit of which some elements have been read."""

    def __init__(self, registry: Registry, place: Place, problems_max: int) -> None:
        """Keep up to `problems_max` problems, but at least the first."""
        self.place = place
        self._problems_max = max(1, min(problems_max, VIOLATIONS_MAX))
        self._rehearsal = registry.rehearsal
        self.identified = ""
        self._categories = registry.categories
        self._counts: dict[str, dict[str, Any]] = {}
        self._places: dict[tuple[str, str, bool], Place] = {}
        self._problems: list[Violation] = []
        self._total: tuple[int, Place] | None = None
        self._units_counted: list[int] = []
        self._figures_left = FIGURES_MAX
        self._selection = place
        self._category: str | None = None
        self._party: str | None = None
        self._votes: tuple[int | str, Place] | None = None
        self._candidate = False

    def identify(self, unit: str, place: Place) -> None:
        """Take the unit's identifier."""
        if self.identified:
            self._add("repeated_member", "$.unit", "the unit has several identifiers", place)
        self.identified = unit

    def begin_selection(self, place: Place, category: str | None) -> None:
        """Begin the votes of a party or a candidate."""
        self._selection, self._category = place, category
        self._party = self._votes = None
        self._candidate = False

    def affiliation(self, party: str, place: Place) -> None:
        """Take the party of a selection."""
        if self._party is not None:
            self._add("repeated_member", "$.counts", "a Selection has several parties", place)
        self._party = party

    def is_of_candidate(self) -> None:
        """Note that a selection has the votes of a candidate."""
        self._candidate = True

    def end_selection(self) -> None:
        """Add the votes of a selection to the counts, unless they are a candidate's."""
        if self._candidate or not self._has_room(self._selection):
            return
        if not self._party:
            self._add(
                "missing_member",
                "$.counts",
                "AffiliationIdentifier is missing, or has no Id",
                self._selection,
            )
            return
        category = self._category_of(self._category, self._selection, "Category")
        path = member_path(member_path("$.counts", category) + ".votes", self._party)
        if self._votes is None:
            self._add("missing_member", path, "ValidVotes is missing", self._selection)
            return
        votes, place = self._votes
        counts = self._of(category)["votes"]
        if self._party in counts:
            self._add(
                "repeated_member", path, "the party has several Selections of this category", self._selection
            )
        counts[self._party] = votes
        self._places[category, self._party, True] = place

    def count(self, element: str, value: int | str, attributes: Mapping[str, str], place: Place) -> None:
        """Take a figure, which is a text if it is no count."""
        if element == "ValidVotes":
            if self._votes is not None:
                self._add("repeated_member", "$.counts", "ValidVotes is repeated", place)
            self._votes = value, place
        elif not self._has_room(place):
            return
        elif element == "RejectedVotes":
            name = "blank" if attributes.get("ReasonCode", "").strip().lower() in BLANK else "rejected"
            category = self._category_of(attributes.get("VoteType"), place, "VoteType")
            self._take(category, name, value, place, add=True)
        elif element == "TotalCounted":
            if self._total is not None:
                self._add("repeated_member", "$.counts", "TotalCounted is repeated", place)
            if isinstance(value, int):
                self._total = value, place
            else:
                self._add("not_a_count", "$.counts", f"expected an integer, not {abbreviated(value)}", place)
        elif attributes.get("Type") == "voters":
            self._take(
                self._category_of(attributes.get("Id"), place, "Id"), "voters", value, place, add=False
            )
        elif attributes.get("Type") == "units_counted" and isinstance(value, int):
            self._units_counted.append(value)

    def _has_room(self, place: Place) -> bool:
        """Count a figure; return whether it may be collected."""
        if not self._figures_left:
            self._add("report_too_large", "$", f"a unit has more than {FIGURES_MAX} figures", place)
        self._figures_left -= 1
        return self._figures_left >= 0

    def report(
        self, counted_at: str, revision: int, issued: Place, status: str, mismatch: Place | None
    ) -> EmlReport | None:
        """Return the counts as a report; None if the document says that the unit has none.

        `mismatch` is the place of `Simulation` if the election is not what it says.
        """
        if self._units_counted and not any(self._units_counted) and not any(self._figures()):
            return None
        self._check_total()
        for counts in self._counts.values():
            figures = [counts["blank"], *counts["votes"].values()]
            counts["ballots"] = min(sum(each for each in figures if isinstance(each, int)), _SUM_MAX)
        if mismatch is not None:
            detail = f"the election is {'a' if self._rehearsal else 'no'} rehearsal"
            self._problems.insert(0, Violation(MISMATCH, "$", f"{detail} ({mismatch})"))
        document = {
            "unit": self.identified,
            "revision": revision,
            "counted_at": counted_at,
            "status": status,
            "counts": self._counts,
        }
        problems = tuple(self._problems[: self._problems_max])
        return EmlReport(
            dumps_trimmed(document), self.identified, revision, self.place, issued, self._places, problems
        )

    def _figures(self) -> Iterator[int | str]:
        for counts in self._counts.values():
            yield from counts["votes"].values()
            yield from (value for name, value in counts.items() if name != "votes")

    def _check_total(self) -> None:
        if self._total is None:
            return
        total, place = self._total
        votes = sum(
            each
            for counts in self._counts.values()
            for each in counts["votes"].values()
            if isinstance(each, int)
        )
        if votes != total:
            detail = f"TotalCounted is {total}, but the votes of the parties add up to {votes}"
            self._add("sum_mismatch", "$.counts", detail, place)

    def _category_of(self, given: str | None, place: Place, attribute: str) -> str:
        category = (given or "").strip()
        if category:
            return category
        if len(self._categories) > 1:
            detail = f"{attribute} must name the category: the election has several"
            self._add("missing_member", "$.counts", detail, place)
        return self._categories[0]

    def _of(self, category: str) -> dict[str, Any]:
        return self._counts.setdefault(category, {"ballots": 0, "blank": 0, "rejected": 0, "votes": {}})

    def _take(self, category: str, name: str, value: int | str, place: Place, *, add: bool) -> None:
        counts = self._of(category)
        before = counts.get(name, 0)
        if add and isinstance(value, int) and isinstance(before, int):
            counts[name] = min(before + value, COUNT_MAX + 1)
        else:
            if not add and name in counts:
                path = member_path(member_path("$.counts", category), name)
                self._add("repeated_member", path, f"{name} is repeated", place)
            counts[name] = value if isinstance(before, int) else before
        self._places[category, name, False] = place

    def _add(self, code: str, path: str, detail: str, place: Place) -> None:
        if len(self._problems) < self._problems_max:
            self._problems.append(Violation(code, path, f"{detail} ({place})"))
