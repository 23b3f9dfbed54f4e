"""Evidence: why a rule fired, as integers and identifiers, from which people read a sentence."""

from collections.abc import Callable
from typing import Any, ClassVar

import msgspec


class Evidence(msgspec.Struct, frozen=True, kw_only=True, tag_field="code"):
    """Why a rule fired. `code` is the code of the rule."""

    OTHERS: ClassVar[frozenset[str]] = frozenset()
    """Members that contain figures of other areas than the reported unit, or say where these are."""

    @property
    def areas(self) -> tuple[str, ...]:
        """The areas other than the reported unit whose figures this evidence contains (their identifiers)."""
        return ()

    def document(self, reaches: Callable[[str], bool] = lambda _: True) -> dict[str, Any]:
        """Return the evidence as JSON, as far as someone may see it: `reaches` says whose figures (identifiers).

        Members with figures of other areas are left out together, unless all these areas are reached.
        """
        document: dict[str, Any] = msgspec.to_builtins(self)
        if not all(map(reaches, self.areas)):
            document = {name: value for name, value in document.items() if name not in self.OTHERS}
        return document


class _Duplicate(Evidence, frozen=True, kw_only=True):
    """A growth repeats another one."""

    OTHERS = frozenset({"other", "other_category", "other_ballots", "difference"})

    category: str
    ballots: int
    """Ballots of the growth."""
    whole: bool = False
    """Whether these are all ballots of the category in the report, most of them other ones than before."""
    other: str
    """The unit that has the same: that of the report itself if it is counted twice."""
    other_category: str
    other_ballots: int
    difference: int
    """By how many votes the two differ, summed over the parties."""

    @property
    def areas(self) -> tuple[str, ...]:
        """The other unit."""
        return (self.other,)


class DuplicateElsewhere(_Duplicate, frozen=True, kw_only=True, tag="duplicate_elsewhere"):
    """A growth repeats one in another municipality."""


class DuplicateWithin(_Duplicate, frozen=True, kw_only=True, tag="duplicate_within"):
    """A growth repeats one in the same municipality, or in the unit itself."""


class AboveEligible(Evidence, frozen=True, kw_only=True, tag="above_eligible"):
    """The ballots come to exceed the eligible voters."""

    OTHERS = frozenset({"before", "after"})

    area: str
    """The municipality, or the unit itself."""
    eligible: int
    before: int
    """Ballots of the area."""
    after: int
    of_unit: bool = False

    @property
    def areas(self) -> tuple[str, ...]:
        """The municipality."""
        return () if self.of_unit else (self.area,)


class Fell(Evidence, frozen=True, kw_only=True, tag="fell"):
    """The ballots of the unit fall."""

    OTHERS = frozenset({"municipality", "municipality_ballots"})

    before: int
    after: int
    municipality: str
    municipality_ballots: int
    """The ballots of the municipality before the report."""

    @property
    def areas(self) -> tuple[str, ...]:
        """The municipality."""
        return (self.municipality,)


class PartyExcess(Evidence, frozen=True, kw_only=True, tag="party_excess"):
    """A party has far more votes than expected."""

    OTHERS = frozenset({"expected", "reference"})

    category: str
    party: str
    before: int
    after: int
    expected: int
    """Votes, rounded down."""
    reference: str
    """The area whose other units the expected votes come from."""

    @property
    def areas(self) -> tuple[str, ...]:
        """The area of reference."""
        return (self.reference,)


class Exchanged(Evidence, frozen=True, kw_only=True, tag="exchanged"):
    """Two parties appear to have each other's votes."""

    OTHERS = frozenset({"more_expected", "fewer_expected", "reference"})

    category: str
    more: str
    """The party with far more votes than expected."""
    more_votes: int
    more_expected: int
    fewer: str
    fewer_votes: int
    fewer_expected: int
    reference: str
    """The area whose other units the expected votes come from."""

    @property
    def areas(self) -> tuple[str, ...]:
        """The area of reference."""
        return (self.reference,)


class OddTime(Evidence, frozen=True, kw_only=True, tag="odd_time"):
    """`counted_at` is long before the election."""

    counted_at: str
    date: str
    """The date of the election."""
    days: int
    """How many days before it."""


class ExchangedBefore(Evidence, frozen=True, kw_only=True, tag="exchanged_before"):
    """Two parties are exchanged compared with the current report."""

    category: str
    one: str
    one_before: int
    one_after: int
    other: str
    other_before: int
    other_after: int


class PartyFell(Evidence, frozen=True, kw_only=True, tag="party_fell"):
    """A party loses many votes."""

    OTHERS = frozenset({"municipality", "municipality_votes"})

    party: str
    before: int
    """The party's votes in the unit, in all categories."""
    after: int
    municipality: str
    municipality_votes: int
    """The party's votes in the municipality before the report."""

    @property
    def areas(self) -> tuple[str, ...]:
        """The municipality."""
        return (self.municipality,)


class GrewLate(Evidence, frozen=True, kw_only=True, tag="grew_late"):
    """A finished unit grows."""

    status: str
    """The status of the current report."""
    before: int
    after: int


AnyEvidence = (
    DuplicateElsewhere
    | DuplicateWithin
    | AboveEligible
    | Fell
    | PartyExcess
    | Exchanged
    | OddTime
    | ExchangedBefore
    | PartyFell
    | GrewLate
)


def read_evidence(document: object) -> Evidence:
    """Return evidence from its complete JSON (`Evidence.document`). Raises msgspec.ValidationError."""
    evidence: Evidence = msgspec.convert(document, AnyEvidence)
    return evidence
