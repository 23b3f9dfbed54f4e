"""The policy of rules: what a registry or an operator may set, and what is refused, with its place."""

from typing import Any

import pytest

from gateway.election.registry_reading import read_registry
from gateway.election.report import Counts, Report
from gateway.election.rules.current import CurrentReports
from gateway.election.rules.policy import RULES, UNITS_COMPARED_MAX, read_policy, recommended, stored_policy
from gateway.errors import MalformedPolicy, MalformedRegistry
from tests.election.makers import DOCUMENT, REGISTRY

AT = "2025-09-08T22:00:00+02:00"

CODES = (
    "duplicate_elsewhere",
    "duplicate_within",
    "above_eligible",
    "fell",
    "party_excess",
    "exchanged",
    "odd_time",
    "exchanged_before",
    "party_fell",
    "grew_late",
)


def document(rules: Any, **unit: Any) -> dict[str, Any]:
    first, *areas = DOCUMENT["areas"]
    return {
        **DOCUMENT,
        "election": {**DOCUMENT["election"], "rules": rules},
        "areas": [{**first, **unit}, *areas],
    }


def problems(rules: Any, **unit: Any) -> list[str]:
    with pytest.raises(MalformedRegistry) as refused:
        read_registry(document(rules, **unit))
    return list(refused.value.problems)


def test_without_rules_everything_warns_and_nothing_is_held() -> None:
    policy = read_registry(DOCUMENT).policy
    assert tuple(policy.settings()) == CODES == RULES
    assert {setting.do for setting in policy.settings().values()} == {"warn"}
    assert not policy.holds
    assert not policy.is_off
    assert policy.most_open == 50


def test_the_recommended_policy_is_the_documented_one() -> None:
    policy = read_registry(document("recommended")).policy
    reference = {"municipality": 500, "county": 10000}
    assert policy == recommended()
    assert policy.document() == {
        "duplicate_elsewhere": {"do": "hold", "ballots": 200, "permille": 20},
        "duplicate_within": {"do": "hold", "ballots": 200, "permille": 20},
        "above_eligible": {"do": "hold", "permille": 1000, "kinds": []},
        "fell": {"do": "hold", "ballots": 100, "permille": 20},
        "party_excess": {"do": "hold", "votes": 50, "times": 7, "plus": 10, "reference": reference},
        "exchanged": {"do": "hold", "times": 4, "plus": 10, "reference": reference},
        "odd_time": {"do": "hold", "days": 14},
        "exchanged_before": {"do": "warn", "votes": 20, "permille": 20},
        "party_fell": {"do": "warn", "votes": 100, "permille": 100},
        "grew_late": {"do": "warn", "ballots": 300, "permille": 50},
        "most_open": 50,
    }


def test_a_named_rule_has_its_own_setting_and_the_others_warn() -> None:
    registry = read_registry(document({"fell": {"do": "hold", "ballots": 7}, "odd_time": {"do": "off"}}))
    policy = registry.policy
    assert (policy.fell.do, policy.fell.ballots, policy.fell.permille) == ("hold", 7, 20)
    assert "odd_time" not in dict(policy.evaluated)
    assert policy.exchanged.do == "warn"
    assert policy.holds
    off = registry.read_policy({code: {"do": "off"} for code in RULES})
    assert off.is_off


def test_a_policy_is_read_from_its_own_document() -> None:
    policy = REGISTRY.read_policy({"exchanged": {"do": "hold", "reference": {"county": 1}}, "most_open": 1})
    assert REGISTRY.read_policy(policy.document()) == policy
    assert REGISTRY.stored_policy(policy.document()) == policy
    assert REGISTRY.read_policy(recommended().document()) == recommended()


def test_every_mistake_is_named_with_its_place_and_what_was_expected() -> None:
    count = "expected an integer from"
    assert problems(
        {
            "fell": {"ballots": -1, "share": 1},
            "felt": {"do": "hold"},
            "exchanged": {"do": "hold", "times": 1, "reference": {"county": 0, "moon": 5}},
            "party_excess": {"do": "hold", "reference": {}},
            "odd_time": {"do": "always", "days": 1.5},
            "above_eligible": {"do": "hold", "kinds": ["tent", 5]},
            "duplicate_elsewhere": {"do": "hold", "ballots": 99, "permille": 101},
            "duplicate_within": True,
            "grew_late": {"do": "warn", "ballots": True},
            "most_open": 0,
        }
    ) == [
        f"$.election.rules.{problem}"
        for problem in (
            "fell.do: missing; expected 'off', 'warn' or 'hold'",
            f"fell.ballots: {count} 0 to 2147483647",
            "fell.share: this rule has no such member",
            "felt: no such rule",
            f"exchanged.times: {count} 2 to 1000",
            f"exchanged.reference.county: {count} 1 to 2147483647",
            "exchanged.reference.moon: no area has this level",
            "party_excess.reference: expected an object of votes by level, 1 to 100 of them",
            "odd_time.do: expected 'off', 'warn' or 'hold'",
            f"odd_time.days: {count} 0 to 3650",
            "above_eligible.kinds: expected an array of at most 100 texts",
            "above_eligible.kinds[0]: no unit has the kind 'tent'",
            f"duplicate_elsewhere.ballots: {count} 100 to 2147483647",
            f"duplicate_elsewhere.permille: {count} 0 to 100",
            "duplicate_within: expected an object",
            f"grew_late.ballots: {count} 1 to 2147483647",
            f"most_open: {count} 1 to 10000",
        )
    ]
    for other in (None, [], "strict", 1):
        assert problems(other) == ["$.election.rules: expected 'recommended' or an object of rules"]


def test_the_number_of_problems_and_the_length_of_each_are_limited() -> None:
    with pytest.raises(MalformedPolicy) as refused:
        REGISTRY.read_policy({f"{number}{'x' * 1000}\x1b": {} for number in range(1000)})
    assert len(refused.value.problems) == 50
    assert max(map(len, refused.value.problems)) < 100


def test_kinds_of_units_are_texts_and_can_be_named() -> None:
    rules = {"above_eligible": {"do": "hold", "kinds": ["station"]}}
    registry = read_registry(document(rules, kind="station"))
    assert registry.by_id["b-1-x-1"].kind == "station"
    assert registry.kinds == {"station"}
    assert REGISTRY.by_id["b-1-x-1"].kind is None
    assert problems({}, kind=5)[0].startswith("$.areas[0].kind: expected 1 to 64 characters")


def test_what_is_stored_never_stops_an_election() -> None:
    """Whatever an earlier or a later version stored as `rules` or `kind`."""
    newer = {
        "fell": {"do": "hold", "ballots": 7, "later": 1},
        "odd_time": {"do": "ask"},
        "exchanged": {"do": "hold", "reference": {"moon": 5}},
        "new_rule": {"do": "hold"},
        "most_open": -1,
    }
    policy = read_registry(document(newer, kind=5), stored=True).policy
    assert (policy.fell.do, policy.fell.ballots) == ("hold", 7)
    assert (policy.odd_time.do, policy.odd_time.days) == ("warn", 14)
    assert (policy.exchanged.do, policy.exchanged.reference) == ("hold", {"moon": 5})
    assert policy.most_open == 50
    for other in (None, [], "strict", 1, {"fell": []}):
        assert read_registry(document(other), stored=True).policy == REGISTRY.policy


def test_in_a_large_election_units_are_compared_only_if_the_registry_says_so() -> None:
    many = UNITS_COMPARED_MAX + 1
    compare = ("duplicate_elsewhere", "duplicate_within")
    for policy in (
        stored_policy({}, many),
        stored_policy("recommended", many),
        read_policy({}, levels=(), kinds=(), units=many),
    ):
        assert not policy.compares_units
        assert {code for code, _ in policy.evaluated} == {*RULES} - {*compare}
    named = read_policy({compare[0]: {"do": "warn"}}, levels=(), kinds=(), units=many)
    assert named.compares_units
    assert not named.duplicate_within.is_on
    assert stored_policy({}, UNITS_COMPARED_MAX).compares_units


def test_in_a_large_election_only_the_registry_can_turn_on_what_compares_units(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What other processes know must not depend on when an operator changed the rules."""
    for module in ("gateway.election.registry", "gateway.election.rules.policy"):
        monkeypatch.setattr(f"{module}.UNITS_COMPARED_MAX", 3)
    registry = read_registry(DOCUMENT)
    assert not registry.compares_units
    compare = {"duplicate_within": {"do": "hold"}}
    with pytest.raises(MalformedPolicy, match=r"^\$: more than 3 units: only the registry can turn on rules"):
        registry.read_policy(compare)
    named = read_registry(document(compare))
    assert named.compares_units
    assert named.read_policy(compare).duplicate_within.do == "hold"
    counts = {"advance": Counts(1000, 0, 0, {"P": 1000})}
    report = Report(unit="a-1-1", revision=1, counted_at=AT, status="final", counts=counts)
    for each, growths in ((registry, 0), (named, 1)):
        current = CurrentReports(each)
        current.place(report)
        assert len(current.growths) == growths
