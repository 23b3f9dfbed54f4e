"""Which count is the newest, and its revision."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.count_files.parts import Part
from gateway.count_files.revisions import Known, number, numbered_by_files
from gateway.count_files.versions import Contradiction, Version, meaning, merge
from tests.count_files.count_parts import UNIT, a_part, at, figures
from tests.counts import examples


def test_a_report_with_a_revision_must_be_the_one_that_the_outbox_has_under_it() -> None:
    """It is sent as it was, so that the gateway recognises it."""
    again = versions_of(a_part(counted_at=at(5, utc=True), revision=3))
    (numbered,) = numbered_by_files(again, [known(3), known(4, minute=9)])
    assert numbered.document == known(3).document
    assert not numbered.chosen
    assert numbered_by_files(again, [known(4)])[0].document == again[0].document
    with pytest.raises(Contradiction, match=r"a\.csv, line 2: .* give the correction a higher revision"):
        numbered_by_files(again, [known(3, counts={"advance": figures(12)})])


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


def test_a_rejected_report_takes_a_revision_and_is_not_replaced() -> None:
    """A correction need not repeat its categories; the current report again is recognised."""
    current = known(4, minute=1)
    two = {"advance": figures(99), "election_day": figures(5)}
    rejected = known(6, minute=3, counts=two)
    for other in (current.document, None):
        newest = Known(6, rejected.document, is_current=False, other_current=other)
        for outbox in ((), (rejected,)):
            assert revisions(versions_of(a_part(minute=5)), newest, *outbox) == [7]
    newest = Known(6, rejected.document, is_current=False, other_current=current.document)
    assert revisions(versions_of(a_part(minute=1)), newest) == [4]
    with pytest.raises(Contradiction):
        number(versions_of(a_part(minute=5)), rejected, ())


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


@pytest.mark.parametrize(("minute", "word"), [(5, "also counted at"), (4, "later, at")])
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


@pytest.mark.parametrize("other", [{"counts": {"advance": figures(12)}}, {"counted_at": at(5, utc=True)}])
def test_another_report_in_the_outbox_under_the_current_revision_is_named(other: dict[str, Any]) -> None:
    """Also one that differs only in its notation: the gateway would answer with a conflict."""
    with pytest.raises(Contradiction, match="the outbox has another report under it"):
        number(versions_of(a_part()), known(4), [known(4, **other)])


def test_a_count_is_newer_only_if_it_is_later_than_what_the_gateway_has_too() -> None:
    """A higher revision that waits may have been counted earlier than the current report."""
    waiting = known(10, minute=1, counts={"advance": figures(12)})
    current = known(3, minute=30, counts={"advance": figures(14)})
    between = versions_of(a_part(minute=9))
    with pytest.raises(Contradiction, match=r"newest report \(revision 3\).*later, at.*the revision 11"):
        number(between, current, [waiting])
    assert revisions(versions_of(a_part(minute=40)), current, waiting) == [11]
    assert revisions(versions_of(a_part(minute=30, counts={"advance": figures(14)})), current, waiting) == [3]
    with pytest.raises(Contradiction, match=r"has no 'late'.*revision 3.*the revision 11"):
        number(versions_of(a_part(minute=40)), known(3, minute=2, counts={"late": figures()}), [waiting])


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
            assert top is None or each.version.instant > Part("", "", top.document).instant
            assert newest is None or each.version.instant > Part("", "", newest.document).instant
        else:
            assert all(meaning(known.document) == meaning(each.document) for known in same)
            assert same or (newest is not None and each.revision <= newest.revision)
    assert len({each.revision for each in numbered}) == len(numbered)


def test_a_report_of_the_outbox_is_not_sent_over_a_later_one_of_a_restored_gateway() -> None:
    """Neither by its file again nor by a count between them; a later count comes after both."""
    lost = Known(3, a_part(minute=15).document | {"revision": 3})
    current = Known(2, a_part(minute=30).document | {"revision": 2})
    for minute in (15, 20):
        with pytest.raises(Contradiction, match="counted later, at"):
            number(merge([a_part(minute=minute)])[0], current, [lost])
    (numbered,) = number(merge([a_part(minute=40)])[0], current, [lost])
    assert numbered.revision == 4
