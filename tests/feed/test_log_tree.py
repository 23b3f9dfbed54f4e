"""The tree of a record: its roots are those of RFC 6962 over the entries, whenever its parts become known."""

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.feed.log_tree import AppliedTree
from gateway.transparency.entries import Closing
from gateway.transparency.merkle import leaf_hash, root_of
from tests.counts import examples
from tests.election.makers import Record, a_report

REPORTS = [Record().write(a_report(revision=number)) for number in range(1, 601)]
"""Their sequences do not matter here."""


def a_closing(sequence: int) -> bytes:
    return Closing(chain="00" * 32, closed_at="2025-09-09T03:00:00Z", sequence=sequence).encode()


def grown(tree: AppliedTree, size: int) -> AppliedTree:
    for _ in tree.grow(size):
        pass
    return tree


@settings(max_examples=examples(200), deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "grow", "open", "open another", "close"]), st.integers(0, 120)),
        max_size=12,
    )
)
def test_roots_are_those_of_the_entries(steps: list[tuple[str, int]]) -> None:
    """In whatever order reports, opening and closing are added, and however far the tree has grown in between."""
    tree, opening, closing, count = AppliedTree(), None, None, 0
    for step, number in steps:
        match step:
            case "add":
                if closing is None:
                    tree.add(REPORTS[count : count + number])
                    count = min(count + number, len(REPORTS))
            case "grow":
                grown(tree, number)
            case "close":
                if opening is not None and closing is None:
                    closing = a_closing(count)
                    assert tree.close(closing)
            case _:
                if step == "open another" or opening is None:
                    before, opening = opening, b"opening %d" % number
                    closing = closing if opening == before else None
                    tree.open(opening)
    entries = [each.body for each in REPORTS[:count]]
    if opening is None:
        assert tree.size == 0
    else:
        entries = [opening, *entries, *([closing] if closing is not None else [])]
        assert tree.size == len(entries)
        assert grown(tree, 10**9).tree.root() == root_of(map(leaf_hash, entries))
        assert tree.closed == (closing is not None)
    first = 1 if opening is None else 0
    assert [tree.leaf(index) for index in range(first, first + len(entries))] == [*map(leaf_hash, entries)]
    assert tree.leaf(first + len(entries)) is None


def test_a_closing_entry_may_be_known_before_the_reports_that_it_follows() -> None:
    """It is added when they are; nothing follows it, and one that does not fit is noticed."""
    tree = AppliedTree()
    tree.open(b"opening")
    tree.add(REPORTS[:2])
    assert tree.close(a_closing(3))
    assert grown(tree, 10).tree.size == tree.size == 3
    tree.add(REPORTS[2:3])
    assert tree.close(a_closing(3))
    assert tree.size == 5
    assert grown(tree, 4).tree.size == 4
    assert not tree.closed
    assert grown(tree, 10).tree.size == 5
    assert tree.closed
    assert not tree.close(a_closing(4))
    tree.add(REPORTS[3:4])
    assert not tree.close(a_closing(3))
    assert grown(tree, 10).tree.size == tree.size == 5


def test_only_an_entry_that_closes_is_a_closing_entry() -> None:
    tree = AppliedTree()
    tree.open(b"opening")
    assert not tree.close(b"{}")
    assert tree.size == 1
