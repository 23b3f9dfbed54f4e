"""Each rule, where it fires and where it does not yet."""

from itertools import accumulate, chain
from typing import Any

import msgspec
import pytest

from gateway.election.registry_reading import read_registry
from gateway.election.report import Counts
from gateway.election.rules import evaluation
from gateway.election.rules.current import GROWTHS_MAX
from gateway.election.rules.evidence import read_evidence
from gateway.election.rules.policy import RULES, recommended
from tests.election.rules.small import DOCUMENT, SmallElection, counts, report

MANY = (400, 300, 200, 100, 50)


@pytest.fixture
def small() -> SmallElection:
    return SmallElection()


def test_the_same_count_in_another_municipality_is_a_duplicate(small: SmallElection) -> None:
    """Added to what the unit had, as its only figures, or in place of its own figures."""
    small.place(report("n1-1", advance=MANY))
    small.place(report("n2-1", advance=(10, 0, 20, 5, 7)), report("n2-2", advance=(5, 90, 30, 5, 300)))
    expected = {
        "category": "advance",
        "ballots": 1050,
        "whole": False,
        "other": "n1-1",
        "other_category": "advance",
        "other_ballots": 1050,
        "difference": 0,
    }
    code = "duplicate_elsewhere"
    assert small.evidence(report("n2-1", 2, advance=(410, 300, 220, 105, 57)), code) == expected
    assert small.evidence(report("n2-3", advance=MANY), code) == expected
    replaced = report("n2-2", 2, advance=MANY)
    assert small.evidence(replaced, code) == {**expected, "whole": True}
    other_category = report("n2-3", election_day=MANY)
    assert small.evidence(other_category, code) == {**expected, "category": "election_day"}


def test_figures_that_came_in_parts_are_recognized_as_a_whole(small: SmallElection) -> None:
    small.place(report("n1-1", advance=(200, 100, 50, 20, 5)), report("n1-1", 2, advance=MANY))
    assert small.codes(report("n2-1", advance=MANY)) == ("duplicate_elsewhere",)
    assert small.codes(report("n1-2", advance=MANY)) == ("duplicate_within",)


def test_a_duplicate_may_differ_by_two_percent_and_has_200_ballots(small: SmallElection) -> None:
    small.place(report("n1-1", advance=MANY), report("n1-2", advance=(80, 60, 40, 10, 9)))
    assert small.codes(report("n2-1", advance=(420, 300, 200, 100, 50))) == ("duplicate_elsewhere",)
    assert small.codes(report("n2-1", advance=(411, 311, 200, 100, 50))) == ()
    assert small.codes(report("n2-1", advance=(80, 60, 40, 10, 9))) == ()
    assert small.codes(report("n2-1", advance=(80, 60, 40, 10, 10))) == ("duplicate_elsewhere",)


def test_a_count_is_a_duplicate_within_the_municipality_while_it_is_part_of_both(
    small: SmallElection,
) -> None:
    """Once the first unit has withdrawn it, the count has only moved."""
    small.place(report("n1-1", advance=MANY))
    again = report("n1-2", advance=MANY)
    assert small.evidence(again, "duplicate_within")["other"] == "n1-1"
    small.place(report("n1-1", 2, advance=(30, 20, 10, 0, 0)))
    assert small.codes(again) == ()


def test_figures_that_are_counted_twice_in_one_unit_are_a_duplicate(small: SmallElection) -> None:
    """Doubled in a later revision, or the ballots of another category again."""
    small.place(report("n1-1", advance=(200, 100, 50, 20, 5)), report("n1-1", 2, advance=MANY))
    doubled = small.evidence(report("n1-1", 3, advance=(800, 600, 400, 200, 100)), "duplicate_within")
    assert (doubled["other"], doubled["other_category"], doubled["difference"]) == ("n1-1", "advance", 0)
    again = small.evidence(report("n1-1", 3, advance=MANY, election_day=MANY), "duplicate_within")
    assert (again["category"], again["other_category"]) == ("election_day", "advance")
    assert small.codes(report("s1-1", advance=MANY[::-1], election_day=MANY[::-1])) == ("duplicate_within",)
    assert small.codes(report("n1-1", 3, election_day=MANY)) == ()  # booked in the other category instead


def test_figures_that_return_are_no_duplicate(small: SmallElection) -> None:
    small.place(report("n1-1", advance=MANY), report("n1-1", 2, advance=(0, 0, 0)))
    assert small.codes(report("n1-1", 3, advance=MANY)) == ()


def test_only_the_last_growths_of_a_unit_are_compared(small: SmallElection) -> None:
    """However often its figures change, so that its memory is bounded."""
    for number in range(1, 5 * GROWTHS_MAX):
        small.place(report("n1-1", 2 * number, advance=(100 * number, 0, 0, 0, number)))
        small.place(report("n1-1", 2 * number + 1, advance=(0,)))
    assert len(small.current.growths) == GROWTHS_MAX
    assert small.codes(report("n2-1", advance=(300, 0, 0, 0, 3))) == ()
    last = 5 * GROWTHS_MAX - 1
    assert "duplicate_elsewhere" in small.codes(report("n2-1", advance=(100 * last, 0, 0, 0, last)))


def test_ballots_rise_above_the_eligible_voters_once(small: SmallElection) -> None:
    """The report with which a municipality exceeds them; not those that follow, and none that lowers it."""
    small.place(report("n1-1", advance=(9_000, 11_000)))
    assert small.codes(report("n1-2", advance=(0,), election_day=counts(blank=0))) == ()
    over = report("n1-2", advance=(1,))
    assert small.evidence(over, "above_eligible") == {
        "area": "n1",
        "eligible": 20_000,
        "before": 20_000,
        "after": 20_001,
        "of_unit": False,
    }
    small.place(over)
    assert small.codes(report("n1-2", 2, advance=(2,))) == ()
    assert small.codes(report("n1-2", 2, advance=(0,))) == ()


def test_a_share_of_the_eligible_and_kinds_of_units_can_be_set() -> None:
    small = SmallElection({"above_eligible": {"permille": 900, "kinds": ["station"]}})
    assert small.codes(report("n1-1", advance=(1_500, 1_200))) == ()
    evidence = small.evidence(report("n1-1", advance=(1_500, 1_201)), "above_eligible")
    assert evidence == {"area": "n1-1", "eligible": 3_000, "before": 0, "after": 2_701, "of_unit": True}


def test_ballots_fall_by_more_than_100_and_more_than_two_percent_of_the_municipality(
    small: SmallElection,
) -> None:
    small.place(report("n1-1", advance=MANY), report("n1-2", advance=(1_900, 1_050, 600, 900, 50)))
    assert small.codes(report("n1-1", 2, advance=(340, 250, 200, 100, 50))) == ()
    assert small.codes(report("n1-1", 2, advance=(340, 249, 200, 100, 50))) == ()
    assert small.evidence(report("n1-1", 2, advance=(340, 240, 200, 99, 50)), "fell") == {
        "before": 1050,
        "after": 929,
        "municipality": "n1",
        "municipality_ballots": 5550,
    }
    assert small.codes(report("n1-1", 2, advance=(0,), reason="recount")) == ("party_fell",)


def test_a_fall_is_excused_by_what_the_record_shows_at_once(small: SmallElection) -> None:
    """A move whose other half is there, and a count withdrawn that is that of another municipality."""
    before = "2025-09-08T20:00:00+02:00"
    small.place(report("n1-1", advance=MANY, counted_at=before))
    small.place(report("n1-2", advance=(7, 5, 9, 0, 1), counted_at=before))
    gone = report("n1-1", 2, advance=(0,))
    assert "fell" in small.codes(gone)
    small.place(report("n1-2", 2, advance=(407, 305, 209, 100, 51)))
    assert "fell" not in small.codes(gone)
    assert "fell" not in small.codes(report("n1-1", 2, advance=(300, 400, 200, 100, 50)))
    small.place(report("s1-1", advance=(1, 2, 3, 4, 5)), report("s1-1", 2, advance=(401, 302, 203, 104, 55)))
    assert "fell" not in small.codes(report("s1-1", 3, advance=(1, 2, 3, 4, 5)))


def test_a_status_does_not_excuse_a_fall(small: SmallElection) -> None:
    """It is only what the sender says."""
    small.place(report("n1-1", advance=MANY, status="final"))
    assert "fell" in small.codes(report("n1-1", 2, advance=(0,), status="counted_elsewhere"))


def test_a_party_has_far_more_votes_than_in_the_rest_of_the_municipality(small: SmallElection) -> None:
    small.place(report("n1-2", advance=(300, 300, 300, 10, 90)))
    wrong = report("n1-1", advance=(100, 100, 100, 100, 20))
    assert small.evidence(wrong, "party_excess") == {
        "category": "advance",
        "party": "D",
        "before": 0,
        "after": 100,
        "expected": 3,
        "reference": "n1",
    }
    assert small.codes(report("n1-1", advance=(100, 100, 100, 93, 20))) == ("party_excess",)
    assert small.codes(report("n1-1", advance=(100, 100, 100, 92, 20))) == ()
    small.place(report("n1-1", advance=(100, 100, 100, 60, 20)))
    assert small.codes(report("n1-1", 2, advance=(100, 100, 100, 109, 20))) == ()  # gains 49 only
    assert small.codes(report("n1-1", 2, advance=(100, 100, 100, 110, 20))) == ("party_excess",)


def test_the_reference_is_the_nearest_area_with_enough_votes_that_has_this_ballot() -> None:
    """Without so many votes there, the county; never an area above the one that defines the ballot."""
    wrong = report("n1-1", advance=(100, 100, 100, 100, 20))
    many = (3_600, 3_300, 3_000, 10, 90)
    small = SmallElection()
    small.place(report("n1-2", advance=(160, 160, 160, 10, 9)))
    assert small.codes(wrong) == ()
    small.place(report("s1-1", advance=many))
    assert small.codes(wrong) == ()
    small.place(report("n2-1", advance=many))
    assert small.evidence(wrong, "party_excess")["reference"] == "n"
    levels = {"reference": {"municipality": 1}}
    assert SmallElection({"party_excess": levels}).codes(wrong) == ()
    ballots: dict[str, Any] = {
        **DOCUMENT,
        "areas": [
            {**entry, "parties": ["A", "B", "C", "D", "E"]} if entry["id"] == "n1" else entry
            for entry in DOCUMENT["areas"]
        ],
    }
    own = SmallElection(registry=read_registry(ballots))
    own.place(report("n1-2", advance=(160, 160, 160, 10, 9)), report("n2-1", advance=many))
    assert own.codes(wrong) == ()
    own.place(report("n1-3", advance=(160, 161, 163, 0, 3)))
    assert own.evidence(wrong, "party_excess")["reference"] == "n1"


def test_two_parties_have_each_others_votes(small: SmallElection) -> None:
    small.place(report("n1-2", advance=(500, 300, 190, 10, 0)))
    wrong = report("n1-1", advance=(10, 280, 210, 520, 0))
    assert small.evidence(wrong, "exchanged") == {
        "category": "advance",
        "more": "D",
        "more_votes": 520,
        "more_expected": 10,
        "fewer": "A",
        "fewer_votes": 10,
        "fewer_expected": 510,
        "reference": "n1",
    }
    assert small.codes(wrong) == ("party_excess", "exchanged")
    assert "exchanged" not in small.codes(report("n1-1", advance=(300, 190, 10, 500, 0)))
    assert "exchanged" not in small.codes(report("n1-1", advance=(150, 280, 210, 380, 0)))


def test_two_parties_have_each_others_votes_of_the_current_report(small: SmallElection) -> None:
    small.place(report("n1-1", advance=MANY))
    assert small.evidence(report("n1-1", 2, advance=(300, 402, 199, 100, 50)), "exchanged_before") == {
        "category": "advance",
        "one": "A",
        "one_before": 400,
        "one_after": 300,
        "other": "B",
        "other_before": 300,
        "other_after": 402,
    }
    assert small.codes(report("n1-1", 2, advance=(320, 402, 199, 100, 50))) == ()


def test_of_many_parties_the_largest_are_compared_with_each_other() -> None:
    """So that a ballot with thousands of parties takes no longer."""
    codes = [f"P{number}" for number in range(1_000)]
    areas = [{**entry, "parties": None} for entry in DOCUMENT["areas"]]
    parties = [{"code": code, "name": code} for code in codes]
    small = SmallElection(registry=read_registry({**DOCUMENT, "areas": areas, "parties": parties}))

    def figures(votes: list[int]) -> Counts:
        return Counts(sum(votes), 0, 0, dict(zip(codes, votes, strict=True)))

    before = [1_000 - number if number % 2 else 30 for number in range(1_000)]
    small.place(report("n1-1", advance=figures(before)), report("n1-2", advance=figures(before)))
    exchanged = [vote for pair in zip(before[1::2], before[::2], strict=True) for vote in pair]
    found = small.evidence(report("n1-1", 2, advance=figures(exchanged)), "exchanged_before")
    assert (found["one"], found["other"]) == ("P0", "P1")
    found = small.evidence(report("n1-1", 2, advance=figures(exchanged)), "exchanged")
    assert (found["more"], found["fewer"]) == ("P0", "P1")


def test_a_party_loses_many_of_its_votes_in_the_municipality(small: SmallElection) -> None:
    """In all categories together."""
    small.place(report("n1-1", advance=MANY, election_day=MANY), report("n1-2", advance=(200, 4, 0, 0, 0)))
    lower = report("n1-1", 2, advance=(350, 300, 200, 100, 50), election_day=(350, 300, 200, 100, 50))
    assert small.evidence(lower, "party_fell") == {
        "party": "A",
        "before": 800,
        "after": 700,
        "municipality": "n1",
        "municipality_votes": 1000,
    }
    assert (
        small.codes(report("n1-1", 2, advance=(350, 300, 200, 100, 50), election_day=(351, *MANY[1:]))) == ()
    )
    small.place(report("n1-2", 2, advance=(201, 4, 0, 0, 0)))
    assert small.codes(lower) == ()


def test_a_finished_unit_grows(small: SmallElection) -> None:
    small.place(report("n1-1", advance=MANY, status="final"))
    more = report("n1-1", 2, advance=MANY, election_day=(100, 100, 100))
    assert small.evidence(more, "grew_late") == {"status": "final", "before": 1050, "after": 1350}
    assert small.codes(report("n1-1", 2, advance=MANY, election_day=(100, 100, 99))) == ()
    small.place(report("n1-1", 2, advance=MANY, status="preliminary"))
    assert small.codes(more) == ()


def test_a_report_was_counted_long_before_the_election(small: SmallElection) -> None:
    early = report("n1-1", advance=MANY, counted_at="2025-08-24T23:59:59+02:00")
    assert small.evidence(early, "odd_time") == {
        "counted_at": "2025-08-24T23:59:59+02:00",
        "date": "2025-09-08",
        "days": 15,
    }
    assert small.codes(report("n1-1", advance=MANY, counted_at="2025-08-25T00:00:00+02:00")) == ()
    for date in ({}, {"date": "soon"}, {"date": 5}):
        header = {**DOCUMENT["election"], "date": None} | date
        other = SmallElection(registry=read_registry({**DOCUMENT, "election": header}))
        assert other.codes(early) == ("odd_time",)


def test_a_report_with_unchanged_figures_fires_nothing(small: SmallElection) -> None:
    """Whatever fired for the current report, and whatever else changes."""
    wrong = report("n1-1", advance=MANY, election_day=MANY, counted_at="2024-01-01T00:00:00Z")
    assert small.codes(wrong) == ("duplicate_within", "odd_time")
    small.place(wrong)
    same = msgspec.structs.replace(wrong, revision=2, status="final")
    assert small.evaluate(same) is evaluation.NOTHING
    no_figures = report("n1-2", status="counted_elsewhere", counted_at="2024-01-01T00:00:00Z")
    assert small.evaluate(no_figures) is evaluation.NOTHING


def test_a_rule_that_is_off_does_not_fire_and_one_that_warns_holds_nothing() -> None:
    small = SmallElection({"duplicate_within": {"do": "off"}, "odd_time": {"do": "warn"}})
    found = small.evaluate(report("n1-1", advance=MANY, election_day=MANY, counted_at="2024-01-01T00:00:00Z"))
    assert (found.holding, found.warnings) == ((), ("odd_time",))


def test_a_rule_that_fails_holds_nothing_and_the_others_still_can(
    small: SmallElection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise ZeroDivisionError("no votes")

    wrong = report("n1-1", advance=MANY, election_day=MANY, counted_at="2024-01-01T00:00:00Z")
    monkeypatch.setattr(evaluation, "FUNCTIONS", {**evaluation.FUNCTIONS, "fell": fails, "odd_time": fails})
    found = evaluation.evaluate(small.current, wrong, small.policy)
    assert found.holding == ("duplicate_within",)
    assert found.warnings == ("duplicate_within", "not_judged")
    assert found.failed == ("fell", "odd_time")
    assert found.details == ("ZeroDivisionError: no votes",) * 2
    monkeypatch.setattr(evaluation, "FUNCTIONS", dict.fromkeys(RULES, fails))
    found = evaluation.evaluate(small.current, wrong, small.policy)
    assert (found.holding, found.warnings, found.failed) == ((), ("not_judged",), RULES)


def test_a_rule_that_takes_too_much_cpu_time_holds_nothing_and_the_others_still_can(
    small: SmallElection,
) -> None:
    """20 ms, after all together took that long; measured with the clock that is passed in."""
    wrong = report("n1-1", advance=MANY, election_day=MANY, counted_at="2024-01-01T00:00:00Z")

    def evaluated(together_s: float, second_s: float) -> evaluation.Evaluation:
        each_s = [second_s if code == "duplicate_within" else 0.019 for code in RULES]
        times = accumulate(chain([0.0, together_s], *((0.0, took_s) for took_s in each_s)))
        return evaluation.evaluate(small.current, wrong, small.policy, times.__next__)

    found = evaluated(0.021, 0.022)
    assert found.holding == ("odd_time",)
    assert found.warnings == ("odd_time", "not_judged")
    assert found.details == ("took 22 ms of CPU time",)
    assert evaluated(0.0199, 0.022).warnings == ("duplicate_within", "odd_time")
    assert evaluated(0.021, 0.019).warnings == ("duplicate_within", "odd_time")


def test_evidence_leaves_out_figures_of_areas_that_someone_may_not_see(small: SmallElection) -> None:
    """All figures of other areas together, and where they are."""
    small.place(report("n1-1", advance=MANY), report("n1-2", advance=(300, 300, 300, 10, 900)))
    (fired,) = small.evaluate(report("n2-1", advance=MANY)).fired
    assert fired.evidence.areas == ("n1-1",)
    assert fired.evidence.document({"n1-1"}.__contains__)["other"] == "n1-1"
    assert fired.evidence.document({"n2"}.__contains__) == {
        "code": "duplicate_elsewhere",
        "category": "advance",
        "ballots": 1050,
        "whole": False,
    }
    excess, exchange = small.evaluate(report("n1-3", advance=(300, 300, 300, 900, 40))).fired
    for each in (excess, exchange):
        assert each.evidence.areas == ("n1",)
        document = each.evidence.document(lambda _: False)
        assert not {name for name in document if "expected" in name or name == "reference"}
        assert read_evidence(each.evidence.document()) == each.evidence


def test_evidence_is_stored_with_its_code_and_read_again(small: SmallElection) -> None:
    small.place(report("n1-1", advance=MANY))
    found = small.evaluate(report("n1-1", 2, advance=(300, 400)))
    assert {each.code for each in found.fired} == {"fell", "exchanged_before", "party_fell"}
    for each in found.fired:
        stored = msgspec.json.decode(msgspec.json.encode(each))
        assert (stored["code"], stored["do"]) == (each.code, "hold")
        assert stored["evidence"] == each.evidence.document()
        assert read_evidence(stored["evidence"]) == each.evidence


def test_the_recommended_policy_is_evaluated_completely() -> None:
    assert tuple(code for code, _ in recommended().evaluated) == RULES == tuple(evaluation.FUNCTIONS)
