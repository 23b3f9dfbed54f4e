"""Observe an installation from outside: its processes through /proc, its database by queries, its files by their sizes.

Names of what is observed have the form `kind/name`; `bench.soak.series` says what each kind may do over time.
"""

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg

from bench.load.processes import TICKS, cpu_s, family, resident_kb, started_at
from bench.soak.installation import Installation, workers

ROLLUP_FIELDS = ("Private_Clean:", "Private_Dirty:")
QUERY_S = 20.0

_RELATIONS = """
SELECT coalesce(root.relname, c.relname) AS name,
    sum(pg_table_size(c.oid)) AS data, sum(pg_indexes_size(c.oid)) AS indexes,
    sum(coalesce(s.n_dead_tup, 0)) AS dead, count(*) AS relations
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_inherits i ON i.inhrelid = c.oid LEFT JOIN pg_class root ON root.oid = i.inhparent
    LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid
WHERE n.nspname = 'valgnatt' AND c.relkind IN ('r', 'p')
GROUP BY 1
"""
"""Size of each table with all its partitions, and of its indexes."""

_DATABASE = """
SELECT pg_database_size(current_database()) AS database,
    (SELECT sum(size) FROM pg_ls_waldir()) AS wal,
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,
    (SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'pg_catalog' AND c.relkind = 'r') AS catalog,
    (SELECT coalesce(max(age(backend_xmin)), 0) FROM pg_stat_activity) AS oldest_snapshot,
    (SELECT sum(h.accepted) FROM valgnatt.head h) AS reports,
    (SELECT count(*) FROM valgnatt.election) AS elections,
    pg_current_wal_lsn() - '0/0'::pg_lsn AS written
"""


class Observer:
    """Observes one installation, and processes of the load."""

    def __init__(self, installed: Installation, began: float) -> None:
        self.load: dict[str, int] = {"controller": os.getpid()}
        """Processes of the load: name → process id."""
        self.counts: dict[str, float] = {
            "reports": 0.0,
            "elections": 0.0,
            "restarts": 0.0,
            "hours": 0.0,
        }
        """What the load has added, by the database."""
        self.restarts = 0
        self._installed = installed
        self._began = began
        self._boot_offset = time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
        self._cpu: dict[tuple[str, int], tuple[float, float]] = {}
        """CPU seconds of each process at the last sample, and when that was."""
        self._connection: asyncpg.Connection[Any] | None = None

    async def observe(self, session: aiohttp.ClientSession) -> tuple[dict[str, float], dict[str, float]]:
        """Return what is measured now, and when each process started. What does not answer is left out."""
        values: dict[str, float] = {}
        started: dict[str, float] = {}
        try:
            found = await workers(self._installed.local, session)
            pids = {name: state["pid"] for name, state in found.items() if state["pid"] is not None}
            self.restarts = sum(state["restarts"] for state in found.values())
            async with session.get(f"{self._installed.local.admin_url}/metrics") as answer:
                text = await answer.read()
                values["metrics/bytes"] = len(text)
                values["metrics/lines"] = text.count(b"\n")
        except (aiohttp.ClientError, TimeoutError, OSError):
            pids = {}
        pids["supervisor"] = self._installed.process.pid
        pids |= {f"load: {name}": pid for name, pid in self.load.items()}
        for name, pid in pids.items():
            self._note_process(values, started, name, pid)
        self._note_postgres(values, started)
        try:
            async with asyncio.timeout(QUERY_S):
                await self._note_database(values)
        except (asyncpg.PostgresError, OSError, TimeoutError):
            self._connection = None
        directory = self._installed.directory
        values["log/gateway"] = _size(directory / "gateway.log")
        values["log/postgres"] = _size(directory / "data" / "server.log")
        values["disk/data directory"] = _tree_size(directory / "data")
        values["disk/keys"] = _tree_size(directory / "keys")
        self.counts["hours"] = (time.monotonic() - self._began) / 3600
        return values, started

    def _note_process(self, values: dict[str, float], started: dict[str, float], name: str, pid: int) -> None:
        at = started_at(pid)
        resident = resident_kb(pid)
        if not at or not resident:
            return
        started[name] = at - self._boot_offset - self._began
        values[f"rss/{name}"] = 1024.0 * resident
        values[f"private/{name}"] = 1024.0 * private_kb(pid)
        values[f"descriptors/{name}"] = _count(Path(f"/proc/{pid}/fd"))
        values[f"threads/{name}"] = _count(Path(f"/proc/{pid}/task"))
        self._note_cpu(values, name, pid, own_cpu_s(pid))

    def _note_cpu(self, values: dict[str, float], name: str, pid: int, cpu: float) -> None:
        now = time.monotonic()
        before = self._cpu.get((name, pid))
        for key in [key for key in self._cpu if key[0] == name]:
            del self._cpu[key]
        self._cpu[name, pid] = cpu, now
        if before is not None and now > before[1]:
            values[f"cpu/{name}"] = max(0.0, cpu - before[0]) / (now - before[1])

    def _note_postgres(self, values: dict[str, float], started: dict[str, float]) -> None:
        """Note the memory of all processes of Postgres; pages that they share are counted once, by halves and so on."""
        postmaster = self._installed.local.postmaster
        pids = family(postmaster)
        values["rss/postgres"] = 1024.0 * sum(_rollup_kb(pid, ("Pss:",)) for pid in pids)
        values["private/postgres"] = 1024.0 * sum(map(private_kb, pids))
        values["descriptors/postgres"] = sum(_count(Path(f"/proc/{pid}/fd")) for pid in pids)
        values["threads/postgres"] = len(pids)
        started["postgres"] = started_at(postmaster) - self._boot_offset - self._began
        self._note_cpu(values, "postgres", postmaster, cpu_s(postmaster))

    async def _note_database(self, values: dict[str, float]) -> None:
        if self._connection is None:
            self._connection = await asyncpg.connect(self._installed.local.database_url)
        rows = await self._connection.fetch(_RELATIONS)
        for row in rows:
            values[f"table/{row['name']}"] = float(row["data"])
            values[f"index/{row['name']}"] = float(row["indexes"])
            values[f"dead/{row['name']}"] = float(row["dead"])
        values["relations/tables with partitions"] = float(sum(row["relations"] for row in rows))
        found = await self._connection.fetchrow(_DATABASE)
        assert found is not None
        values["disk/database"] = float(found["database"])
        values["disk/write-ahead log directory"] = float(found["wal"])
        values["written/write-ahead log"] = float(found["written"])
        values["table/system catalog"] = float(found["catalog"])
        values["connections/postgres"] = float(found["connections"])
        values["snapshot/oldest, in transactions"] = float(found["oldest_snapshot"])
        self.counts |= {"reports": float(found["reports"] or 0), "elections": float(found["elections"])}

    async def close(self) -> None:
        """Close the connection to the database."""
        if self._connection is not None:
            await self._connection.close()


def own_cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process without its children; 0.0 if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def private_kb(pid: int) -> int:
    """Return the memory that a process shares with no other; 0 if it has ended, or only root may read it."""
    return _rollup_kb(pid, ROLLUP_FIELDS)


def _rollup_kb(pid: int, fields: tuple[str, ...]) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith(fields))


def _count(directory: Path) -> float:
    try:
        return float(len(os.listdir(directory)))
    except OSError:
        return 0.0


def _size(path: Path) -> float:
    try:
        return float(path.stat().st_size)
    except OSError:
        return 0.0


def _tree_size(directory: Path) -> float:
    total = 0
    for root, _, names in os.walk(directory):
        for name in names:
            try:
                total += os.stat(os.path.join(root, name), follow_symlinks=False).st_blocks * 512
            except OSError:
                pass  # it was removed meanwhile
    return float(total)
