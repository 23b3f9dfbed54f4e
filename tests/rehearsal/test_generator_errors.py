"""The errors of a generated election: none unless they are asked for; then all are found, corrected and listed."""

import os
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gateway.election.registry_reading import read_registry
from gateway.rehearsal.dataset import DataSet, DataSetError, PlacedReport
from gateway.rehearsal.generator import GeneratedElection, generate
from gateway.rehearsal.generator.errors import KINDS
from gateway.rehearsal.known_errors import KnownError, ReportName
from gateway.rehearsal.rules_trial import Trial
from tests.fork_server import Command

SEED, SCALE = 1, 0.05

Report = dict[str, Any]


def a_trial(election: GeneratedElection) -> Trial:
    """Return what the rules of the registry find in an election; the gateway accepts all of its reports."""
    registry = read_registry(election.registry)
    trial = Trial(registry, registry.policy)
    for number, line in enumerate(election.reports):
        counted_at = datetime.fromisoformat(line["report"]["counted_at"])
        trial.add(PlacedReport(str(number), line["report"], counted_at))
    assert trial.left_out == 0
    return trial


class Wrong(NamedTuple):
    """An election with errors, and its reports by unit and revision."""

    election: GeneratedElection
    reports: dict[ReportName, Report]

    def errors(self, kind: str) -> list[KnownError]:
        return [error for error in self.election.errors if error.error == kind]

    def ballots(self, name: ReportName) -> int:
        return sum(counts["ballots"] for counts in self.reports[name]["counts"].values())


@pytest.fixture(scope="module")
def wrong() -> Wrong:
    """An election with every kind of error."""
    election = generate(SEED, SCALE, errors=True)
    reports = [line["report"] for line in election.reports]
    return Wrong(election, {ReportName(each["unit"], each["revision"]): each for each in reports})


def finals(election: GeneratedElection) -> dict[str, Any]:
    return {line["area"]: (line["eligible"], line["counts"]) for line in election.official if line["final"]}


@pytest.mark.parametrize(
    ("seed", "scale"), [(1, 0.05), (2, 0.02), (3, 0.02), (4, 0.02), (9, 0.01), (12, 0.002)]
)
def test_a_generated_election_causes_no_hold(seed: int, scale: float) -> None:
    """The recommended rules, which are those of its registry, hold none of its reports."""
    trial = a_trial(generate(seed, scale))
    assert trial.policy.document() == trial.registry.read_policy("recommended").document()
    assert trial.reports > 30
    held = [(each.unit, each.revision, each.fired) for each in trial.findings if each.holds]
    assert (held, trial.failed) == ([], Counter())


def test_every_error_is_held_and_no_other_report(wrong: Wrong) -> None:
    """Each by the rule that `errors.json` names first."""
    trial = a_trial(wrong.election)
    held = {
        ReportName(each.unit, each.revision): {fired.code for fired in each.fired if fired.do == "hold"}
        for each in trial.findings
        if each.holds
    }
    assert {error.error for error in wrong.election.errors} == set(KINDS)
    for error in wrong.election.errors:
        assert error.rules[0] in held.get(error.reports[0], set()), error
    assert set(held) == {error.reports[0] for error in wrong.election.errors}


def test_errors_are_corrected_by_their_senders(wrong: Wrong) -> None:
    """The correction has a reason, and the figures that the unit had or should have had; other revisions follow."""
    plain = {
        ReportName(line["report"]["unit"], line["report"]["revision"]): line["report"]
        for line in generate(SEED, SCALE).reports
    }
    for error in wrong.election.errors:
        for report, correction in zip(error.reports, error.corrected_by, strict=False):
            assert (report.unit, report.revision + 1) == (correction.unit, correction.revision)
            right = wrong.reports[correction]
            assert right["reason"] == "booking_error"
            assert right["counts"] == plain[ReportName(report.unit, 1)]["counts"]
            assert wrong.reports[report]["counted_at"] < right["counted_at"]
    assert finals(wrong.election) == finals(generate(SEED, SCALE))


def test_a_copy_and_a_doubled_count_are_hundreds_of_ballots_too_many(wrong: Wrong) -> None:
    """A misbooked count is found and taken back."""
    for error in wrong.errors("copy") + wrong.errors("doubled"):
        ((report,), (correction,)) = error.reports, error.corrected_by
        assert wrong.ballots(report) - wrong.ballots(correction) >= 300
        assert str(wrong.ballots(report) - wrong.ballots(correction)) in error.description


def test_both_halves_of_a_move_are_to_be_released_together(wrong: Wrong) -> None:
    """What one unit loses, the other gains; nothing has to be corrected."""
    (error,) = wrong.errors("moved")
    grown, emptied = error.reports
    before = [ReportName(each.unit, each.revision - 1) for each in (grown, emptied)]
    assert (error.decide, error.reason, error.corrected_by) == ("release", "moved", ())
    assert wrong.ballots(grown) == wrong.ballots(before[0]) + wrong.ballots(before[1])
    assert wrong.reports[emptied]["counts"]["election_day"]["ballots"] == 0


def test_errors_are_listed_beside_the_official_totals(tmp_path: Path) -> None:
    """`generate --errors` writes them, one per line, and a data set without such a file has none."""
    for options, errors in ((["--errors"], ", 4 errors (errors.json)\n"), ([], "reports\n")):
        directory = tmp_path / f"with{len(options)}"
        with Command("generate", directory, "--scale", "0.02", *options, environ=dict(os.environ)) as process:
            output, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert output.endswith(errors)
        listed = DataSet.open(directory).errors()
        assert {each.error for each in listed} == (set(KINDS) if options else set())
        lines = (directory / "errors.json").read_text().splitlines() if options else []
        assert [line[:9] for line in lines if "description" in line] == ['{"error":'] * len(listed)


def test_a_list_of_errors_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Another format, or something else."""
    for content, words in (("{", "truncated"), ('{"format": "x", "errors": []}', "format is 'x'")):
        (tmp_path / "errors.json").write_text(content)
        with pytest.raises(DataSetError, match=r"errors\.json: cannot be read") as raised:
            DataSet(tmp_path, {}).errors()
        assert words in str(raised.value)
