"""The measurements, tiny: they work, the judge is content, every row has a figure. How fast it is, is not asked."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.figures import Finding, Series, Skipped, Target
from bench.measure import MEASUREMENTS, about, measure_all, peers, table, write
from bench.measure.load import Play
from bench.measure.options import Options
from bench.measure.table import Beside, Measured, Row, document, markdown

SMOKE_S = 60


@pytest.fixture
def small(data: Path, tmp_path: Path) -> Options:
    """Crowds, loads and elections that take a moment."""
    return Options(
        data=data,
        out=tmp_path,
        readers=(20,),
        seconds=0.6,
        publications=1000,
        scales=(0.05, 0.1),
        reports=400,
    )


# The table.


def test_a_row_is_held_against_its_figure_or_against_the_ratio() -> None:
    beside = Beside("Postgres alone", 100.0, "/s")
    assert Row("x", 30.0, "/s", Target(25), beside).reached
    assert not Row("x", 30.0, "/s", Target(0.35), beside, of_ratio=True).reached
    assert Row("x", 30.0, "/s", Target(0.25), beside, of_ratio=True).reached
    assert Row("x", 1.6, "s", Target(1.5, most=True)).reached is False
    assert Row("x", 30.0, "/s", None, beside).reached is None


def test_a_row_beside_which_nothing_was_is_not_reached() -> None:
    assert Row("x", 30.0, "/s", Target(2), Beside("peer", 0.0, "/s"), of_ratio=True).reached is False


def test_what_peers_found_is_a_row_of_the_same_table() -> None:
    ours, peer = Series("a", "/s", (30.0,)), Series("b", "/s", (100.0,))
    compared = Row.of(Finding("x", ours, peer, Target(0.25)), "bench peers x")
    assert (compared.reached, compared.ratio, compared.command) == (True, 0.3, "bench peers x")
    assert Row.of(Finding("x", ours, None, Target(40)), "").reached is False


def test_the_table_says_what_was_reached_what_was_left_out_and_what_says_nothing() -> None:
    found = [
        Measured(
            "night", [Row("all", 1.0, "s", Target(1.5, 1.0, most=True))], ["why"], seconds=7.0, command="n"
        ),
        Measured(
            "wire", [Row("bytes", 37.0, "kB", Target(0.25, most=True), Beside("plain", 100.0, "kB"), True)]
        ),
        Measured("tls", [Row("cost", 2.0, "µs")], skipped=[Skipped("openssl", "not found", "install it")]),
        Measured("start", invalid=["one was lost"]),
    ]
    text = markdown(found)
    assert "| all | 1.00 s | ≤ 1.50, aim 1.00: yes |  | `n` |" in text
    assert "| bytes | 37.0 kB | ≤ 0.25 ×: **NO** | plain: 100 kB (0.37 ×) |" in text
    assert "| cost | 2.00 µs | printed only |" in text
    assert "tls: without openssl: not found; install it" in text
    assert "start: INVALID: one was lost" in text
    assert "- night: why" in text
    assert "took 7 s: night 7 s" in text
    rows = document(found[1])["rows"]
    assert rows[0]["reached"] is False  # type: ignore[index]
    assert rows[0]["ratio"] == 0.37  # type: ignore[index]


def test_what_is_found_is_written_as_it_is_printed(tmp_path: Path) -> None:
    found = [Measured("night", [Row("all", 1.0, "s", Target(1.5, most=True))], seconds=1.0)]
    path = write(found, Options(out=tmp_path / "new"))
    assert path.read_text() == table(found)
    kept = json.loads((path.parent / "measured.json").read_text())
    assert kept["measurements"][0]["rows"][0]["reached"] is True
    assert kept["options"]["publications"] == Options().publications


# The measurements.


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in MEASUREMENTS if name != "peers"])
def test_a_measurement_gives_figures_and_the_judge_is_content(name: str, small: Options) -> None:
    """And everybody had everything: else it calls itself invalid."""
    (found,) = measure_all([name], small)
    assert found.invalid == []
    assert found.rows or found.skipped
    for row in found.rows:
        assert math.isfinite(row.value), row
        assert row.beside is None or math.isfinite(row.beside.value), row
        assert (
            row.value > 0 or "transactions" in row.what or "memory" in row.what or row.what.startswith("CPU")
        ), row
    assert (small.out / "measured.md").read_text() == table([found])


@pytest.mark.long
def test_a_receipt_for_what_is_not_stored_makes_a_night_invalid(
    small: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fast wrong answer is a failure."""
    keep = Play._keep

    def keep_and_forge(self: Play, *args: Any) -> None:
        keep(self, *args)
        first = self._pushes[0]
        self._pushes.append(msgspec.structs.replace(first, revision=first.revision + 100))

    monkeypatch.setattr(Play, "_keep", keep_and_forge)
    (found,) = measure_all(["night"], small)
    assert any("durable" in reason or "receipt" in reason for reason in found.invalid), found.invalid


@pytest.mark.long
def test_pairs_of_peers_are_rows_with_a_command_of_their_own(
    small: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "PAIRS", ("http",))
    (found,) = measure_all(["peers"], msgspec.structs.replace(small, seconds=3.0))
    assert found.invalid == []
    if found.skipped:
        pytest.skip(f"{found.skipped[0].name}: {found.skipped[0].why}; {found.skipped[0].how}")
    assert [row.command for row in found.rows] == ["python -m bench peers http"]
    assert found.rows[0].target is not None


def bench(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=SMOKE_S,
        check=False,
    )


def test_one_measurement_alone_is_written_and_printed(data: Path, tmp_path: Path) -> None:
    said = bench("measure", "decode", "wire", "--data", data, "--out", tmp_path)
    assert said.returncode == 0, said.stdout + said.stderr
    assert (tmp_path / "measured.md").read_text() in said.stdout
    assert "measuring wire" in said.stderr


def test_a_measurement_that_is_none_is_said_in_a_line() -> None:
    said = bench("measure", "nothing")
    assert said.returncode == 2
    assert "no measurement nothing" in said.stderr


def test_every_measurement_is_listed_with_what_it_is() -> None:
    said = bench("list").stdout
    for name in MEASUREMENTS:
        assert about(name)
        assert f"measure {name}" in said
