"""Small runs of every measurement: no guarantee is broken and every row has a figure. No speed is asserted."""

import asyncio
import json
import math
import re
from pathlib import Path

import msgspec
import pytest

from bench.figures import Result, Row, Target, Unavailable
from bench.load import local
from bench.measure import (
    GOALS,
    MEASUREMENTS,
    OF_GOALS,
    about,
    decode,
    holds,
    log,
    measure_all,
    memory,
    mirror_counts,
    mirror_edge,
    peers,
    reconnect,
    sign,
    start,
    statements,
    table,
    tree,
    unreached,
    write,
)
from bench.measure.load import ElectionLoad
from bench.measure.options import Options
from gateway.rehearsal.dataset import DataSet
from gateway.rehearsal.judge import Push
from tests.bench.commands import bench
from tests.counts import count, variants
from tests.faults.servers import copy_cluster
from tests.fork_server import fork
from tests.forked_workers import forking

DEAR = (
    "growth", "holds", "log", "memory", "mirror", "night", "peers", "reconnect", "release", "sign", "space", "start",
    "tls",
)  # fmt: skip
"""Measurements that take seconds even for one election of a few units."""


@pytest.fixture
def copied_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each gateway a copy of a database: initdb takes far longer. No test compares how long a start takes."""
    make = local.new_directory

    def new_directory() -> Path:
        directory = make()
        directory.chmod(0o755)
        copy_cluster(directory / "data")
        return directory

    monkeypatch.setattr(local, "new_directory", new_directory)


@pytest.fixture
def forked_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork the workers of gateways, whose supervisors run in this process."""
    monkeypatch.setattr(asyncio, "create_subprocess_exec", forking(fork))


@pytest.fixture
def small(
    data: Path,
    tmp_path: Path,
    copied_clusters: None,
    forked_workers: None,
    monkeypatch: pytest.MonkeyPatch,
) -> Options:
    """Return options for small crowds, loads and elections; what is repeated for a median is measured once."""
    monkeypatch.setattr(start, "STARTS", count(1, full=3))
    monkeypatch.setattr(memory, "STARTS", count(1, full=3))
    monkeypatch.setattr(reconnect, "TURNS", count(1, full=2))
    monkeypatch.setattr(statements, "ROUNDS", 2)
    monkeypatch.setattr(holds, "PAIRS", count(1, full=2))
    monkeypatch.setattr(sign, "ROUNDS", count(1, full=2))
    monkeypatch.setattr(mirror_edge, "ROUNDS", count(1, full=2))
    monkeypatch.setattr(mirror_edge, "FEW", count(5, full=50))
    for name, full in (("PAIRS", 10), ("STARTS", 3), ("ASKED", 100)):
        monkeypatch.setattr(log, name, count(1, full=full))
    return Options(
        data=data,
        out=tmp_path,
        readers=(20,),
        seconds=count(3, full=6) / 10,
        publications=count(500, full=1000),
        scales=(0.02, 0.04),
        copies=3,
        reports=count(200, full=400),
        receipts=count(100, full=400),
        rounds=1,
    )


def test_results_are_written_as_they_are_printed(tmp_path: Path) -> None:
    found = [Result("night", [Row.single("all", 1.0, "s", Target(1.5, most=True))], seconds=1.0)]
    path = write(found, Options(out=tmp_path / "new"))
    assert path.read_text() == table(found)
    kept = json.loads((path.parent / "measured.json").read_text())
    assert kept["measurements"][0]["rows"][0]["reached"] is True
    assert kept["options"]["publications"] == Options().publications


def test_an_error_makes_a_result_invalid_and_the_next_measurement_is_run_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failed(_: Options) -> Result:
        raise RuntimeError("it broke")

    async def unavailable(_: Options) -> Result:
        raise Unavailable("wrk", "not found", "install it")

    monkeypatch.setattr(decode, "measure", failed)
    monkeypatch.setattr(tree, "measure", unavailable)
    first, second = measure_all(["decode", "tree"], Options(out=tmp_path))
    assert first.invalid == ["RuntimeError: it broke"]
    assert [left.name for left in second.skipped] == ["wrk"]


def test_goals_that_all_measurements_of_goals_leave_out_are_missed() -> None:
    row = Row.single("x", 1.0, "s", Target(2, most=True), goal=6)
    results = [Result("night", [row])]
    assert unreached(results, ["night"]) == []
    assert unreached(results, OF_GOALS) == [number for number in GOALS if number != 6]
    assert "| 6 | x | 1.00 s |" in table(results)
    assert "not measured" not in table(results)
    everything = table([*results, *(Result(name) for name in OF_GOALS)])
    assert f"| 1 | {GOALS[1]} | not measured |" in everything


# The measurements.


@pytest.mark.long
@pytest.mark.parametrize(
    "name",
    variants(
        [name for name in MEASUREMENTS if name != "peers"],
        *(name for name in MEASUREMENTS if name not in DEAR),
    ),
)
def test_a_measurement_has_figures_and_breaks_no_guarantee(name: str, small: Options) -> None:
    """Every reader received everything, else the result is invalid."""
    (found,) = measure_all([name], small)
    assert found.invalid == []
    assert found.rows or found.skipped
    for row in found.rows:
        value = row.ours.median  # may be 0 where it is CPU time, which the kernel counts in ticks of 10 ms
        assert math.isfinite(value), row
        assert row.beside is None or math.isfinite(row.beside.median), row
        assert (
            value > 0
            or "transactions" in row.what
            or "memory" in row.what
            or row.what.startswith("CPU")
            or "per CPU s" in row.ours.unit
        ), row
    assert (small.out / "measured.md").read_text() == table([found])


def test_what_a_mirror_and_its_readers_need_is_counted_exactly(data: Path) -> None:
    """Counts hold on any machine, so their goals are those of the published figures."""
    dataset, first, again = DataSet.open(data), Result("mirror"), Result("mirror")
    for result in (first, again):
        mirror_counts.count(dataset, None, result)
    assert first == again
    with_goals = [row for row in first.rows if row.target is not None]
    assert len(with_goals) == 6
    assert all(row.reached for row in with_goals)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["forged", "lost"])
def test_receipts_that_are_not_those_of_the_stored_reports_make_the_result_invalid(
    kind: str, small: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fast but wrong gateway fails, and so does a load that does not keep every answer."""
    pushes = ElectionLoad._pushes

    def changed(self: ElectionLoad) -> list[Push]:
        first, *others = pushes(self)
        if kind == "lost":
            return others
        return [msgspec.structs.replace(first, revision=first.revision + 100), *others]

    monkeypatch.setattr(ElectionLoad, "_pushes", changed)
    (found,) = measure_all(["night"], small)
    expected = {"forged": "receipt means durable", "lost": r"\d+ answers to \d+ reports"}[kind]
    assert any(re.search(expected, reason) for reason in found.invalid), found.invalid


@pytest.mark.long
def test_pairs_of_peers_are_rows_with_their_own_command(
    small: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "PAIRS", ("http",))
    (found,) = measure_all(["peers"], msgspec.structs.replace(small, seconds=3.0))
    assert found.invalid == []
    if found.skipped:
        pytest.skip(f"{found.skipped[0].name}: {found.skipped[0].why}; {found.skipped[0].how}")
    assert [row.command for row in found.rows] == ["python -m bench peers http"]
    assert found.rows[0].target is not None


def test_single_measurements_are_written_and_printed(data: Path, tmp_path: Path) -> None:
    result = bench("measure", "decode", "wire", "--data", data, "--out", tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert (tmp_path / "measured.md").read_text() in result.stdout
    assert "measuring wire" in result.stderr


def test_an_unknown_measurement_is_reported_in_one_line() -> None:
    result = bench("measure", "nothing")
    assert result.returncode == 2
    assert "no measurement nothing" in result.stderr


def test_every_measurement_is_listed_with_its_description() -> None:
    result = bench("list").stdout
    for name in MEASUREMENTS:
        assert about(name)
        assert f"measure {name}" in result
