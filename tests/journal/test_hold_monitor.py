"""What the metrics of push processes say of holds, and that feed processes have no such metrics."""

from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import generate_latest

from gateway.journal import hold_monitor
from gateway.journal.administration import Administration
from gateway.journal.hold_monitor import HoldMonitor
from gateway.journal.postgres import PostgresJournal
from gateway.journal.session import Connection
from gateway.telemetry.hold_metrics import STATES, ElectionHolds
from gateway.telemetry.metrics import FeedMetrics, PushMetrics
from gateway.telemetry.metrics_merge import merge_metrics
from tests.conftest import Database
from tests.journal.holding import RULE, decide, hold
from tests.journal.makers import a_registry, a_report

TIMEOUT_S = 30.0


@pytest.fixture
def database(shared_database: Database) -> Database:
    """The test has its own election, and needs nothing more."""
    return shared_database


async def test_open_holds_and_all_that_began_or_ended_are_counted(
    acts: Administration, journal: PostgresJournal, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in slices, and continued from what was counted before."""
    ends = datetime.now(UTC) + timedelta(hours=1)
    identifier = await acts.load_election(a_registry(publish_from=ends.isoformat()))
    election = (await journal.election(identifier)).key
    monitor = HoldMonitor()

    async def found(after_s: float = 60.0) -> ElectionHolds:
        await monitor.collect(owner, TIMEOUT_S)
        return monitor.holds(datetime.now(UTC) + timedelta(seconds=after_s))[identifier]

    before = await found()
    assert (before.open, before.totals, before.oldest_s) == ({}, {}, 0.0)
    assert before.embargo_end == pytest.approx(ends.timestamp(), abs=1)

    await hold(owner, election, a_report("a-1", 1), a_report("a-2", 1))
    began = await found()
    assert (began.open, began.totals) == ({RULE: 2}, {(RULE, "held"): 2})
    assert 60 <= began.oldest_s < 120

    await hold(owner, election, a_report("a-1", 2), rule="fell")
    await decide(owner, election, a_report("a-1", 2), release=True)
    await decide(owner, election, a_report("a-2", 1), release=False)
    monkeypatch.setattr(hold_monitor, "LINES_MAX", 3)
    first = await found()
    assert (first.open, sum(first.totals.values())) == ({}, 5)
    monkeypatch.undo()
    ended = await found()
    assert ended.oldest_s == 0.0
    assert ended.totals == {
        (RULE, "held"): 2,
        (RULE, "superseded"): 1,
        (RULE, "rejected"): 1,
        ("fell", "held"): 1,
        ("fell", "released"): 1,
    }

    await acts.close_election(identifier)
    await monitor.collect(owner, TIMEOUT_S)
    assert identifier not in monitor.holds(ends)


def test_each_push_process_reports_the_holds_of_the_journal() -> None:
    """With a value for every rule and state, so that Prometheus sees the first; by process, and so not added up."""
    metrics = PushMetrics()
    holds = ElectionHolds({"fell": 2}, {("fell", "held"): 3}, 61.0, 1_000.0)
    metrics.holds.elections = {"e": holds, "open": ElectionHolds({}, {}, 0.0, None)}
    metrics.rules.know(["e", "gone"])
    metrics.rules.know(["e"])
    metrics.rules.failed("e", "fell")
    text = generate_latest(metrics.registry).decode()
    merged = merge_metrics([("push-0", text), ("push-1", text)]).splitlines()
    for process in ("push-0", "push-1"):
        for name, labels, value in (
            ("holds_open", 'rule="fell"', 2.0),
            ("holds_open", 'rule="exchanged"', 0.0),
            ("holds_total", 'rule="fell",state="held"', 3.0),
            *(("holds_total", f'rule="odd_time",state="{state}"', 0.0) for state in STATES),
            ("rules_failed_total", 'rule="fell"', 1.0),
            ("holds_limited_total", 'rule="fell"', 0.0),
        ):
            assert f'valgnatt_{name}{{process="{process}",election="e",{labels}}} {value}' in merged
        assert f'valgnatt_hold_oldest_seconds{{process="{process}",election="e"}} 61.0' in merged
    assert sum("embargo_end_timestamp_seconds{" in line for line in merged) == 2
    assert not any('"gone"' in line for line in merged)


def test_a_feed_process_has_no_metric_of_holds_or_rules() -> None:
    """The number of held reports under embargo is not public."""
    text = generate_latest(FeedMetrics().registry).decode()
    assert "hold" not in text
    assert "rule" not in text
