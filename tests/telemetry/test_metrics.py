"""Metrics: correct values after a known election, and nothing confidential."""

import asyncio
import math
import os
import re
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from prometheus_client import CollectorRegistry

from gateway.config import Config
from gateway.feed.transfers import Backlog, Transfers
from gateway.journal.connection import open_pool
from gateway.journal.database_monitor import DatabaseMonitor, EmbargoedReports
from gateway.rehearsal.generator import GeneratedElection
from gateway.telemetry.metrics import (
    CODES_MAX,
    LAG_BUCKETS,
    ByElection,
    Codes,
    DatabaseMetrics,
    Durations,
    ProcessMetrics,
    sample_loop_lag,
)
from tests.conftest import Database
from tests.small_night import SmallNight, a_small_night
from tests.web.doors import ask, until

pytestmark = [pytest.mark.long, pytest.mark.timeout(180)]

LABELS = {
    "process": r"supervisor|signer-0|(push|feed)-\d+",
    "outcome": "accepted|duplicate|refused|retry",
    "code": "[a-z_]+",
    "reason": "full|address|head|handshakes|files|unread|stalled|input",
    "state": "busy|idle|held|released|rejected|superseded",
    "rule": "[a-z_]+",
    "door": "push|feed",
    "election": r"e\d+",
    "le": r"[\d.]+(e-05)?|\+Inf",
    "version": r"[\w.]+",
}
"""All labels, and the pattern of their values."""


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory, small: GeneratedElection) -> Iterator[SmallNight]:
    with a_small_night(tmp_path_factory.mktemp("night"), small) as night:
        yield night


def test_every_report_is_counted_once_where_it_is_decided(night: SmallNight) -> None:
    """Accepted, duplicate, refused and why; whichever way it came in."""
    committed = night.ACCEPTED + night.EMBARGOED
    assert night.value("valgnatt_accepted_reports_total") == committed
    assert night.value("valgnatt_answers_total", outcome="accepted") == committed
    assert night.value("valgnatt_answers_total", outcome="duplicate") == night.DUPLICATES
    assert night.value("valgnatt_answers_total", outcome="refused") == 3
    for code in ("invalid_report", "revision_conflict", "unit_forbidden"):
        assert night.value("valgnatt_refused_total", code=code) == 1
    assert night.value("valgnatt_problems_total", process="push-0", code="token_invalid") == 1
    assert night.value("valgnatt_batch_reports_sum") >= committed + night.DUPLICATES
    assert night.value("valgnatt_receipt_seconds_count") == committed + night.DUPLICATES
    assert night.value("valgnatt_waiting_reports") == night.value("valgnatt_waiting_oldest_seconds") == 0
    assert night.value("valgnatt_waiting_reports_max") > 0


def test_accepted_reports_are_counted_as_published_and_delivered(night: SmallNight) -> None:
    """By the feed, whose only reader follows everything."""
    for name in ("valgnatt_publications_applied_total", "valgnatt_publications_delivered_total"):
        assert night.value(name) == night.ACCEPTED
    for stage in ("applied", "written", "through"):
        assert night.value(f"valgnatt_{stage}_seconds_count") == night.ACCEPTED
        assert 0 < night.value(f"valgnatt_{stage}_seconds_sum") < night.ACCEPTED * 5
    through, applied = (night.value(f"valgnatt_{name}_seconds_sum") for name in ("through", "applied"))
    assert through > applied
    assert night.value("valgnatt_sequence", election=night.open) == night.ACCEPTED
    assert night.value("valgnatt_unpublished_reports", election=night.open) == 0
    assert night.value("valgnatt_unpublished_oldest_seconds", process="feed-0", election=night.open) == 0
    assert night.value("valgnatt_readers") == night.value("valgnatt_channels") == 1
    assert night.value("valgnatt_publication_readers") == night.value("valgnatt_slow_readers") == 0
    assert night.value("valgnatt_readers_max") == Config().readers_max
    assert night.value("valgnatt_feed_bytes_total") > 1000
    assert night.value("valgnatt_record_unread_seconds") < 5


def test_embargoed_reports_are_counted_separately_and_are_not_late(night: SmallNight) -> None:
    """And feeds do not have them."""
    assert night.value("valgnatt_embargoed_reports", election=night.embargoed) == night.EMBARGOED
    assert 0 < night.value("valgnatt_embargoed_oldest_seconds", election=night.embargoed) < 60
    late = {
        (each.labels["process"], each.labels["election"]): each.value
        for each in night.samples
        if each.name == "valgnatt_unpublished_oldest_seconds"
    }
    assert late["push-0", night.embargoed] == 0
    assert night.value("valgnatt_sequence", election=night.embargoed) == 0
    of_feeds = [each for each in night.samples if each.labels.get("process") == "feed-0"]
    assert sum(each.value for each in of_feeds if each.labels.get("election") == night.embargoed) == 0


def test_the_machine_and_its_database_are_seen(night: SmallNight) -> None:
    """Each process, the disk, Postgres as both roles see it, and when the certificate ends.

    A feed's login learns nothing of the sizes and statistics of a server of our own.
    """
    for process in ("push-0", "feed-0"):
        assert night.value("valgnatt_database_up", process=process) == 1
        seen = process == "push-0"
        assert (night.value("valgnatt_database_size_bytes", process=process) > 1_000_000) is seen
        assert abs(night.value("valgnatt_database_clock_ahead_seconds", process=process)) < 1
        assert 0 < night.value("valgnatt_database_answer_seconds", process=process) < 3
        assert (night.value("valgnatt_database_sessions", process=process) >= 4) is seen
        assert night.value("valgnatt_database_sessions_max", process=process) == 100
        for name in ("standbys_wanted", "in_recovery"):
            assert night.value(f"valgnatt_database_{name}", process=process) == 0
        for name in ("standbys", "standbys_synchronous", "replication_lag_seconds"):
            assert (night.value(f"valgnatt_database_{name}", process=process) == 0) is seen
        assert night.value("valgnatt_database_connections_max", process=process) == 8
        assert night.value("valgnatt_notifications_total", process=process) >= 1
    for process in ("push-0", "feed-0", "supervisor"):
        assert night.value("process_resident_memory_bytes", process=process) > 10_000_000
        assert night.value("valgnatt_loop_lag_seconds_count", process=process) > 1
    assert night.value("valgnatt_disk_size_bytes") >= night.value("valgnatt_disk_free_bytes") > 0
    left_s = night.value("valgnatt_certificate_end_timestamp_seconds", door="feed") - time.time()
    assert 4 * 86_400 < left_s < 5 * 86_400
    assert (
        night.value("valgnatt_door_ready", door="push")
        == night.value("valgnatt_door_ready", door="feed")
        == 1
    )
    assert night.value("valgnatt_build_info") == 1
    assert night.value("valgnatt_journal_available") == 1


def test_labels_are_bounded_and_contain_no_names(night: SmallNight) -> None:
    """No token, no area, no address: only elections, and words of the program."""
    for sample in night.samples:
        for name, value in sample.labels.items():
            assert re.fullmatch(LABELS[name], value), sample
    for secret in night.secrets:
        assert secret not in night.text
    assert "127.0.0.1" not in night.text
    assert len(night.samples) < 1000


def test_metrics_are_only_served_to_this_machine_by_default() -> None:
    """They include embargoed reports, and the public doors do not serve them."""
    assert Config().admin_host == "127.0.0.1"


async def test_a_restarted_feed_counts_no_old_publication_as_late(night: SmallNight) -> None:
    """A restarted process applies the whole record; this does not count as lag."""
    gateway = night.gateway
    health = await _health(gateway.admin_url)
    os.kill(health["workers"]["feed-0"]["pid"], signal.SIGKILL)

    async def back() -> bool:
        samples = await gateway.metrics()
        applied = samples.get('valgnatt_publications_applied_total{process="feed-0"}')
        restarts = samples['valgnatt_worker_restarts_total{process="feed-0"}']
        return (applied, restarts) == (night.ACCEPTED, 1)

    await until(back)
    samples = await gateway.metrics()
    for stage in ("applied", "written", "through"):
        assert samples[f'valgnatt_{stage}_seconds_count{{process="feed-0"}}'] == 0
    gateway.log.clear()  # that it was killed is an error that was asked for


async def _health(admin_url: str) -> dict[str, dict[str, dict[str, int]]]:
    import aiohttp

    async with aiohttp.ClientSession() as http:
        document: dict[str, dict[str, dict[str, int]]] = orjson.loads(
            (await ask(http, "GET", f"{admin_url}/health/ready")).body
        )
    return document


# How late a count is.


def test_a_count_is_late_from_the_end_of_its_embargo(small: GeneratedElection) -> None:
    """Before it, it is embargoed, which is another metric."""
    accepted_at = datetime(2025, 9, 8, 20, 30, tzinfo=UTC)
    opens = accepted_at + timedelta(minutes=30)
    held = EmbargoedReports(publish_from=opens, accepted=7, oldest_accepted_at=accepted_at)
    assert (held.overdue_s(opens), held.embargoed_s(opens)) == (0, 1800)
    assert held.overdue_s(opens + timedelta(seconds=4)) == 4
    after = EmbargoedReports(
        publish_from=accepted_at - timedelta(hours=1), accepted=1, oldest_accepted_at=accepted_at
    )
    assert after.overdue_s(accepted_at + timedelta(seconds=2)) == 2
    empty = EmbargoedReports(publish_from=accepted_at, accepted=0, oldest_accepted_at=None)
    assert empty.overdue_s(opens) == empty.embargoed_s(opens) == 0


def test_the_age_of_unapplied_reports_grows_until_they_are_applied(small: GeneratedElection) -> None:
    """It grows between collections, and publications applied since the last one no longer count."""
    from gateway.election.registry_reading import read_registry

    transfers = Transfers(read_registry(small.registry))
    municipality = transfers.municipality_of(next(iter(read_registry(small.registry).units)))
    published_at = datetime(2025, 9, 8, 21, tzinfo=UTC)
    now = published_at + timedelta(seconds=9)
    assert transfers.unpublished({}, now) == (0, 0.0)
    assert transfers.unpublished({municipality: Backlog(3, published_at, published_at)}, now) == (3, 9.0)
    assert transfers.unpublished({municipality: Backlog(0, published_at, published_at)}, now) == (0, 0.0)


# The database that does not answer.


async def test_a_database_that_does_not_answer_is_down_and_otherwise_unknown(database: Database) -> None:
    """A figure of before would be taken for one of now."""
    metrics = DatabaseMetrics(CollectorRegistry())
    async with open_pool(database.url, max_size=1) as pool:
        await _looked_once(DatabaseMonitor(pool, metrics, embargoed=True), metrics, up=1)
        assert metrics.facts["size"]._value.get() > 0
    nowhere = database.url.replace("host=", "host=/nowhere")
    async with open_pool(nowhere, max_size=1) as pool:
        await _looked_once(DatabaseMonitor(pool, metrics, embargoed=True), metrics, up=0)
    assert all(math.isnan(gauge._value.get()) for gauge in metrics.facts.values())


async def test_values_that_a_user_may_not_see_are_unknown(database: Database) -> None:
    """Of a server of our own a feed's login learns little: that it answers, its time, and whether it is a replica."""
    metrics = DatabaseMetrics(CollectorRegistry())
    async with open_pool(database.feed_url, feed=True, max_size=1) as pool:
        await _looked_once(DatabaseMonitor(pool, metrics, embargoed=False), metrics, up=1)
    for name in ("size", "sessions", "standbys", "replication_lag_s"):
        assert math.isnan(metrics.facts[name]._value.get())
    assert metrics.facts["in_recovery"]._value.get() == 0
    assert metrics.facts["sessions_max"]._value.get() > 0


async def _looked_once(watch: DatabaseMonitor, metrics: DatabaseMetrics, *, up: int) -> None:
    metrics.up.set(-1)
    looking = asyncio.ensure_future(watch.run())

    async def looked() -> bool:
        return bool(metrics.up._value.get() == up)

    await until(looked)
    looking.cancel()


# The parts.


def test_durations_are_valid_prometheus_histograms() -> None:
    """Each bucket with all below, its bound included."""
    registry = CollectorRegistry()
    durations = Durations("x_seconds", "X.", registry)
    for seconds, times in ((-1.0, 2), (0.001, 1), (0.0011, 3), (60.0, 1), (61.0, 1)):
        durations.observe(seconds, times)

    def found(le: str) -> float | None:
        return registry.get_sample_value("x_seconds_bucket", {"le": le})

    assert [found(le) for le in ("0.001", "0.0025", "10.0", "60.0", "+Inf")] == [3, 6, 6, 7, 8]
    assert registry.get_sample_value("x_seconds_count") == 8
    assert registry.get_sample_value("x_seconds_sum") == pytest.approx(121.0043)
    assert len(LAG_BUCKETS) == len(set(LAG_BUCKETS))


def test_codes_are_bounded_whatever_they_are() -> None:
    """More of them than there can be are one."""
    registry = CollectorRegistry()
    codes = Codes("x", "X.", registry)
    for number in range(3 * CODES_MAX):
        codes.note(f"code_{number}")
    (family,) = registry.collect()
    assert len(family.samples) == CODES_MAX + 1
    assert registry.get_sample_value("x_total", {"code": "other"}) == 2 * CODES_MAX


def test_a_removed_election_has_no_metric() -> None:
    """Otherwise its last value would remain."""
    registry = CollectorRegistry()
    gauge = ByElection("x", "X.", registry)
    gauge.set({"a": 1.0, "b": 2.0})
    gauge.set({"b": 3.0})
    (family,) = registry.collect()
    assert [(sample.labels["election"], sample.value) for sample in family.samples] == [("b", 3.0)]


async def test_a_blocked_event_loop_shows_in_its_lag() -> None:
    """By as much as it was."""
    metrics = ProcessMetrics()
    feeling = asyncio.ensure_future(sample_loop_lag(metrics.loop_lag))
    await asyncio.sleep(0)
    time.sleep(0.4)  # noqa: ASYNC251 - that is what is felt

    async def felt() -> bool:
        return (metrics.registry.get_sample_value("valgnatt_loop_lag_seconds_sum") or 0.0) >= 0.25

    await until(felt)
    feeling.cancel()
