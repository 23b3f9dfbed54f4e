"""What a person is shown while reports wait."""

from itertools import pairwise

from gateway.client.failures import Failure
from gateway.client.push_events import Connected, Event, Postponed, Working
from gateway.client.push_notices import AGAIN_MOST_S, PushNotices

URL = "http://gateway.example:8081"
REFUSED = Failure("refused", "connection refused")
OUTAGE = Failure("unavailable", "answered 503", status=503)


class Watched:
    """Notices, looked at four times a second."""

    def __init__(self) -> None:
        self.notices = PushNotices(URL)
        self.now = 0.0
        self.lines: list[tuple[float, str]] = []

    def pass_time(self, seconds: float, waiting: int, *events: Event) -> None:
        for event in events:
            self.notices.on_event(event)
        for _ in range(int(seconds * 4)):
            if (line := self.notices.due(self.now, waiting)) is not None:
                self.lines.append((self.now, line))
            self.now += 0.25


def test_nothing_is_shown_while_reports_are_answered() -> None:
    seen = Watched()
    for waiting in range(100, -1, -1):
        seen.pass_time(0.5, waiting, Working())
    assert seen.lines == []


def test_nothing_is_shown_while_no_report_waits() -> None:
    seen = Watched()
    seen.pass_time(100, 0, REFUSED)
    assert seen.lines == []


def test_a_failure_is_shown_soon_and_again_at_growing_intervals() -> None:
    """With the number of reports that wait; never more often than after ten seconds, nor less than each minute."""
    seen = Watched()
    for _ in range(1200):
        seen.pass_time(0.25, 3, REFUSED)
    assert {line for _, line in seen.lines} == {"connection refused; 3 reports waiting, trying again"}
    times = [at for at, _ in seen.lines]
    assert times[0] <= 1.0
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert gaps[:4] == [10.0, 20.0, 40.0, 60.0]
    assert max(gaps) == AGAIN_MOST_S


def test_another_failure_is_shown_before_its_turn() -> None:
    seen = Watched()
    seen.pass_time(2, 1, REFUSED)
    seen.pass_time(8, 1, OUTAGE)
    assert [line.partition(";")[0] for _, line in seen.lines] == ["connection refused", "answered 503"]


def test_silence_is_shown_within_three_seconds() -> None:
    """Of a connection that is open, and of one that cannot be established."""
    for events in ((), (Connected(),)):
        seen = Watched()
        seen.pass_time(4, 1, *events)
        assert seen.lines == [(3.0, f"{URL}: no answer for 3 s; 1 report waiting, trying again")]


def test_a_gateway_that_asks_to_wait_is_quoted() -> None:
    seen = Watched()
    seen.pass_time(4, 2, Connected(), Postponed("journal_unavailable"))
    ((_, line),) = seen.lines
    assert "send again later (journal unavailable)" in line


def test_recovery_is_shown_once_and_only_after_a_failure_was() -> None:
    seen = Watched()
    seen.pass_time(2, 5, REFUSED)
    seen.pass_time(1, 4, Connected(), Working())
    seen.pass_time(1, 3, Working())
    seen.pass_time(1, 0)
    assert [line for _, line in seen.lines][1:] == ["Reports are answered again; 4 reports waiting."]
    quick = Watched()
    quick.pass_time(0.5, 5, REFUSED)
    quick.pass_time(1, 4, Working())
    assert quick.lines == []


def test_sending_over_http_is_shown_once() -> None:
    """With its reason, also if everything is sent at once."""
    seen = Watched()
    stripped = Failure("problem", "the upgrade was removed", status=426, problem="upgrade_required")
    for _ in range(3):
        seen.pass_time(1, 0, Working(stripped))
    assert seen.lines == [
        (0.0, "No WebSocket (the upgrade was removed); the reports are sent over HTTP instead.")
    ]
