"""The transfers of municipalities: how many reports, how late, and how many are not applied yet."""

import math
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.feed.transfers import Backlog, LagHistogram, Transfers
from gateway.wire.transfers import Percentiles, to_document
from tests.counts import examples
from tests.election.makers import REGISTRY, Record, a_report

AT = datetime(2025, 9, 8, 19, 0, tzinfo=UTC)


def histogram(*seconds: float) -> LagHistogram:
    lags = LagHistogram()
    for each in seconds:
        lags.add(each)
    return lags


@settings(deadline=None, max_examples=examples(200))
@given(
    st.lists(st.floats(0.0005, 7_000), min_size=1, max_size=60), st.sampled_from([0.01, 0.5, 0.9, 0.99, 1.0])
)
def test_a_percentile_is_at_most_a_quarter_too_high(durations: list[float], part: float) -> None:
    """It is never below the true one, except for rounding to a tenth of a millisecond."""
    true = sorted(durations)[math.ceil(part * len(durations)) - 1]
    found = histogram(*durations).percentile(part)
    assert found is not None
    assert true - 0.00006 <= found <= 1.25 * true + 0.00006


@settings(deadline=None, max_examples=examples(100))
@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=30))
def test_percentiles_rise_and_any_duration_can_be_counted(durations: list[float]) -> None:
    """Negative durations (two clocks) and very long ones are counted in the first and the last bucket."""
    lags = histogram(*durations)
    found = [lags.percentile(part) or 0.0 for part in (0.0, 0.1, 0.5, 0.9, 0.99, 1.0)]
    assert found == sorted(found)
    assert all(0.0005 <= each < 7_500 for each in found)


@pytest.mark.parametrize(
    ("durations", "half", "most"),
    [
        ([], None, None),
        ([-3.0], 0.0005, 0.0005),
        ([0.0], 0.0005, 0.0005),
        ([0.0005], 0.0005, 0.0005),
        ([0.0006, 0.0006], 0.0006, 0.0006),
        ([0.001] * 98 + [5.0, 5.0], 0.0012, 5.8775),
        ([1e9], 7418.4123, 7418.4123),
    ],
)
def test_percentiles_of_known_durations(
    durations: list[float], half: float | None, most: float | None
) -> None:
    """Without durations there is none."""
    lags = histogram(*durations)
    assert (lags.percentile(0.5), lags.percentile(0.99)) == (half, most)


def test_memory_does_not_grow_with_the_number_of_durations() -> None:
    """There are some dozens of buckets."""
    lags = LagHistogram()
    for number in range(100_000):
        lags.add(number / 10)
    assert len(lags._counts) < 60


def test_a_municipality_is_followed_from_push_to_reader() -> None:
    """Its published and unapplied reports, the last contact, and each stage's lag."""
    transfers, record = Transfers(REGISTRY), Record()
    first, second = (record.write(a_report(unit)) for unit in ("a-1-1", "a-1-1"))
    second = msgspec.structs.replace(second, received_at=AT - timedelta(seconds=2), accepted_at=AT)
    for publication in (first, second):
        transfers.applied([publication], [REGISTRY.units["a-1-1"].index], [1.0])
    transfers.written([first, second], second.published_at + timedelta(seconds=3))
    backlog = {"a-1": Backlog(5, AT + timedelta(seconds=5), AT + timedelta(seconds=8))}
    (transfer,) = transfers.documents(backlog, {"a-1": AT}, {}, AT + timedelta(seconds=9), only="a-1")
    document = to_document(transfer)
    lags = document.pop("lag_s")
    assert document == {
        "municipality": "a-1",
        "name": "A, 1",
        "units": 2,
        "reported": 1,
        "accepted": 5,
        "published": 2,
        "embargoed": 0,
        "held": 0,
        "oldest_held_s": None,
        "oldest_unpublished_s": 4.0,
        "last_accepted_at": AT + timedelta(seconds=8),
        "last_contact_at": AT,
    }
    assert [lags[stage]["p99"] for stage in ("receipt", "applied", "written")] == [
        pytest.approx(seconds, rel=0.25) for seconds in (2.25, 1.125, 4.5)
    ]


def test_history_does_not_count_as_lag() -> None:
    """Publications from before the feed started are in its state, but not in its lag; the lag of receipts is."""
    transfers, record = Transfers(REGISTRY), Record()
    publication = record.write(a_report("a-1-1"))
    publication = msgspec.structs.replace(publication, received_at=AT - timedelta(seconds=2), accepted_at=AT)
    transfers.applied([publication], [REGISTRY.units["a-1-1"].index], [None])
    (transfer,) = transfers.documents({}, {}, {}, AT + timedelta(hours=9), only="a-1")
    assert transfer.published == 1
    assert transfer.lag_s is not None
    assert transfer.lag_s.applied == transfer.lag_s.written == Percentiles(None, None)
    assert transfer.lag_s.receipt.p50 == pytest.approx(2.25, rel=0.25)


def test_the_time_for_which_a_report_was_held_is_no_lag() -> None:
    """Its receipt came before it was held; from its publication on it is like any other."""
    transfers = Transfers(REGISTRY)
    publication = msgspec.structs.replace(
        Record().write(a_report("a-1-1")), received_at=AT - timedelta(hours=2), accepted_at=AT, held_since=AT
    )
    transfers.applied([publication], [REGISTRY.units["a-1-1"].index], [1.0])
    (transfer,) = transfers.documents({}, {}, {}, AT, only="a-1")
    assert transfer.lag_s is not None
    assert transfer.lag_s.receipt == Percentiles(None, None)
    assert transfer.lag_s.applied.p50 == pytest.approx(1.125, rel=0.25)
    assert transfer.accepted == transfer.published == 1


def test_held_units_are_counted_by_municipality() -> None:
    """With the time since which the first of them has been held; by a clock that disagrees, not below 0."""
    held = {"a-1-1": AT - timedelta(minutes=4), "a-1-2": AT, "b-1-x-1": AT + timedelta(seconds=9)}
    found = {each.municipality: each for each in Transfers(REGISTRY).documents({}, {}, held, AT)}
    assert {name: (each.held, each.oldest_held_s) for name, each in found.items()} == {
        "a-1": (2, 240.0), "a-2": (0, None), "b": (0, None), "b-1": (1, 0.0)
    }  # fmt: skip


def test_every_municipality_is_shown() -> None:
    """Before the first report all of them are shown, in the order of the registry, without a backlog."""
    transfers = Transfers(REGISTRY)
    documents = transfers.documents({}, {}, {}, AT)
    assert {document.municipality: document.units for document in documents} == {
        "a-1": 2, "a-2": 1, "b": 1, "b-1": 2
    }  # fmt: skip
    assert [document.municipality for document in documents] == ["a-2", "b", "a-1", "b-1"]
    assert all(document.accepted == document.published == 0 for document in documents)
    assert all(document.oldest_unpublished_s is None for document in documents)
    assert transfers.municipality_of("b-1-x-1") == "b-1"
    assert "b-1" in transfers
    assert "b-1-x" not in transfers


def test_clocks_that_disagree_give_no_negative_age() -> None:
    """A publication from the future has the age 0."""
    backlog = {"b": Backlog(1, AT + timedelta(seconds=5), AT)}
    (transfer,) = Transfers(REGISTRY).documents(backlog, {}, {}, AT, only="b")
    assert transfer.oldest_unpublished_s == 0.0
