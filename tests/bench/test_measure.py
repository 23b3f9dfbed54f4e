"""The measurements, tiny: they work, the judge is content, every row has a figure. How fast it is, is not asked."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.figures import Result, Row, Target
from bench.measure import MEASUREMENTS, about, measure_all, peers, table, write
from bench.measure.load import Play
from bench.measure.options import Options

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


def test_what_is_found_is_written_as_it_is_printed(tmp_path: Path) -> None:
    found = [Result("night", [Row.single("all", 1.0, "s", Target(1.5, most=True))], seconds=1.0)]
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
        value = row.ours.median
        assert math.isfinite(value), row
        assert row.beside is None or math.isfinite(row.beside.median), row
        assert (
            value > 0 or "transactions" in row.what or "memory" in row.what or row.what.startswith("CPU")
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
