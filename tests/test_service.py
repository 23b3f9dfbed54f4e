"""What a worker needs from its machine before it serves."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from gateway.config import Config, ConfigError
from gateway.journal.embedded import Running, find
from gateway.machine.serve import serve
from tests.counts import full_only
from tests.faults.servers import require_binaries
from tests.fork_server import Command

LOOK = """
import resource
from gateway.service import raise_open_file_limit
raise_open_file_limit()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_a_worker_raises_its_limit_of_open_files() -> None:
    """Each connection needs one, and the soft limit of a shell is often 1024."""

    def shell() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 4096))

    found = subprocess.run(
        [sys.executable, "-c", LOOK], preexec_fn=shell, capture_output=True, check=True, text=True, timeout=60
    )
    assert found.stdout.split() == ["4096", "4096"]


async def test_a_standby_cannot_be_required_of_the_embedded_postgres(tmp_path: Path) -> None:
    """It has none, so no report would ever get a receipt; the option is named."""
    with pytest.raises(ConfigError, match=r"require_standby: .*database_url"):
        await serve(Config(data_dir=tmp_path, require_standby=True))


@full_only
@pytest.mark.long
@pytest.mark.timeout(90)
async def test_a_feed_login_that_locked_itself_out_of_the_embedded_postgres_is_back_at_the_next_start(
    tmp_path: Path,
) -> None:
    """Any login may change its own password and settings; its limit of temporary files is in force again too."""
    require_binaries()
    os.chmod(tmp_path, 0o755)
    with embedded(tmp_path / "data") as running:
        reader = await asyncpg.connect(running.feed_url)
        await reader.execute("ALTER ROLE CURRENT_USER SET local_preload_libraries = '$libdir/plugins/none'")
        await reader.execute("ALTER ROLE CURRENT_USER PASSWORD 'another'")
        await reader.close()
        with pytest.raises(asyncpg.PostgresError):
            await asyncpg.connect(running.feed_url)
    with embedded(tmp_path / "data") as running:
        reader = await asyncpg.connect(running.feed_url)
        assert await reader.fetchval("SHOW temp_file_limit") == "256MB"
        await reader.close()


@contextmanager
def embedded(data_dir: Path) -> Iterator[Running]:
    """Run `valgnatt serve` with an embedded Postgres."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("VALGNATT_")}
    environ |= {f"VALGNATT_{door}_PORT": "0" for door in ("PUSH", "FEED", "ADMIN")}
    arguments = "serve", "--data-dir", data_dir, "--log-format", "json"
    with Command(*arguments, environ=environ, stdout=subprocess.DEVNULL) as process:
        assert process.stderr is not None
        try:
            lines = []
            while '"started"' not in (line := process.stderr.readline()):
                lines.append(line)
                assert line, "".join(lines)
            running = find(data_dir)
            assert running is not None
            yield running
        finally:
            process.terminate()
            process.communicate(timeout=60)
    assert process.returncode == 0
