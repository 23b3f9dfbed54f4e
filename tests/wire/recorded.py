"""The recorded election and the documents that the results service published about it, if they are there."""

import gzip
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from gateway.election.record import CHAIN_START, Publication, next_chain
from gateway.election.registry import Registry
from gateway.election.registry_reading import read_registry
from gateway.election.state import CatchUp, ElectionState
from tests.conftest import RECORDED

SAMPLES = RECORDED.parent / "valgresultat-no-2025-samples"
APPORTIONMENT = {
    "method": "divisors",
    "divisors": [14, 30, 50],
    "districts": "county",
    "threshold": {"percent": 4, "of": "country"},
    "levelling": {"per_district": 1},
}
"""The rules of the Storting, which the recorded registry does not have."""
_DIGEST = bytes(32)


def require_recorded() -> None:
    """Skip the calling test where the recorded election is not available."""
    if not SAMPLES.is_dir():
        pytest.skip(f"the recorded election is not there: {SAMPLES}")


def sample(name: str) -> dict[str, Any]:
    """Return a document of the results service."""
    document: dict[str, Any] = json.loads((SAMPLES / f"{name}.json").read_bytes())
    return document


def recorded_registry() -> Registry:
    """Return the recorded registry with the rules of the Storting."""
    document = json.loads((RECORDED / "registry.json").read_bytes())
    document["election"]["apportionment"] = APPORTIONMENT
    return read_registry(document)


def recorded_reports() -> list[dict[str, Any]]:
    """Return the reports in order, each with its time as `at`."""
    with gzip.open(RECORDED / "reports.ndjson.gz") as lines:
        found = [json.loads(line)["report"] for line in lines]
    for report in found:
        report["at"] = datetime.fromisoformat(report["counted_at"])
    return found


def official_totals() -> Iterator[dict[str, Any]]:
    """Yield the final official line of each area."""
    with gzip.open(RECORDED / "official.ndjson.gz") as lines:
        for line in lines:
            if b'"final":true' in line:
                yield json.loads(line)


def state_at(registry: Registry, reports: list[dict[str, Any]], until: datetime) -> ElectionState:
    """Return the state with the last report of each unit up to a moment, each published when it was counted."""
    last = {report["unit"]: report for report in reports if report["at"] <= until}
    state, chain = ElectionState(registry), CHAIN_START
    publications = []
    for sequence, report in enumerate(sorted(last.values(), key=lambda report: report["at"]), 1):
        at = report["at"]
        chain = next_chain(chain, _DIGEST)
        body = json.dumps({name: value for name, value in report.items() if name != "at"}).encode()
        publications.append(
            Publication(sequence, at, report["unit"], report["revision"], _DIGEST, chain, body, at, at)
        )
    catch_up = CatchUp(state)
    catch_up.add(publications)
    for _ in catch_up.finish():
        pass
    return state
