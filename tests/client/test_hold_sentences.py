"""Why a report is held, as sentences: one for each rule, with and without figures of other areas."""

import pytest

from gateway.client.hold_sentences import sentence
from gateway.election.rules import evidence as found
from gateway.election.rules.policy import RULES
from gateway.wire.holds import AreaNames, FiredRule

UNIT = "3236-0001"
AREAS = {
    UNIT: AreaNames("Sentrum", municipality="3236"),
    "3236": AreaNames("Jevnaker"),
    "3203-0007": AreaNames("Nordre", municipality="3203"),
    "3203": AreaNames("Asker"),
    "32": AreaNames("Akershus"),
    "3236-0002": AreaNames("3236-0002", municipality="3236"),
}
HERE = "3236 Jevnaker, 3236-0001 Sentrum: "


def duplicate(
    kind: type[found.DuplicateElsewhere | found.DuplicateWithin], **members: object
) -> found.Evidence:
    usual = {
        "category": "advance",
        "ballots": 4761,
        "other": "3203-0007",
        "other_category": "advance",
        "other_ballots": 4761,
        "difference": 0,
    }
    return kind(**usual | members)  # type: ignore[arg-type]


CASES: list[tuple[found.Evidence, str, str]] = [
    (
        duplicate(found.DuplicateElsewhere),
        "these 4 761 advance ballots equal those of 3203 Asker, 3203-0007 Nordre, party by party",
        "these 4 761 advance ballots equal those of another area, which this token does not cover",
    ),
    (
        duplicate(found.DuplicateElsewhere, other_category="election_day", difference=12),
        (
            "these 4 761 advance ballots nearly equal the election-day ballots of 3203 Asker, 3203-0007 Nordre"
            " (12 votes of difference in all)"
        ),
        "these 4 761 advance ballots equal those of another area, which this token does not cover",
    ),
    (
        duplicate(found.DuplicateWithin, other="3236-0002"),
        "these 4 761 advance ballots equal those of 3236 Jevnaker, 3236-0002, party by party",
        "these 4 761 advance ballots equal those of another area, which this token does not cover",
    ),
    (
        duplicate(found.DuplicateWithin, other=UNIT),
        "these 4 761 advance ballots equal those that it had reported before: counted twice?",
        "these 4 761 advance ballots equal those of another area, which this token does not cover",
    ),
    (
        duplicate(found.DuplicateWithin, other=UNIT, other_category="election_day"),
        "these 4 761 advance ballots equal its own election-day ballots, party by party",
        "these 4 761 advance ballots equal those of another area, which this token does not cover",
    ),
    (
        found.AboveEligible(area="3236", eligible=5412, before=1359, after=6120),
        "with this report, 3236 Jevnaker has 6 120 ballots (before: 1 359) but only 5 412 eligible voters",
        "with this report, 3236 Jevnaker has more ballots than its 5 412 eligible voters allow",
    ),
    (
        found.Fell(before=1200, after=700, municipality="3236", municipality_ballots=3000),
        "the ballots fall from 1 200 to 700 (−500) without a reason; 3236 Jevnaker had 3 000 ballots in all",
        "the ballots fall from 1 200 to 700 (−500) without a reason",
    ),
    (
        found.PartyExcess(
            category="advance", party="FRP", before=0, after=812, expected=60, reference="32"
        ),
        "FRP has 812 advance votes; the other units of 32 Akershus suggest about 60",
        "FRP has 812 advance votes, far more than expected",
    ),
    (
        found.Exchanged(
            category="election_day",
            more="H",
            more_votes=790,
            more_expected=50,
            fewer="A",
            fewer_votes=45,
            fewer_expected=800,
            reference="32",
        ),
        (
            "H and A seem to have each other's election-day votes: H 790 (about 50 expected), A 45 (about 800"
            " expected), by the other units of 32 Akershus"
        ),
        "H and A seem to have each other's election-day votes: H 790, A 45",
    ),
    (
        found.OddTime(counted_at="2025-08-01T12:00:00+02:00", date="2025-09-08", days=38),
        "counted at 2025-08-01T12:00:00+02:00, 38 days before the election (2025-09-08)",
        "counted at 2025-08-01T12:00:00+02:00, 38 days before the election (2025-09-08)",
    ),
    (
        found.ExchangedBefore(
            category="advance", one="A", one_before=100, one_after=50, other="H", other_before=50, other_after=100
        ),
        "compared with the current report, two parties have each other's advance votes: A 100 → 50, H 50 → 100",
        "compared with the current report, two parties have each other's advance votes: A 100 → 50, H 50 → 100",
    ),
    (
        found.PartyFell(party="A", before=300, after=150, municipality="3236", municipality_votes=1000),
        "the votes of A fall from 300 to 150 (−150); in 3236 Jevnaker it had 1 000 votes in all",
        "the votes of A fall from 300 to 150 (−150)",
    ),
    (
        found.GrewLate(status="final", before=1000, after=1400),
        "the current report is final, and the ballots rise from 1 000 to 1 400 (+400)",
        "the current report is final, and the ballots rise from 1 000 to 1 400 (+400)",
    ),
]  # fmt: skip


def fired(evidence: found.Evidence, *, reaches: bool) -> FiredRule:
    document = evidence.document(lambda _: reaches)
    return FiredRule(document.pop("code"), "hold", document)


@pytest.mark.parametrize(("evidence", "whole", "outside"), CASES, ids=lambda value: type(value).__name__)
def test_each_rule_is_explained_in_a_sentence(evidence: found.Evidence, whole: str, outside: str) -> None:
    """With all of its evidence, and with that of the token's own areas alone."""
    assert sentence(fired(evidence, reaches=True), UNIT, AREAS) == HERE + whole
    assert sentence(fired(evidence, reaches=False), UNIT, AREAS) == HERE + outside


def test_no_rule_lacks_a_sentence() -> None:
    assert {str(evidence.document()["code"]) for evidence, _, _ in CASES} == set(RULES)


def test_evidence_of_another_version_is_shown_as_it_is() -> None:
    """An unknown rule, and a known one whose members have changed."""
    areas = {"a": AreaNames("Øvre")}
    assert sentence(FiredRule("too_round", "hold", {"zeros": 4}), "a", areas) == "a Øvre: too round (zeros 4)"
    assert sentence(FiredRule("fell", "hold", {"from": "7"}), "b", areas) == "b: fell (from 7)"
    assert sentence(FiredRule("fell", "hold", {}), "b", {}) == "b: fell"
    odd = FiredRule("grew_late", "hold", {"status": "final", "before": "1", "after": 2})
    assert sentence(odd, "b", {}) == "b: grew late (status final, before 1, after 2)"
