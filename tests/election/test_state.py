"""The state is the fold of publications: compared with a model that keeps every report and sums them from scratch."""

from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.election.explanations import Placed, _Fall
from gateway.election.layout import UNKNOWN_MAX
from gateway.election.record import Publication
from gateway.election.state import CatchUp, Cursor, ElectionState, HistoryChanged
from gateway.wire.areas import area_document
from tests.counts import examples
from tests.election.makers import (
    BALLOTS,
    CATEGORIES,
    DOCUMENT,
    REASONS,
    REGISTRY,
    Record,
    a_report,
    above,
    counts_of,
    reports,
    some_counts,
)

Figures = dict[str, dict[str, Any]]


class Naive:
    """A simple model of an election: it keeps every report, and computes every sum from scratch from the document."""

    def __init__(self) -> None:
        self.parents = {entry["id"]: entry["parent"] for entry in DOCUMENT["areas"]}
        self.history: list[tuple[dict[str, Any], Any]] = []
        """Each report with its moment, in the order published."""

    def units(self, area: str) -> list[str]:
        return [unit for unit in BALLOTS if area in above(unit)]

    def present(self) -> dict[str, dict[str, Any]]:
        return {report["unit"]: report for report, _ in self.history}

    def sequence(self, area: str) -> int:
        """The sequence of the last publication at or below an area."""
        places = [n for n, (report, _) in enumerate(self.history, 1) if area in above(report["unit"])]
        return max(places, default=0)

    def counts(self, area: str) -> Figures:
        """The sums of an area: categories that some unit has counted, with every party on a ballot below."""
        present = self.present()
        units = [present[unit] for unit in self.units(area) if unit in present]
        ballot = {party for unit in self.units(area) for party in BALLOTS[unit]}
        sums: Figures = {}
        for category in CATEGORIES:
            counted = [report["counts"][category] for report in units if category in report["counts"]]
            if not counted:
                continue
            sums[category] = {
                **{name: sum(each[name] for each in counted) for name in ("ballots", "blank", "rejected")},
                "votes": {party: sum(each["votes"].get(party, 0) for each in counted) for party in ballot},
            }
            voters = [each["voters"] for each in counted if "voters" in each]
            if voters:
                sums[category]["voters"] = sum(voters)
        return sums

    def falls(self, area: str) -> list[dict[str, Any]]:
        """Every decrease of ballots or votes at or below an area."""
        before: dict[str, dict[str, Any]] = {}
        found = []
        for place, (report, at) in enumerate(self.history, 1):
            unit = report["unit"]
            old, new = _votes(before.get(unit)), _votes(report)
            if area in above(unit) and any(new.get(key, 0) < figure for key, figure in old.items()):
                change = sum(_ballots(report)) - sum(_ballots(before[unit]))
                found.append(
                    {"sequence": place, "at": at, "unit": unit, "reason": report.get("reason")}
                    | {"ballots": change, "before": before[unit]}
                )
            before[unit] = report
        return found


def _ballots(report: dict[str, Any]) -> list[int]:
    return [counts["ballots"] for counts in report["counts"].values()]


def _votes(report: dict[str, Any] | None) -> dict[tuple[str, str], int]:
    """All figures whose decrease is a correction."""
    found: dict[tuple[str, str], int] = {}
    for category, counts in report["counts"].items() if report is not None else ():
        found[category, " ballots"] = counts["ballots"]
        found |= {(category, party): votes for party, votes in counts["votes"].items()}
    return found


def check_area(state: ElectionState, naive: Naive, area: str) -> None:
    """Compare an area's document with the model."""
    document = area_document(state, REGISTRY.by_id[area].index)
    entry = next(entry for entry in DOCUMENT["areas"] if entry["id"] == area)
    sequence = naive.sequence(area)
    assert document["area"] == area
    assert document["parent"] == naive.parents[area]
    assert (document["level"], document["name"]) == (entry["level"], entry["name"])
    assert document["eligible"] == entry.get("eligible")
    assert document["sequence"] == sequence
    assert document["published_at"] == (naive.history[sequence - 1][1] if sequence else None)
    assert document["counts"] == naive.counts(area)

    present = naive.present()
    statuses = [present[unit]["status"] if unit in present else "no_report" for unit in naive.units(area)]
    by_status = {status: statuses.count(status) for status in statuses}
    reported = len(statuses) - by_status.get("no_report", 0)
    assert document["units"] == {"total": len(statuses), "reported": reported, "by_status": by_status}

    falls = naive.falls(area)
    if area in BALLOTS:
        report = present.get(area, {})
        assert [document[name] for name in ("revision", "counted_at", "status")] == [
            report.get("revision"), report.get("counted_at"), report.get("status")
        ]  # fmt: skip
        shown = _without_explanation(document["correction"])
        assert shown == (_unit_correction(falls[-1], area) if falls else None)
        assert "corrections" not in document
    else:
        last = falls[-1] if falls else None
        assert document["corrections"] == len(falls)
        assert _without_explanation(document["last_correction"]) == (
            last and {name: last[name] for name in ("sequence", "unit", "reason", "ballots")}
        )
        assert "status" not in document


def _without_explanation(correction: dict[str, Any] | None) -> dict[str, Any] | None:
    """What a report and the one before show; test_explanations.py is about the rest."""
    if correction is None:
        return None
    assert correction.keys() >= {"reason", "explained"}
    return {name: value for name, value in correction.items() if name != "explained"}


def _unit_correction(fall: dict[str, Any], unit: str) -> dict[str, Any]:
    previous = {
        category: {
            "ballots": counts["ballots"],
            "votes": {party: counts["votes"].get(party, 0) for party in BALLOTS[unit]},
        }
        for category, counts in fall["before"]["counts"].items()
    }
    return {"sequence": fall["sequence"], "at": fall["at"], "reason": fall["reason"], "previous": previous}


class StateMachine(RuleBasedStateMachine):
    """Random reports of random units; after each, every area is compared with the model."""

    def __init__(self) -> None:
        super().__init__()
        self.record = Record()
        self.state = ElectionState(REGISTRY)
        self.naive = Naive()

    def publish(self, report: dict[str, Any]) -> None:
        publication = self.record.write(report)
        self.state.apply(publication)
        self.naive.history.append((report, publication.published_at))

    def revision(self) -> int:
        return len(self.naive.history) + 1

    @rule(data=st.data())
    def report(self, data: st.DataObject) -> None:
        """Any unit reports any state, for the first time or again."""
        self.publish(data.draw(reports(revision=self.revision())))

    @precondition(lambda self: self.naive.history)
    @rule(data=st.data())
    def correct(self, data: st.DataObject) -> None:
        """A unit that has reported withdraws votes or a category, or moves them, with or without a reason."""
        unit, last = data.draw(st.sampled_from(sorted(self.naive.present().items())))
        counts = dict(last["counts"])
        if counts:
            category = data.draw(st.sampled_from(sorted(counts)))
            if data.draw(st.booleans()):
                del counts[category]
            else:
                counts[category] = data.draw(counts_of(BALLOTS[unit]))
        report = {**last, "revision": self.revision(), "counts": counts}
        report.pop("reason", None)
        if data.draw(st.booleans()):
            report["reason"] = data.draw(st.sampled_from(REASONS))
        self.publish(report)

    @precondition(lambda self: self.naive.history)
    @rule(data=st.data())
    def report_again(self, data: st.DataObject) -> None:
        """Equal figures under a new revision are an ordinary publication."""
        last = data.draw(st.sampled_from([report for report, _ in self.naive.history]))
        self.publish({**last, "revision": self.revision()})

    @rule(data=st.data())
    def hand_over_another_history(self, data: st.DataObject) -> None:
        """A gap, a repetition or a broken chain is not applied, and leaves no trace."""
        good = Record()
        good.publications = list(self.record.publications)
        good.chains = list(self.record.chains)
        following = good.write(a_report(revision=self.revision()))
        wrong: list[Publication] = [
            _with(following, sequence=following.sequence + 1),
            _with(following, sequence=0),
            _with(following, chain=bytes(32)),
            _with(following, digest=bytes(32)),
            *self.record.publications[-2:],
        ]
        with pytest.raises(HistoryChanged):
            self.state.apply(data.draw(st.sampled_from(wrong)))

    @invariant()
    def areas_are_the_sums_of_their_units(self) -> None:
        for area in self.naive.parents:
            check_area(self.state, self.naive, area)

    @invariant()
    def cursors_are_places_in_this_record(self) -> None:
        here = len(self.naive.history)
        prefixes = [int.from_bytes(chain[:4]) for chain in self.record.chains]
        assert self.state.cursor() == Cursor(here, prefixes[here])
        assert (self.state.sequence, self.state.chain) == (here, self.record.chains[-1])
        for sequence, prefix in enumerate(prefixes):
            assert self.state.contains(Cursor(sequence, prefix))
            assert not self.state.contains(Cursor(sequence, prefix ^ 1))
            assert self.state.prefix_at(sequence) == prefix
        assert not self.state.contains(Cursor(here + 1, prefixes[here]))
        assert self.state.prefix_at(here + 1) is None
        assert self.state.prefix_at(-1) is None

    @invariant()
    def what_changed_is_known_since_every_cursor(self) -> None:
        sequences = [self.naive.sequence(area.id) for area in REGISTRY.areas]
        for cursor in range(len(self.naive.history) + 1):
            changed = [index for index, sequence in enumerate(sequences) if sequence > cursor]
            for within in (range(len(sequences)), {0, 3, 5}, frozenset[int]()):
                assert self.state.changed_since(cursor, within) == [n for n in changed if n in within]


def _with(publication: Publication, **members: Any) -> Publication:
    values = {name: getattr(publication, name) for name in publication.__struct_fields__}
    return Publication(**values | members)


StateMachine.TestCase.settings = settings(
    deadline=None, max_examples=examples(80), stateful_step_count=15, report_multiple_bugs=False
)
TestState = StateMachine.TestCase


def a_state(*told: dict[str, Any]) -> ElectionState:
    record, state = Record(), ElectionState(REGISTRY)
    for report in told:
        state.apply(record.write(report))
    return state


def document_of(state: ElectionState, area: str) -> dict[str, Any]:
    return area_document(state, REGISTRY.by_id[area].index)


def test_an_area_without_reports_has_no_figures() -> None:
    """Every unit is `no_report`, and nothing is counted."""
    document = document_of(ElectionState(REGISTRY), "no")
    assert document["units"] == {"total": 6, "reported": 0, "by_status": {"no_report": 6}}
    assert (document["counts"], document["sequence"], document["published_at"]) == ({}, 0, None)
    assert (document["corrections"], document["last_correction"]) == (0, None)


def test_a_correction_is_shown_at_every_level() -> None:
    """The unit shows its previous figures; every area above shows which unit fell, by how much and why."""
    first = a_report("a-2", 1, counts={"advance": some_counts(P=7, Q=2)})
    state = a_state(
        first,
        a_report("a-2", 2, counts={"advance": some_counts(P=3, Q=2)}, reason="booking_error"),
        a_report("a-2", 3, counts={"advance": some_counts(P=4, Q=2)}),
    )
    unit, country = document_of(state, "a-2"), document_of(state, "no")
    assert unit["correction"]["sequence"] == 2
    assert unit["correction"]["reason"] == "booking_error"
    assert unit["correction"]["previous"] == {
        "advance": {"ballots": 10, "votes": {"P": 7, "Q": 2, "RØDT": 0}}
    }
    assert country["corrections"] == 1
    assert country["last_correction"] == {
        "sequence": 2,
        "unit": "a-2",
        "reason": "booking_error",
        "explained": None,
        "ballots": -4,
    }


def test_votes_that_move_between_parties_are_a_correction() -> None:
    """If one party loses what another gains, it is a correction by 0 ballots."""
    state = a_state(
        a_report("a-2", 1, counts={"advance": some_counts(P=7)}),
        a_report("a-2", 2, counts={"advance": some_counts(P=5, Q=2)}),
    )
    correction = document_of(state, "a")["last_correction"]
    assert _without_explanation(correction) == {"sequence": 2, "unit": "a-2", "reason": None, "ballots": 0}


def test_a_cursor_of_a_different_record_is_not_accepted() -> None:
    """A different first publication gives a different chain, and so different cursors."""
    one, other = a_state(a_report("a-2")), a_state(a_report("b-2"))
    assert one.cursor().sequence == other.cursor().sequence == 1
    assert not one.contains(other.cursor())
    assert one.contains(Cursor(0, 0))


# Many at once.


def whole(state: ElectionState) -> list[Any]:
    """All values of a state."""
    areas = [[getattr(area, name) for name in area.__slots__] for area in state.areas]
    position = [state.sequence, state.chain, state.published_at, list(state._recent), state._prefixes]
    corrections = state.corrections
    kept = [sorted(corrections._kept), corrections._explained, corrections.changed]
    return [areas, position, kept]


def remembered(state: ElectionState) -> list[Any]:
    """What a state has for explaining later falls: votes, not the statuses that its arrays may have too."""
    history, deltas = state._history, state.layout.columns.deltas

    def falls(by_place: dict[int, list[Any]]) -> dict[int, list[Any]]:
        members = [name for name in _Fall.__slots__ if name not in ("before", "net")]
        return {
            place: [([getattr(fall, name) for name in members], list(fall.net)) for fall in found]
            for place, found in by_place.items()
        }

    def placed(found: Iterable[Placed]) -> list[Any]:
        return [(each.number, each.unit, each.counted_at, deltas(each.before, each.after)) for each in found]

    changes = {municipality: placed(found) for municipality, found in history._changes.items()}
    growths = {
        (category, key): placed(found)
        for category, by_key in enumerate(history._growths)
        for key, found in by_key.items()
    }
    keys = {id(found): key for by_key in history._growths for key, found in by_key.items()}
    order = [keys[id(bucket)] for bucket in history._buckets]
    return [changes, growths, order, falls(history._of_unit), falls(history._open), history._comparisons]


def catch_up(state: ElectionState, *parts: Sequence[Publication]) -> None:
    many = CatchUp(state)
    for part in parts:
        many.add(part)
    for _ in many.finish():
        pass


@given(data=st.data())
@settings(deadline=None, max_examples=examples(200))
def test_catching_up_equals_applying_one_by_one(data: st.DataObject) -> None:
    """From any position, to any position, in any parts."""
    record, one_by_one, at_once = Record(), ElectionState(REGISTRY), ElectionState(REGISTRY)
    size = data.draw(st.integers(0, 25))
    for revision in range(1, size + 1):
        record.write(data.draw(reports(revision=revision)))
    cuts = sorted(data.draw(st.lists(st.integers(0, size), max_size=4)))
    several = data.draw(st.lists(st.booleans(), min_size=len(cuts) + 1, max_size=len(cuts) + 1))
    for first, last, many in zip([0, *cuts], [*cuts, size], several, strict=True):
        part = record.publications[first:last]
        for publication in part:
            one_by_one.apply(publication)
        if many:
            middle = data.draw(st.integers(0, len(part)))
            catch_up(at_once, part[:middle], part[middle:])
        else:
            for publication in part:
                at_once.apply(publication)
        assert whole(at_once) == whole(one_by_one)
        assert remembered(at_once) == remembered(one_by_one)


@given(data=st.data())
@settings(deadline=None, max_examples=examples(30))
def test_a_different_history_while_catching_up_leaves_no_trace(data: st.DataObject) -> None:
    """The publications before it can still be applied."""
    record = Record()
    for revision in range(1, 6):
        record.write(data.draw(reports(revision=revision)))
    state, expected = a_state(), a_state()
    many = CatchUp(state)
    good = data.draw(st.integers(0, 3))
    many.add(record.publications[:good])
    wrong = data.draw(
        st.sampled_from([_with(record.publications[good], chain=bytes(32)), record.publications[good + 1]])
    )
    with pytest.raises(HistoryChanged):
        many.add([wrong])
    assert whole(state) == whole(expected)
    assert many.sequence == good
    for _ in many.finish():
        pass
    for publication in record.publications[:good]:
        expected.apply(publication)
    assert whole(state) == whole(expected)


# A record of a newer version.


@st.composite
def newer(draw: st.DrawFn, report: dict[str, Any]) -> dict[str, Any]:
    """A report with some content of a newer version."""
    report = {**report, "counts": {category: dict(each) for category, each in report["counts"].items()}}
    added = draw(st.sets(st.sampled_from(["member", "count", "status", "reason", "category", "party"])))
    if "member" in added:
        report["source"] = {"system": "x"}
    if "status" in added:
        report["status"] = "audited"
    if "reason" in added:
        report["reason"] = "audit"
    for counts in report["counts"].values():
        if "count" in added:
            counts["spoilt"] = 3
        if "party" in added:
            counts["votes"] = {**counts["votes"], "new": draw(st.integers(0, 9))}
    if "category" in added:
        report["counts"]["postal"] = some_counts(new=draw(st.integers(0, 9)))
    return report


@given(data=st.data())
@settings(deadline=None, max_examples=examples(200))
def test_unknown_content_does_not_change_known_figures(data: st.DataObject) -> None:
    """Applied one by one and together, the figures are those of the reports without their unknown content."""
    known, record = Record(), Record()
    for revision in range(1, data.draw(st.integers(1, 12)) + 1):
        report = data.draw(reports(revision=revision))
        later = data.draw(newer(report))
        record.write(later)
        report = {**report, **{name: later[name] for name in ("status", "reason") if name in later}}
        if report["status"] == "audited":
            report["status"] = "unstated"
        if report.get("reason") == "audit":
            report["reason"] = "other"
        known.write(report)
    expected, one_by_one, at_once = (ElectionState(REGISTRY) for _ in range(3))
    for publication in known.publications:
        expected.apply(publication)
    for publication in record.publications:
        one_by_one.apply(publication)
    middle = data.draw(st.integers(0, len(record.publications)))
    catch_up(at_once, record.publications[:middle], record.publications[middle:])
    assert whole(one_by_one) == whole(at_once)
    documents = [
        [area_document(state, area.index) for area in REGISTRY.areas] for state in (expected, at_once)
    ]
    assert documents[0] == documents[1]
    assert at_once.chain == record.chains[-1]
    assert not expected.layout.unknown


def test_unknown_names_are_collected() -> None:
    """Each once, with its kind, up to a limit."""
    record, state = Record(), ElectionState(REGISTRY)
    counts = {"advance": {**some_counts(P=3, new=4), "spoilt": 1}, "postal": some_counts(P=1)}
    for revision in (1, 2):
        state.apply(
            record.write(
                a_report(revision=revision, status="audited", reason="audit", source="x", counts=counts)
            )
        )
    assert state.layout.unknown == {
        "member $.source",
        "member $.counts.advance.spoilt",
        "status audited",
        "reason audit",
        "category postal",
        "party new",
    }
    state.apply(record.write(a_report(revision=3, counts={f"c{each}": some_counts() for each in range(200)})))
    assert len(state.layout.unknown) == UNKNOWN_MAX
