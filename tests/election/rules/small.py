"""A small election with two counties, in which rules fire as easily as in a large one."""

from collections.abc import Mapping
from typing import Any

from gateway.election.registry import Registry
from gateway.election.registry_reading import read_registry
from gateway.election.report import Counts, Report
from gateway.election.rules.current import CurrentReports
from gateway.election.rules.evaluation import Evaluation, evaluate
from gateway.election.rules.policy import recommended

PARTIES = ("A", "B", "C", "D", "E")
AT = "2025-09-08T22:00:00+02:00"

DOCUMENT: dict[str, Any] = {
    "format": "election-registry/1",
    "election": {
        "id": "small-1",
        "name": "Small election",
        "date": "2025-09-08",
        "publish_from": "2025-09-08T21:00:00+02:00",
        "categories": ["advance", "election_day"],
    },
    "areas": [
        {"id": "country", "name": "Country", "level": "country", "parent": None},
        {"id": "n", "name": "North", "level": "county", "parent": "country", "parties": list(PARTIES)},
        {"id": "s", "name": "South", "level": "county", "parent": "country", "parties": list(PARTIES)},
        *(
            {"id": name, "name": name, "level": "municipality", "parent": name[0], "eligible": 20_000}
            for name in ("n1", "n2", "s1")
        ),
        *(
            {
                "id": f"{name}-{number}",
                "name": f"{name}, {number}",
                "level": "precinct",
                "parent": name,
                "kind": "station",
                "eligible": 3_000,
            }
            for name in ("n1", "n2", "s1")
            for number in range(1, 5)
        ),
    ],
    "parties": [{"code": code, "name": f"Party {code}"} for code in PARTIES],
}
REGISTRY = read_registry(DOCUMENT)


def counts(*votes: int, blank: int = 0) -> Counts:
    """Counts with the votes of each party."""
    return Counts(sum(votes) + blank, blank, 0, dict(zip(PARTIES, votes, strict=False)))


def report(unit: str, revision: int = 1, /, **members: Any) -> Report:
    """A report with counts by category, as `advance=(votes, …)` or as Counts, and other members."""
    known = {"counted_at": AT, "status": "preliminary"}
    by_category = {
        name: value if isinstance(value, Counts) else counts(*value)
        for name, value in members.items()
        if name in ("advance", "election_day")
    }
    others = {name: value for name, value in members.items() if name not in by_category}
    return Report(unit=unit, revision=revision, counts=by_category, **{**known, **others})


class SmallElection:
    """Its current reports; each rule holds, with thresholds as recommended but for those given."""

    def __init__(self, rules: Mapping[str, Any] | None = None, registry: Registry = REGISTRY) -> None:
        document = {
            code: {**setting, "do": "hold"}
            for code, setting in recommended().document().items()
            if code != "most_open"
        }
        for code, setting in (rules or {}).items():
            document[code] |= setting
        self.policy = registry.read_policy(document)
        self.current = CurrentReports(registry)

    def place(self, *reports: Report) -> None:
        for each in reports:
            self.current.place(each)

    def evaluate(self, report: Report) -> Evaluation:
        evaluation = evaluate(self.current, report, self.policy)
        assert not evaluation.failed, evaluation.details
        return evaluation

    def codes(self, report: Report) -> tuple[str, ...]:
        """The rules that fire for a report."""
        return self.evaluate(report).holding

    def evidence(self, report: Report, code: str) -> dict[str, Any]:
        """Why this rule fires."""
        (fired,) = (each for each in self.evaluate(report).fired if each.code == code)
        document = fired.evidence.document()
        assert document.pop("code") == code
        return document
