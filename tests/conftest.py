"""What tests share: one private Postgres, a database each, and elections to try things on."""

import asyncio
import gc
import itertools
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, settings, strategies

from gateway.journal.embedded import EmbeddedPostgres
from gateway.journal.migrate import migrate
from gateway.rehearsal.generator import GeneratedElection, generate
from tests import measured
from tests.counts import EXTENT, examples
from tests.in_memory import directory_in_memory
from tests.loops import new_event_loop

RECORDED = Path(__file__).resolve().parents[2] / "shared" / "elections" / "no-storting-2025"
"""The recorded election, if it is available next to the checkout."""

# Whatever proxy the machine has, gateways of tests are reached directly.
for _name in ("no_proxy", "NO_PROXY"):
    os.environ[_name] = ",".join(filter(None, (os.environ.get(_name), "127.0.0.1", "localhost", "::1")))

if (in_memory := directory_in_memory()) is not None:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(in_memory))

_numbers = itertools.count(1)

# Neither an example nor its generation is too slow because the machine is busy: pytest limits the time of each test.
settings.register_profile(
    "counts",
    settings(max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.too_slow]),
)
settings.load_profile("counts")


def pytest_asyncio_loop_factories() -> dict[str, object]:
    """Run every test on the loop that the gateway runs on."""
    return {"uvloop": new_event_loop}


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Search for no garbage in what is imported and collected, which all stays: neither now nor in any test."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only `make long` runs, and start modules with long tests first, so that no worker is left alone
    with one at the end.
    """
    left_out = [
        each for each in items if EXTENT != "full" and each.get_closest_marker("full_only") is not None
    ]
    if left_out:
        items[:] = [each for each in items if each not in left_out]
        config.hook.pytest_deselected(items=left_out)
    long = {item.path for item in items if item.get_closest_marker("long") is not None}
    items.sort(key=lambda item: item.path not in long)


def pytest_collection_finish(session: pytest.Session) -> None:
    """With --collect-only, compute the characters that Hypothesis keeps in a file, which each worker does otherwise."""
    if session.config.option.collectonly:
        strategies.text().validate()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Distribute tests among workers with the scheduler of `tests.parallel`."""
    from tests.parallel import Scheduling

    return Scheduling(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: "pytest.CallInfo[None]") -> None:
    """Attach what a test measured to its report."""
    if call.when == "call":
        item.user_properties.extend(measured.take())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what tests measured, by section."""
    sections: dict[str, list[str]] = {}
    added: list[Any] = []
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "call":
                for name, value in report.user_properties:
                    if name == measured.PROPERTY:
                        sections.setdefault(value[0], []).append(value[1])
                    elif name == measured.SUM:
                        added.append(value)
    for section, line in measured.sums_of(added).items():
        sections.setdefault(section, []).append(line)
    for section, lines in sections.items():
        terminalreporter.section(f"{section}: what was measured")
        terminalreporter.write_line("\n".join(lines))


SETTINGS = {"max_connections": "200", "min_wal_size": "64MB", "wal_init_zero": "off"}
"""Of the server for tests of logic: many sessions, and little that is written without a need."""


class Database:
    """A migrated database for one test."""

    def __init__(self, url: str, feed_url: str, signer_url: str = "") -> None:
        self.url = url
        self.feed_url = feed_url
        self.signer_url = signer_url


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """One server for all tests of logic; without fsync, because none of them simulates a power failure."""
    directory = tmp_path_factory.mktemp("postgres")
    os.chmod(directory, 0o755)
    with EmbeddedPostgres(directory / "data", durable=False, settings=SETTINGS) as server:
        asyncio.run(_make_template(server))
        yield server


async def _make_template(server: EmbeddedPostgres) -> None:
    connection = await asyncpg.connect(server.url)
    await connection.execute("CREATE DATABASE template_valgnatt")
    await connection.close()
    await migrate(_named(server.url, "template_valgnatt"), dedicated=True)


def privileges_of(name: str) -> str:
    """Return statements that set the privileges of a copied database, which Postgres does not copy."""
    roles = "valgnatt_feed, valgnatt_signer"
    return f"REVOKE ALL ON DATABASE {name} FROM PUBLIC; GRANT CONNECT ON DATABASE {name} TO {roles}"


def _named(url: str, name: str) -> str:
    return url.replace("/valgnatt?", f"/{name}?")


@pytest.fixture
async def database(postgres: EmbeddedPostgres) -> AsyncIterator[Database]:
    """A migrated, empty database, dropped afterwards."""
    name = f"test_{next(_numbers)}"
    connection = await asyncpg.connect(postgres.url)
    await connection.execute(f"CREATE DATABASE {name} TEMPLATE template_valgnatt STRATEGY file_copy")
    await connection.execute(privileges_of(name))
    try:
        yield Database(*(_named(url, name) for url in (postgres.url, postgres.feed_url, postgres.signer_url)))
    finally:
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await connection.close()


@pytest.fixture(scope="session")
def small() -> GeneratedElection:
    """A complete generated election with some dozens of units, whose embargo has ended."""
    return generate(seed=7, scale=0.02)


@pytest.fixture(scope="session")
def recorded() -> Path:
    """The directory of the recorded election."""
    if not RECORDED.is_dir():
        pytest.skip("the recorded election is not available (../shared/elections)")
    return RECORDED
