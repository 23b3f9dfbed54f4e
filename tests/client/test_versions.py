"""From the parts of a command to reports: one report per unit, no figure lost, and no revision by chance."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.client.parts import Part
from gateway.client.versions import Contradiction, Known, Version, meaning, merge, number
from gateway.election.report import canonical
from tests.counts import examples

CATEGORIES = ("advance", "election_day", "late")
UNIT = "0604-0001"


def at(minute: int, *, utc: bool = False) -> str:
    return f"2024-09-09T20:{minute:02}:00Z" if utc else f"2024-09-09T22:{minute:02}:00+02:00"


def figures(ballots: int = 10, **members: Any) -> dict[str, Any]:
    return {"ballots": ballots, "blank": 0, "rejected": 0, "votes": {"A": ballots}, **members}


def a_part(
    where: str = "a.csv, line 2", *, unit: str = UNIT, minute: int = 5, counts: Any = None, **members: Any
) -> Part:
    counts = {"advance": figures()} if counts is None else counts
    return Part(
        where, {"unit": unit, "counted_at": at(minute), "status": "final", "counts": counts, **members}
    )


def merged(*parts: Part) -> list[dict[str, Any]]:
    """The reports of parts, which must be the same in any order."""
    versions, mistakes = merge(parts)
    assert not mistakes
    backwards, _ = merge(reversed(parts))
    assert {canonical(each.document) for each in versions} == {canonical(each.document) for each in backwards}
    return [version.document for version in versions]


def mistake(*parts: Part) -> str:
    """The mistake in parts of one unit, in any order; none of them is sent."""
    for order in (parts, parts[::-1]):
        versions, mistakes = merge(order)
        assert versions == []
        assert len(mistakes) == 1
    return mistakes[0]


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
).map(lambda found: [Part(f"file {place}", part.document) for place, part in enumerate(found)])


@settings(max_examples=examples(1000), deadline=None)
@given(parts, st.randoms(use_true_random=False))
def test_no_figure_disappears_and_the_order_of_the_files_is_irrelevant(
    found: list[Part], random: Any
) -> None:
    """Every category of every part is in the report of its unit and time, or its unit has a mistake."""
    versions, mistakes = merge(found)
    shuffled = random.sample(found, len(found))
    again, other_mistakes = merge(shuffled)
    assert sorted(mistakes) == sorted(other_mistakes)
    assert sorted(canonical(each.document) for each in versions) == sorted(
        canonical(each.document) for each in again
    )
    for part in found:
        same_time = [each for each in versions if each.unit == part.unit and each.time == part.time]
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
        assert [each.time for each in of_unit] == sorted(each.time for each in of_unit)
        categories = [set(each.document["counts"]) for each in of_unit]
        assert all(one <= other for one, other in pairwise(categories))


# Revisions.


def versions_of(*parts: Part) -> list[Version]:
    versions, mistakes = merge(parts)
    assert not mistakes
    return versions


def known(revision: int, **members: Any) -> Known:
    return Known(revision, a_part(**members).document | {"revision": revision})


def revisions(versions: list[Version], current: Known | None, *outbox: Known) -> list[int]:
    numbered = number(versions, current, outbox)
    for each in numbered:
        assert meaning(each.document) == meaning(each.version.document)
    return [each.revision for each in numbered]


def test_the_first_report_of_a_unit_has_revision_1_and_its_successors_the_next() -> None:
    two = versions_of(a_part(minute=5), a_part("b", minute=9))
    assert revisions(two, None) == [1, 2]
    assert revisions(two, known(7, minute=1)) == [8, 9]
    assert revisions(two, known(7, minute=1), known(11, minute=2)) == [12, 13]


def test_the_newest_report_again_keeps_its_revision_and_its_bytes() -> None:
    """In another notation too, so that the gateway recognises it; the outbox may be empty, or have it waiting."""
    again = versions_of(
        a_part(counted_at=at(5, utc=True), counts={"advance": figures(votes={"A": 10, "B": 0})})
    )
    current = known(4)
    for place in ((current, ()), (None, (current,)), (known(3, minute=1), (current,))):
        (numbered,) = number(again, place[0], place[1])
        assert numbered.document == current.document
    two = versions_of(a_part(minute=5), a_part("b", minute=9, counts={"advance": figures(12)}))
    assert revisions(two, known(4)) == [4, 5]


def test_both_versions_of_a_command_again_keep_their_revisions() -> None:
    """Without an outbox, the earlier one has the revision before; that is never accepted anew."""
    two = versions_of(a_part(minute=5), a_part("b", minute=9, counts={"advance": figures(12)}))
    newest = known(8, minute=9, counts={"advance": figures(12)})
    assert revisions(two, newest) == [7, 8]
    assert revisions(two, newest, known(5)) == [5, 8]
    for outbox in ((), (known(7, counts={"advance": figures(99)}),)):
        with pytest.raises(Contradiction):
            number(two, Known(1 if not outbox else 8, newest.document), outbox)


def test_earlier_figures_with_a_later_time_are_a_new_report() -> None:
    assert revisions(versions_of(a_part(minute=9)), known(2, counts={"advance": figures(12)}), known(1)) == [
        3
    ]


@pytest.mark.parametrize(("minute", "word"), [(5, "also at"), (4, "later, at")])
def test_other_figures_of_the_same_or_an_earlier_time_are_not_numbered(minute: int, word: str) -> None:
    """Unless the outbox has sent them before: then it is their revision."""
    old = versions_of(a_part("old.csv, line 7", minute=minute, counts={"advance": figures(12)}))
    with pytest.raises(Contradiction) as error:
        number(old, known(2), ())
    text = str(error.value)
    assert all(
        each in text for each in ("old.csv, line 7", UNIT, at(minute), f"{word} {at(5)}", "revision 3")
    )
    assert revisions(old, known(2), known(1, minute=minute, counts={"advance": figures(12)})) == [1]


def test_a_category_of_the_current_report_is_not_dropped() -> None:
    """A category of nothing but zeros says nothing."""
    later = versions_of(a_part("day.csv, line 2", minute=9, counts={"election_day": figures()}))
    with pytest.raises(Contradiction, match=r"day\.csv, line 2: unit 0604-0001 has no 'advance'"):
        number(later, known(1), ())
    assert revisions(later, known(1, counts={"advance": figures(0)})) == [2]


def test_other_figures_in_the_outbox_under_the_current_revision_are_named() -> None:
    with pytest.raises(Contradiction, match="the outbox has other figures under it"):
        number(versions_of(a_part()), known(4), [known(4, counts={"advance": figures(12)})])


def test_a_unit_without_a_revision_left_is_named() -> None:
    with pytest.raises(Contradiction, match="used all its revisions"):
        number(versions_of(a_part(minute=9)), known(2_147_483_647), ())


reports = st.builds(
    lambda minute, ballots: a_part(minute=minute, counts={"advance": figures(ballots)}),
    st.integers(1, 4),
    st.integers(1, 3),
)


@settings(max_examples=examples(1000), deadline=None)
@given(
    st.lists(reports, min_size=1, max_size=3, unique_by=lambda part: part.document["counted_at"]),
    st.lists(st.tuples(st.integers(1, 6), reports), max_size=3, unique_by=lambda known: known[0]),
    st.none() | st.tuples(st.integers(1, 6), reports),
)
def test_a_new_revision_is_above_all_others_and_counted_last(
    command: list[Part], sent: list[tuple[int, Part]], current: tuple[int, Part] | None
) -> None:
    """A revision that may be accepted anew belongs to a count that is later than all that the gateway may have."""
    outbox = [Known(revision, part.document | {"revision": revision}) for revision, part in sent]
    newest = Known(current[0], current[1].document) if current else None
    versions = versions_of(*command)
    try:
        numbered = number(versions, newest, outbox)
    except Contradiction:
        return
    assert [each.version for each in numbered] == versions
    highest = max([0, *(each.revision for each in outbox), *([newest.revision] if newest else [])])
    top = max(([newest] if newest else []) + outbox, key=lambda each: each.revision, default=None)
    for each in numbered:
        same = [known for known in outbox if known.revision == each.revision]
        if each.revision > highest:
            assert top is None or each.version.time > Part("", top.document).time
        else:
            assert all(meaning(known.document) == meaning(each.document) for known in same)
    assert len({each.revision for each in numbered}) == len(numbered)
