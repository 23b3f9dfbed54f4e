"""What the record itself shows about falls: each explanation, when it becomes known, and where it is shown."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.election import explanations
from gateway.election.changes import Columns
from gateway.election.explanations import CODES, History
from gateway.election.registry_reading import read_registry
from gateway.election.state import CatchUp, ElectionState
from gateway.wire.areas import area_document
from gateway.wire.corrections import corrections_of, json_steps
from tests.counts import examples
from tests.election.makers import BALLOTS, DOCUMENT, REGISTRY, STATUSES, Record, a_report, above, some_counts
from tests.election.test_state import catch_up, whole
from tests.steps import whole as all_steps

NINE = datetime.fromisoformat("2025-09-08T21:00:00+02:00")


class Night:
    """A record that is applied as it grows: units report votes per party, some minutes after nine."""

    def __init__(self) -> None:
        self.record = Record()
        self.state = ElectionState(REGISTRY)

    def report(self, unit: str, minute: float, status: str = "final", blank: int = 0, **votes: int) -> None:
        self.add(unit, minute, status, {"advance": some_counts(blank=blank, **votes)})

    def add(self, unit: str, minute: float, status: str, counts: dict[str, Any]) -> None:
        at = (NINE + timedelta(minutes=minute)).isoformat()
        revision = len(self.record.publications) + 1
        report = a_report(unit, revision, counted_at=at, status=status, counts=counts)
        self.state.apply(self.record.write(report))

    def explained(self, area: str) -> tuple[str | None, ...] | None:
        """Code and unit of the correction that an area shows."""
        document = area_document(self.state, REGISTRY.by_id[area].index)
        shown = document["correction" if area in BALLOTS else "last_correction"]["explained"]
        return None if shown is None else tuple(shown.values())

    def listed(self) -> list[Any]:
        """What each correction of the list looks like, the first correction first."""
        steps = json_steps(corrections_of(self.state, REGISTRY.root))
        document = orjson.loads(all_steps(steps))
        assert document["sequence"] == self.state.corrections.changed
        return [
            each["explained"] for each in sorted(document["corrections"], key=lambda each: each["sequence"])
        ]


@pytest.fixture
def night() -> Night:
    return Night()


def test_a_count_of_another_municipality_that_is_dropped_again(night: Night) -> None:
    """Named is the unit that reported it first, whatever else the report changes by a few votes."""
    night.report("a-2", 0, P=700, Q=400, RØDT=90)
    night.report("b-2", 5, P=10, Q=3)
    night.report("b-2", 9, P=711, Q=402, RØDT=90)
    night.report("b-1-x-1", 9, P=700, Q=400, RØDT=90)
    night.report("b-2", 600, P=10, Q=3)
    assert night.explained("b-2") == night.explained("no") == ("duplicate_withdrawn", "a-2")


def test_a_count_that_was_never_in_another_municipality_is_not_a_duplicate(night: Night) -> None:
    """Nor one within the same municipality."""
    night.report("b-1-x-2", 0, P=700, Q=400)
    night.report("b-1-x-1", 0, P=700, Q=400)
    night.report("b-1-x-1", 600, P=1)
    assert night.explained("no") is None


@pytest.mark.parametrize("after", [{"P": 9, "Q": 120}, {"P": 12, "Q": 118}])
def test_two_parties_exchanged(night: Night, after: dict[str, int]) -> None:
    """Also where the same report changes a few votes more."""
    night.report("a-2", 0, "preliminary", P=120, Q=9)
    night.report("a-2", 5, "preliminary", **after)
    assert night.explained("a-2") == ("exchanged",)


def test_votes_that_only_move_between_two_parties_are_not_an_exchange(night: Night) -> None:
    night.report("a-2", 0, "preliminary", P=120, Q=70)
    night.report("a-2", 5, "preliminary", P=90, Q=100)
    assert night.explained("a-2") is None


def test_a_move_that_is_known_at_once(night: Night) -> None:
    """The other unit has already reported the ballots, with one vote more."""
    night.report("b-1-x-1", 0, P=500, Q=80)
    night.report("b-1-x-2", 0, P=20)
    night.report("b-1-x-2", 60, P=220, Q=31)
    assert not night.listed()
    night.report("b-1-x-1", 70, P=300, Q=50)
    assert night.explained("b-1-x-1") == night.explained("b-1") == ("moved", "b-1-x-2")


def test_a_move_that_becomes_known_with_a_later_report(night: Night) -> None:
    """Shown above both units and in the list, but not at the unit, which does not change with that report."""
    night.report("b-1-x-1", 0, P=500, Q=80)
    night.report("a-1-1", 0, P=20)
    night.report("b-1-x-2", 0, P=20)
    night.report("b-1-x-1", 60, P=300, Q=50)
    assert (night.explained("no"), night.listed()) == (None, [None])
    night.report("b-1-x-2", 89, P=220, Q=30)
    for area in ("no", "b", "b-1", "b-1-x"):
        assert night.explained(area) == ("moved", "b-1-x-2")
    assert night.explained("b-1-x-1") is None
    assert night.listed() == [{"code": "moved", "unit": "b-1-x-2"}]


@pytest.mark.parametrize(
    ("minute", "votes"),
    [(91, {"P": 220, "Q": 30}), (61, {"P": 220, "Q": 24}), (61, {"P": 250})],
    ids=["after more than 30 minutes", "more than 2 % are missing", "other parties"],
)
def test_what_is_not_a_move(night: Night, minute: float, votes: dict[str, int]) -> None:
    night.report("b-1-x-1", 0, P=500, Q=80)
    night.report("b-1-x-2", 0, P=20)
    night.report("b-1-x-1", 60, P=300, Q=50)
    night.report("b-1-x-2", minute, **votes)
    assert night.explained("no") is None


def test_a_few_votes_are_not_a_move(night: Night) -> None:
    """Two counts may differ like that by chance."""
    night.report("b-1-x-1", 0, P=500)
    night.report("b-1-x-2", 0, P=500)
    night.report("b-1-x-1", 60, P=490)
    night.report("b-1-x-2", 61, P=510)
    assert night.explained("no") is None


def test_a_move_to_a_unit_of_another_municipality_is_none(night: Night) -> None:
    night.report("b-1-x-1", 0, P=500)
    night.report("b-2", 0, P=500)
    night.report("b-2", 60, P=700)
    night.report("b-1-x-1", 60, P=300)
    assert night.explained("no") is None


def test_a_later_move_does_not_change_areas_that_show_another_correction(night: Night) -> None:
    """The list has both."""
    night.report("b-1-x-1", 0, P=500)
    night.report("b-1-x-2", 0, P=20)
    night.report("a-2", 0, P=80)
    night.report("b-1-x-1", 60, P=300)
    night.report("a-2", 60, P=70)
    night.report("b-1-x-2", 62, P=220)
    assert (night.explained("b"), night.explained("no")) == (("moved", "b-1-x-2"), None)
    assert night.listed() == [{"code": "moved", "unit": "b-1-x-2"}, None]


def test_figures_that_are_reported_again(night: Night) -> None:
    """Within 30 minutes; shown at the unit too, since it changes with that report."""
    night.report("b-1-x-1", 0, P=500, Q=20)
    night.report("b-1-x-1", 10, "counted_elsewhere", P=0)
    assert night.explained("no") == ("counted_elsewhere",)
    night.report("b-1-x-1", 40, P=500, Q=20)
    assert night.explained("b-1-x-1") == night.explained("no") == ("restated",)
    assert night.listed() == [{"code": "restated"}]


def test_figures_that_are_reported_again_too_late(night: Night) -> None:
    night.report("b-1-x-1", 0, P=500)
    night.report("b-1-x-1", 10, P=400)
    night.report("b-1-x-1", 41, P=500)
    assert night.explained("no") is None


@pytest.mark.parametrize(
    ("before", "after", "votes", "code"),
    [
        ("preliminary", "counted_elsewhere", {"P": 0}, "counted_elsewhere"),
        ("final", "preliminary", {"P": 300, "Q": 500}, "status_back"),
        ("preliminary", "final", {"P": 790, "Q": 506}, "counted_again"),
        ("preliminary", "controlled", {"P": 780, "Q": 506}, "counted_again"),
        ("preliminary", "final", {"P": 774, "Q": 500}, "counted_again"),
        ("preliminary", "final", {"P": 773, "Q": 500}, None),
        ("preliminary", "final", {"P": 774, "Q": 600}, "more_counted"),
        ("preliminary", "final", {"P": 773, "Q": 600}, None),
        ("final", "final", {"P": 799, "Q": 500}, None),
    ],
)
def test_what_the_statuses_show(
    night: Night, before: str, after: str, votes: dict[str, int], code: str | None
) -> None:
    """A later stage may change 2 % of 1 300 votes: 26."""
    night.report("a-2", 0, before, P=800, Q=500)
    night.report("a-2", 90, after, **votes)
    assert night.explained("a-2") == (None if code is None else (code,))


def test_ten_votes_may_always_change_in_a_later_stage(night: Night) -> None:
    night.report("a-2", 0, "preliminary", P=20)
    night.report("a-2", 90, "final", P=10)
    assert night.explained("a-2") == ("counted_again",)


MINUTES = (0, 10, 25, 45, 100)
FIGURES = ({"P": 150, "Q": 10}, {"P": 10, "Q": 150}, {"P": 300, "Q": 10}, {"P": 600}, {})


@st.composite
def busy_nights(draw: st.DrawFn) -> Record:
    """A record of few figures and times, in which moves, exchanges and copies are frequent."""
    record = Record()
    for revision in range(1, draw(st.integers(2, 14)) + 1):
        counts = {
            category: some_counts(blank=0, **draw(st.sampled_from(FIGURES)))
            for category in draw(
                st.sampled_from((("advance",), ("election_day",), ("advance", "election_day")))
            )
        }
        minute = draw(st.sampled_from(MINUTES))
        members = {
            "counted_at": (NINE + timedelta(minutes=minute)).isoformat(),
            "status": draw(st.sampled_from(STATUSES[1:7])),
            "counts": counts,
        }
        record.write(a_report(draw(st.sampled_from(("b-1-x-1", "b-1-x-2", "b-2"))), revision, **members))
    return record


@settings(deadline=None, max_examples=examples(300))
@given(busy_nights(), st.data())
def test_explanations_are_the_same_however_a_record_is_applied(record: Record, data: st.DataObject) -> None:
    """One by one, or many at once from any position: all areas, and the list of corrections with its sequence."""
    with pytest.MonkeyPatch.context() as bounds:
        for bound in ("OPEN_MAX", "SEEN_MAX", "COMPARED_MAX", "COMPARISONS_MAX"):
            bounds.setattr(explanations, bound, data.draw(st.sampled_from((1, 2, 64))))
        _apply_in_parts(record, data)


def _apply_in_parts(record: Record, data: st.DataObject) -> None:
    size = len(record.publications)
    cuts = sorted(data.draw(st.lists(st.integers(0, size), max_size=3)))
    one_by_one, at_once = ElectionState(REGISTRY), ElectionState(REGISTRY)
    for first, last in zip([0, *cuts], [*cuts, size], strict=True):
        part = record.publications[first:last]
        for publication in part:
            one_by_one.apply(publication)
        if data.draw(st.booleans()):
            catch_up(at_once, part)
        else:
            for publication in part:
                at_once.apply(publication)
        assert whole(at_once) == whole(one_by_one)
        assert at_once.corrections.changed == one_by_one.corrections.changed
        for area in REGISTRY.areas:
            assert at_once.corrections.largest(area.index) == one_by_one.corrections.largest(area.index)


@settings(deadline=None, max_examples=examples(100))
@given(busy_nights())
def test_an_area_changes_only_with_a_publication_at_or_below_it(record: Record) -> None:
    """So a client that resumes gets every explanation that has become known."""
    state = ElectionState(REGISTRY)
    before = {area.id: area_document(state, area.index) for area in REGISTRY.areas}
    for publication in record.publications:
        state.apply(publication)
        for area in REGISTRY.areas:
            document = area_document(state, area.index)
            assert document == before[area.id] or area.id in above(publication.unit)
            before[area.id] = document
            shown = document.get("correction") or document.get("last_correction")
            if shown and shown["explained"]:
                code, other = shown["explained"]["code"], shown["explained"].get("unit")
                assert code in CODES
                assert (other in BALLOTS) == (code in ("duplicate_withdrawn", "moved"))


def test_a_history_keeps_a_bounded_number_of_changes() -> None:
    """However often its units report."""
    state = ElectionState(REGISTRY)
    record = Record()
    for revision in range(1, 400):
        figures = {"P": 1000 * (revision % 2), "Q": revision}
        record.write(a_report("b-1-x-1", revision, counts={"advance": some_counts(**figures)}))
    many = CatchUp(state)
    many.add(record.publications)
    for _ in many.finish():
        pass
    history = state._history
    assert sum(map(len, history._changes.values())) <= 16
    growths = [len(bucket) for by_ballots in history._growths for bucket in by_ballots.values()]
    assert sum(growths) == len(history._buckets) <= 4 * len(BALLOTS)
    assert sum(map(len, history._open.values())) <= 64
    assert sum(map(len, history._of_unit.values())) <= 4


def test_the_falls_of_a_municipality_are_compared_with_a_bounded_number_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However often a unit withdraws what it reported, a feed has time for the reports of the others."""
    for bound, value in (("COMPARED_MAX", 3), ("COMPARISONS_MAX", 100), ("COMPARISONS_PER_CHANGE", 5)):
        monkeypatch.setattr(explanations, bound, value)
    compared = Counter[str]()

    def counted(owner: type, name: str) -> None:
        original = getattr(owner, name)

        def call(*given: Any) -> Any:
            compared[name] += 1
            return original(*given)

        monkeypatch.setattr(owner, name, call)

    night = Night()
    for revision in range(1, 301):
        if revision == 201:
            counted(History, "_distance")
            counted(Columns, "delta")
        night.report("b-1-x-1", 0, **dict.fromkeys("PQ", 1000 * (revision % 2)))
    of_themselves = 3 * 100
    assert compared["_distance"]
    assert compared.total() <= 100 + 5 * 100 + of_themselves
    assert night.explained("no") is None
    for minute in range(100, 110):
        night.report("b-1-x-1", minute, P=minute)
    for unit, minute, votes in (("1", 200, 800), ("2", 200, 50), ("2", 300, 450), ("1", 301, 400)):
        night.report(f"b-1-x-{unit}", minute, P=votes)
    assert night.explained("no") == ("moved", "b-1-x-2")


def test_an_election_with_a_single_party_has_falls_too() -> None:
    """No two parties can be exchanged there."""
    areas = [{name: value for name, value in area.items() if name != "parties"} for area in DOCUMENT["areas"]]
    registry = read_registry({**DOCUMENT, "areas": areas, "parties": DOCUMENT["parties"][:1]})
    state, record = ElectionState(registry), Record()
    for revision, votes in enumerate((900, 100), 1):
        state.apply(record.write(a_report("a-2", revision, counts={"advance": some_counts(P=votes)})))
    assert area_document(state, 0)["corrections"] == 1
