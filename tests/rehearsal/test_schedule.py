"""When each report of a recorded night is pushed in a replay."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from gateway.rehearsal.schedule import as_fast_as_possible, at_speed, within

OPENS = datetime(2025, 9, 8, 19, 0, tzinfo=UTC)
minutes = st.lists(st.integers(-2000, 14_000), min_size=1, max_size=60)


def _times(offsets: list[int]) -> list[datetime]:
    return [OPENS + timedelta(minutes=offset) for offset in offsets]


@given(minutes)
def test_no_schedule_turns_two_reports_round(offsets: list[int]) -> None:
    """A report that was counted later is never due earlier."""
    times = sorted(_times(offsets))
    for schedule in (at_speed(times, OPENS, 60.0), within(times, OPENS, 50.0), as_fast_as_possible(times)):
        due = [schedule.offset_s(time) for time in times]
        assert due == sorted(due)
        assert all(offset >= 0 for offset in due)


@given(minutes)
def test_the_embargo_ends_between_the_reports_before_and_after_it(offsets: list[int]) -> None:
    """With a fixed length as with a speed, the release keeps its place among the reports."""
    times = _times(offsets)
    for schedule in (at_speed(times, OPENS, 60.0), within(times, OPENS, 50.0)):
        for time in times:
            due = schedule.offset_s(time)
            assert due <= schedule.publish_s + 1e-6 if time < OPENS else due >= schedule.publish_s - 1e-6


def test_a_speed_of_sixty_makes_an_hour_a_minute() -> None:
    """The plainest schedule keeps the recording's proportions."""
    schedule = at_speed(_times([0, 60, 90]), OPENS, 60.0)
    assert [schedule.offset_s(time) for time in _times([0, 60, 75, 90])] == [0.0, 60.0, 75.0, 90.0]


def test_a_stage_ends_when_it_should() -> None:
    """The last report is due within the stage."""
    schedule = within(_times([-60, 0, 10, 600, 5000]), OPENS, 40.0)
    assert schedule.publish_s == 10.0
    assert schedule.offset_s(_times([5000])[0]) <= 40.0
