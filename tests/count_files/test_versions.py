"""From the parts of a command to reports: one report per unit, and no figure lost."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.count_files.parts import Part
from gateway.count_files.versions import merge
from gateway.election.report import canonical
from tests.count_files.count_parts import CATEGORIES, UNIT, a_part, at, figures
from tests.counts import examples


def merged(*parts: Part) -> list[dict[str, Any]]:
    """The reports of parts, which must be the same in any order."""
    versions, contradictions = merge(parts)
    assert not contradictions
    backwards, _ = merge(reversed(parts))
    assert {canonical(each.document) for each in versions} == {canonical(each.document) for each in backwards}
    return [version.document for version in versions]


def mistake(*parts: Part) -> str:
    """The mistake in parts of one unit, in any order; none of them is sent."""
    for order in (parts, parts[::-1]):
        versions, contradictions = merge(order)
        assert versions == []
        (contradiction,) = contradictions
        assert contradiction.files == {part.file for part in parts}
    return str(contradiction)


def test_categories_of_a_unit_in_several_places_are_one_report() -> None:
    """A revision that one of them has is that of the report; the time may be written in two ways."""
    day = a_part(
        "day.csv, line 2", counts={"election_day": figures(7)}, revision=3, counted_at=at(5, utc=True)
    )
    (report,) = merged(a_part("adv.csv, line 2"), day)
    assert report["counts"] == {"advance": figures(10), "election_day": figures(7)}
    assert report["revision"] == 3


def test_a_category_that_is_repeated_with_the_same_meaning_is_counted_once() -> None:
    """A party without votes may be omitted."""
    with_zero = figures(10, votes={"A": 10, "B": 0})
    (report,) = merged(a_part(), a_part("b.csv, line 9", counts={"advance": with_zero}))
    assert report["counts"] == {"advance": with_zero}


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ({"counts": {"advance": figures(11)}}, ("other figures for 'advance'",)),
        ({"counts": {"advance": figures(10, voters=0)}}, ("other figures for 'advance'",)),
        (
            {"status": "preliminary", "counts": {"late": figures()}},
            ("status 'preliminary'", "status", "'final'"),
        ),
        ({"reason": "recount", "counts": {"late": figures()}}, ("reason", "'recount'", "nothing")),
        ({"minute": 6, "counts": {"late": figures()}}, ("no 'advance'", at(5), at(6))),
        ({"minute": 6, "revision": 1}, ("revision", "none")),
    ],
)
def test_parts_that_contradict_each_other_are_named_with_both_places(
    second: dict[str, Any], words: tuple[str, ...]
) -> None:
    text = mistake(a_part("a.csv, line 2"), a_part("b.csv, line 9", **second))
    assert all(word in text for word in ("a.csv, line 2", "b.csv, line 9", UNIT, *words)), text


def test_counts_with_different_times_are_versions_in_the_order_of_their_times() -> None:
    """Not of the names of their files or of their lines."""
    whole = {"advance": figures(9), "late": figures(1)}
    reports = merged(a_part("10.csv, line 2", minute=9, counts=whole), a_part("9.csv, line 2", minute=5))
    assert [report["counted_at"] for report in reports] == [at(5), at(9)]


def test_versions_with_revisions_need_the_order_of_their_times() -> None:
    reports = merged(a_part("x, line 1", minute=9, revision=12), a_part("x, line 2", minute=5, revision=3))
    assert [report["revision"] for report in reports] == [3, 12]
    assert [each["revision"] for each in merged(a_part(revision=2), a_part("y", revision=1))] == [1, 2]
    for earlier, later in ((12, 3), (3, 3)):
        text = mistake(a_part("x, line 1", revision=earlier), a_part("x, line 2", minute=9, revision=later))
        assert "a later count needs a higher revision" in text
    text = mistake(a_part("x", revision=1), a_part("y", revision=2), a_part("z", counts={"late": figures()}))
    assert text.startswith("z: unit 0604-0001 has no revision here")


def test_a_mistake_in_one_unit_leaves_the_others_as_they_are() -> None:
    versions, mistakes = merge(
        [a_part(), a_part("b", counts={"advance": figures(9)}), a_part(unit="0604-0002")]
    )
    assert [version.unit for version in versions] == ["0604-0002"]
    assert len(mistakes) == 1


parts = st.lists(
    st.builds(
        lambda unit, minute, utc, status, counts, revision: Part(
            "",
            "",
            {
                "unit": unit,
                "counted_at": at(minute, utc=utc),
                "status": status,
                "counts": {category: figures(ballots) for category, ballots in counts.items()},
                **({"revision": revision} if revision else {}),
            },
        ),
        st.sampled_from(["1-1", "1-2"]),
        st.integers(1, 3),
        st.booleans(),
        st.sampled_from(["final", "final", "preliminary"]),
        st.dictionaries(st.sampled_from(CATEGORIES), st.integers(1, 2), max_size=3),
        st.sampled_from([None, None, 1, 2]),
    ),
    max_size=6,
).map(lambda found: [Part("", f"file {place}", part.document) for place, part in enumerate(found)])


@settings(max_examples=examples(1000), deadline=None)
@given(parts, st.randoms(use_true_random=False))
def test_no_figure_disappears_and_the_order_of_the_files_is_irrelevant(
    found: list[Part], random: Any
) -> None:
    """Every category of every part is in the report of its unit and time, or its unit has a mistake."""
    versions, contradictions = merge(found)
    again, others = merge(random.sample(found, len(found)))
    mistakes = sorted(map(str, contradictions))
    assert mistakes == sorted(map(str, others))
    assert sorted(canonical(each.document) for each in versions) == sorted(
        canonical(each.document) for each in again
    )
    for part in found:
        same_time = [each for each in versions if each.unit == part.unit and each.instant == part.instant]
        sent = [
            each.document["counts"]
            for each in same_time
            if part.revision in (None, each.revision) and each.document["status"] == part.document["status"]
        ]
        in_a_report = any(part.counts.items() <= counts.items() for counts in sent)
        assert in_a_report or any(part.unit in mistake for mistake in mistakes)
        assert not (same_time and any(part.unit in mistake for mistake in mistakes))
    for unit in ("1-1", "1-2"):
        of_unit = [each for each in versions if each.unit == unit]
        assert [each.instant for each in of_unit] == sorted(each.instant for each in of_unit)
        categories = [set(each.document["counts"]) for each in of_unit]
        assert all(one <= other for one, other in pairwise(categories))


def test_a_later_count_may_lack_a_category_if_it_has_a_revision_and_a_reason() -> None:
    """As a correction that takes it back; without a revision, nobody has decided that."""
    earlier = a_part(revision=1, counts={"advance": figures(), "late": figures()})
    versions, wrong = merge([earlier, a_part("b.csv", minute=9, revision=2, reason="revoked")])
    assert (len(versions), wrong) == (2, [])
    without = a_part(counts={"advance": figures(), "late": figures()})
    for parts in (
        (earlier, a_part("b.csv", minute=9, revision=2)),
        (without, a_part("b.csv", minute=9, reason="revoked")),
    ):
        assert "has no 'late'" in str(merge(parts)[1][0])
