"""`valgnatt rules try`: what rules would have held in a recording, and whether it was corrected later."""

import gzip
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.election.registry_reading import read_registry
from gateway.rehearsal.dataset import LINE_MAX, REPORTS, DataSet, DataSetError, PlacedReport
from gateway.rehearsal.rules_trial import Trial
from tests.fork_server import Ended, run_command

HERE, THERE = "10-1", "20-1"
REGISTRY: dict[str, Any] = {
    "format": "election-registry/1",
    "election": {
        "id": "tried-1",
        "name": "Tried",
        "date": "2025-09-08",
        "publish_from": "2025-09-08T21:00:00+02:00",
        "timezone": "Europe/Oslo",
        "categories": ["advance", "election_day"],
    },
    "areas": [
        {"id": "no", "name": "Landet", "level": "country", "parent": None, "eligible": 20_000},
        {"id": "10", "name": "Vik", "level": "municipality", "parent": "no", "eligible": 10_000},
        {"id": "20", "name": "Nes", "level": "municipality", "parent": "no", "eligible": 10_000},
        {"id": HERE, "name": "Sentrum", "level": "precinct", "parent": "10", "eligible": 10_000},
        {"id": THERE, "name": "Øya", "level": "precinct", "parent": "20", "eligible": 10_000},
    ],
    "parties": [{"code": "A", "name": "Party A"}, {"code": "H", "name": "Party H"}],
}


def report(unit: str, revision: int, at: str, **votes: int) -> dict[str, Any]:
    """Return a report with advance votes."""
    counts = {"ballots": sum(votes.values()), "blank": 0, "rejected": 0, "votes": votes}
    return {
        "unit": unit,
        "revision": revision,
        "counted_at": f"2025-09-08T{at}:00+02:00",
        "status": "preliminary",
        "counts": {"advance": counts},
    }


COPIED = [
    report(HERE, 1, "20:00", A=300, H=150),
    report(THERE, 1, "20:10", A=40, H=60),
    report(THERE, 2, "20:30", A=340, H=210),  # the other's figures, added by mistake
    report(THERE, 3, "22:30", A=41, H=60),  # explained by the record, so it is not held
    report(THERE, 2, "22:40", A=340, H=210),  # an old one, sent again
    report(HERE, 2, "23:00", A=300, H=900),
    report(HERE, 3, "23:50", A=300, H=300),
]


def write(directory: Path, lines: list[bytes], *, packed: bool = False) -> Path:
    directory.mkdir()
    (directory / "registry.json").write_bytes(orjson.dumps(REGISTRY))
    content = b"\n".join(lines) + b"\n"
    if packed:
        (directory / "reports.ndjson.gz").write_bytes(gzip.compress(content))
    else:
        (directory / "reports.ndjson").write_bytes(content)
    return directory


def lines_of(reports: list[dict[str, Any]], **members: Any) -> list[bytes]:
    return [orjson.dumps({**members, "report": each}) for each in reports]


def tried(directory: Path, rules: object = "recommended") -> Trial:
    data = DataSet.open(directory, [REPORTS])
    registry = read_registry(data.registry)
    trial = Trial(registry, registry.read_policy(rules))
    trial.run(data.placed_reports())
    return trial


@pytest.mark.parametrize("packed", [False, True])
def test_a_trial_finds_what_would_have_been_held_and_what_was_corrected(
    tmp_path: Path, *, packed: bool
) -> None:
    """In a data set, packed or not, without official totals."""
    directory = write(tmp_path / "night", lines_of(COPIED, municipality="20"), packed=packed)
    trial = tried(directory)
    assert (trial.reports, trial.left_out, trial.held) == (6, 1, 2)
    copied, fallen = [each for each in trial.findings if each.holds]
    assert (copied.unit, copied.revision) == (THERE, 2)
    assert [each.code for each in copied.fired if each.do == "hold"] == ["duplicate_elsewhere"]
    assert (copied.before, copied.after, copied.changed, copied.taken_back) == (100, 550, 450, 449)
    assert copied.corrected
    assert copied.corrected_after_s == 2 * 3600
    assert [each.code for each in fallen.fired if each.do == "hold"] == ["fell"]
    assert not fallen.corrected


def test_a_correction_is_one_only_while_it_lasts(tmp_path: Path) -> None:
    """A sender that reports the same again shows that it had been right."""
    again = [*COPIED[:4], report(THERE, 4, "23:30", A=340, H=210)]
    copied = tried(write(tmp_path / "night", lines_of(again))).findings[0]
    assert not copied.corrected
    assert copied.corrected_after_s is None


def test_two_parties_that_are_exchanged_again_are_a_correction(tmp_path: Path) -> None:
    """Although most votes of the report stay."""
    others = [report(HERE, 1, "20:00", A=9000, H=60)]
    wrong, right = report(HERE, 2, "20:30", A=60, H=9000), report(HERE, 3, "21:00", A=9000, H=60)
    rules = {"exchanged_before": {"do": "hold"}}
    first = tried(write(tmp_path / "night", lines_of([*others, wrong, right])), rules).findings[0]
    assert [each.code for each in first.fired if each.do == "hold"] == ["exchanged_before"]
    assert first.corrected


def test_publications_of_the_record_can_be_tried(tmp_path: Path) -> None:
    """As `…/publications` returns them."""
    lines = lines_of(COPIED[:3], sequence=1, digest="00", chain="00")
    assert tried(write(tmp_path / "night", lines)).held == 1


def test_a_trial_names_the_line_that_cannot_be_read(tmp_path: Path) -> None:
    """A report that the gateway refuses, a line without one, and a line that would fill the memory."""
    directory = write(tmp_path / "night", [b""])
    for line, message in (
        (orjson.dumps({"report": COPIED[0] | {"unit": "30-1"}}), r"reports.ndjson:2: .*\$\.unit: .*30-1"),
        (b"{}", "reports.ndjson:2: not a line with a `report`"),
        (b" " * (LINE_MAX + 1), "reports.ndjson:2: longer than 1 MiB"),
        (orjson.dumps({"report": COPIED[0] | {"counted_at": "today"}}), "reports.ndjson:2: `counted_at`"),
    ):
        (directory / "reports.ndjson").write_bytes(lines_of(COPIED)[0] + b"\n" + line)
        with pytest.raises(DataSetError, match=message):
            tried(directory)


def test_findings_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those beyond the bound are counted."""
    monkeypatch.setattr("gateway.rehearsal.rules_trial.FINDINGS_MAX", 1)
    registry = read_registry(REGISTRY)
    trial = Trial(registry, registry.read_policy("recommended"))
    data = [PlacedReport("", each, _moment(each)) for each in COPIED]
    trial.run(data)
    assert (trial.held, len(trial.findings)) == (2, 1)


def _moment(document: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(document["counted_at"])


def rules_try(*arguments: object) -> Ended:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("VALGNATT_")}
    return run_command("rules", "try", *arguments, environ=environ | {"COLUMNS": "200"})


def test_the_command_shows_each_alarm_with_a_sentence(tmp_path: Path) -> None:
    """And how often each rule fired."""
    ended = rules_try(write(tmp_path / "night", lines_of(COPIED)))
    assert (ended.status, ended.err) == (0, "")
    assert (
        "6 reports of 2 units, counted from 2025-09-08 20:00:00 to 2025-09-08 23:50:00; rules: recommended"
        in (ended.out)
    )
    assert (
        "2 reports would have been held, 1 of them corrected later; 1 more with warnings of rules"
        in ended.out
    )
    assert (
        "2025-09-08 20:30:00  20 Nes, 20-1 Øya, revision 2: 100 → 550 ballots; corrected after 2 h: 449 of 450 votes"
        " taken back\n    hold: duplicate_elsewhere: these 450 advance ballots equal those of 10 Vik, 10-1 Sentrum,"
        " party by party\n"
    ) in ended.out
    found = [orjson.loads(line) for line in rules_try(tmp_path / "night", "--json").out.splitlines()]
    assert [(each["unit"], each["held"], each["corrected"]) for each in found] == [
        (THERE, True, True),
        (THERE, False, False),
        (HERE, True, False),
    ]


def test_the_command_takes_rules_from_a_file(tmp_path: Path) -> None:
    """And names every mistake in them; nothing was done then."""
    directory, rules = write(tmp_path / "night", lines_of(COPIED)), tmp_path / "rules.json"
    rules.write_text('{"duplicate_elsewhere": {"do": "off"}, "fell": {"do": "hold", "ballots": 1000}}')
    ended = rules_try(directory, "--rules", rules)
    assert ended.status == 0
    assert "0 reports would have been held" in ended.out
    rules.write_text('{"fallen": {"do": "hold"}, "fell": {"do": "stop"}}')
    ended = rules_try(directory, "--rules", rules)
    assert ended.status == 2
    assert "$.fallen: no such rule" in ended.err
    assert "$.fell.do: " in ended.err
    twice = b'{"fell": {"do": "hold", "do": "off"}}'
    for content, message in (
        (b"{", "not JSON"),
        (b" " * (65 << 10), "larger than 64 KiB"),
        (twice, "the member do is repeated"),
    ):
        rules.write_bytes(content)
        ended = rules_try(directory, "--rules", rules)
        assert ended.status == 2
        assert message in ended.err
    ended = rules_try(directory, "--rules", tmp_path / "none")
    assert ended.status == 2
    assert "No such file" in ended.err
    ended = rules_try(tmp_path / "none")
    assert ended.status == 1
    assert "no such directory" in ended.err


def test_the_recorded_election_has_its_known_alarms(recorded: Path) -> None:
    """All that are errors were corrected by their senders, some after hours; see `tests/election/` for each rule."""
    trial = tried(recorded)
    wrong = {"3236-9998", "3234-9998", "3226-9998", "3228-9998", "5001-0008", "5601-9999"}
    assert wrong <= {each.unit for each in trial.findings if each.holds and each.corrected}
    exchanged = [each for each in trial.findings if each.unit == "5001-0008" and each.holds]
    assert [round((each.corrected_after_s or 0) / 3600, 1) for each in exchanged] == [12.5]
