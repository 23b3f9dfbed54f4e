"""Scenarios against a real gateway: no guarantee is broken, and wrong options are reported."""

import json
from pathlib import Path

import pytest

from bench.rehearse.report import read
from bench.rehearse.scenarios import names, scenario
from tests.bench.commands import LIMIT_S, bench
from tests.counts import count, full_only


def test_every_scenario_is_listed_and_describes_itself() -> None:
    for name in names():
        about = (scenario(name).__doc__ or "").strip()
        assert about.partition(":")[0].lower().replace(" ", "-") == name
    listing = bench("list")
    assert listing.returncode == 0
    assert all(name in listing.stdout for name in names())


@full_only
@pytest.mark.long
@pytest.mark.timeout(LIMIT_S)
@pytest.mark.parametrize("name", ["steady", "reconnect-storm", "embargo-release", "mirror-crowd"])
def test_a_scenario_runs_and_breaks_no_guarantee(name: str, data: Path, tmp_path: Path) -> None:
    """With service levels that no machine misses, because no speed is asserted.

    In `make test`, a scenario is run by the test of docs/operation.md.
    """
    generous = ["--slo", "receipt.p99=60s", "--slo", "subscriber.p99=60s", "--slo", "reader.p99=60s"]
    readers, rate, seconds = count(20, full=50), count(50, full=100), count(3, full=6)
    played = bench(
        "run", name, "--data", data, "--out", tmp_path, "--readers", readers, "--rate", rate, "--seconds", seconds,
        "--slo", "returned.max=60s", *generous,
    )  # fmt: skip
    run = read(tmp_path / f"{name}.json")
    assert not run.broken, played.stdout
    assert played.returncode == (3 if run.invalid else 0), played.stdout + played.stderr
    assert run.figures["lost"] == run.figures["unanswered"] == run.figures["behind"] == 0
    assert run.figures["reports"] > 0
    streams = readers // 5 if name == "mirror-crowd" else readers
    assert run.latencies["joined"]["count"] >= streams
    if name == "mirror-crowd":
        assert run.figures["mirror_behind"] == run.figures["mirror_went_back"] == 0
        assert run.figures["mirror_turned_away"] == readers // 2
        assert run.figures["mirror_states"] > 3
        return
    if name == "embargo-release":
        assert run.figures["differing"] == 0
        assert run.figures["compared"] > 0.8 * readers
    else:
        assert run.latencies["reader"]["count"] > 50


@pytest.mark.long
def test_wrong_arguments_are_reported_in_one_line(data: Path) -> None:
    for arguments, words in (
        (("run", "nothing"), "no scenario nothing"),
        (("run", "steady", "--slo", "fast"), "not a service level"),
        (("run", "steady", "--push", "http://127.0.0.1:1"), "--tokens"),
        (("measure", "nothing"), "no measurement"),
    ):
        result = bench(*arguments)
        assert result.returncode == 2
        assert words in result.stderr
        assert "Traceback" not in result.stderr


def test_a_gateway_that_cannot_be_reached_is_reported_in_one_line(data: Path, tmp_path: Path) -> None:
    """Without a traceback."""
    tokens = tmp_path / "tokens.json"
    tokens.write_text(json.dumps({"0301": "x"}))
    result = bench(
        "run", "steady", "--data", data, "--push", "http://127.0.0.1:1", "--feed", "http://127.0.0.1:1",
        "--election", "e", "--tokens", tokens,
    )  # fmt: skip
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "127.0.0.1:1" in result.stderr
