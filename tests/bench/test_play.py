"""The load tool against a real gateway: it works, the judge is content, and a fault does not pass."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.rehearse.report import read
from bench.rehearse.scenarios import names, scenario

SMOKE_S = 150


def bench(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=SMOKE_S,
        check=False,
    )


def test_every_scenario_says_what_it_is() -> None:
    for name in names():
        about = (scenario(name).__doc__ or "").strip()
        assert about.partition(":")[0].lower().replace(" ", "-") == name
    listing = bench("list")
    assert listing.returncode == 0
    assert all(name in listing.stdout for name in names())


@pytest.mark.long
@pytest.mark.timeout(SMOKE_S)
@pytest.mark.parametrize("name", ["steady", "reconnect-storm", "embargo-release"])
def test_a_scenario_plays_and_the_judge_is_content(name: str, data: Path, tmp_path: Path) -> None:
    """With service levels that no machine misses: this is no timing."""
    generous = ["--slo", "receipt.p99=60s", "--slo", "subscriber.p99=60s", "--slo", "reader.p99=60s"]
    played = bench(
        "run", name, "--data", data, "--out", tmp_path, "--readers", 50, "--rate", 100, "--seconds", 6,
        "--slo", "returned.max=60s", *generous,
    )  # fmt: skip
    run = read(tmp_path / f"{name}.json")
    assert not run.broken, played.stdout
    assert played.returncode == (3 if run.invalid else 0), played.stdout + played.stderr
    assert run.figures["lost"] == run.figures["unanswered"] == run.figures["behind"] == 0
    assert run.figures["reports"] > 0
    assert run.latencies["joined"]["count"] >= 50
    if name == "embargo-release":
        assert run.figures["differing"] == 0
        assert run.figures["compared"] > 40
    else:
        assert run.latencies["reader"]["count"] > 50


def test_what_is_asked_for_wrongly_is_said_in_a_line(data: Path) -> None:
    for arguments, words in (
        (("run", "nothing"), "no scenario nothing"),
        (("run", "steady", "--slo", "fast"), "no service level"),
        (("run", "steady", "--push", "http://127.0.0.1:1"), "--tokens"),
        (("measure", "nothing"), "no measurement"),
    ):
        said = bench(*arguments)
        assert said.returncode == 2
        assert words in said.stderr
        assert "Traceback" not in said.stderr


def test_load_goes_into_no_real_election(data: Path, tmp_path: Path) -> None:
    """Nor to where there is nothing."""
    tokens = tmp_path / "tokens.json"
    tokens.write_text(json.dumps({"0301": "x"}))
    said = bench(
        "run", "steady", "--data", data, "--push", "http://127.0.0.1:1", "--feed", "http://127.0.0.1:1",
        "--election", "e", "--tokens", tokens,
    )  # fmt: skip
    assert said.returncode == 1
    assert "Traceback" not in said.stderr
    assert "127.0.0.1:1" in said.stderr
