"""The oldest supported Postgres, if it is installed: schema, append, release, and the privileges of a feed."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.journal.administration import administration
from gateway.journal.connection import open_pool
from gateway.journal.embedded import EmbeddedPostgres
from gateway.journal.migrate import migrate
from gateway.journal.postgres import PostgresJournal
from gateway.journal.record import PublicRecord
from tests.journal.makers import a_registry, a_report, append, sequences

OLDEST = Path("/usr/lib/postgresql/15/bin")


@pytest.fixture
def oldest(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A server of the oldest supported version."""
    if not (OLDEST / "postgres").exists():
        pytest.skip(f"Postgres 15 is not installed ({OLDEST})")
    with EmbeddedPostgres(tmp_path / "data", durable=False, binaries=OLDEST) as postgres:
        yield postgres


async def test_the_oldest_supported_postgres_accepts_the_schema_and_reports(oldest: EmbeddedPostgres) -> None:
    """It migrates, recognizes duplicates, and shows the feed's role nothing before the release."""
    assert await migrate(oldest.url)
    assert await migrate(oldest.url) == []
    async with administration(oldest.url, "olga") as acts, open_pool(oldest.url) as pool:
        await acts.load_election(
            a_registry(publish_from=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
        )
        journal = PostgresJournal(pool)
        (found,) = await journal.versions()
        election = (await journal.election(found)).key
        assert sequences(await append(journal, election, 1, a_report(), a_report())) == [1, None]
        async with open_pool(oldest.feed_url, feed=True) as feed:
            record = PublicRecord(feed)
            assert await record.publications(election, 0, 9) == []
            await pool.execute("UPDATE embargo SET publish_from = clock_timestamp()")
            assert (await append(journal, election, 1)).released_at is not None
            assert [each.sequence for each in await record.publications(election, 0, 9)] == [1]
