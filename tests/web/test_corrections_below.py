"""The corrections of an area that a page selects from a mirror's list equal the door's list for that area."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from gateway.election.state import ElectionState
from gateway.wire.corrections import corrections_of, json_steps
from tests.election.makers import REGISTRY, Record, a_report, some_counts
from tests.steps import whole
from tests.web.in_node import run_with_modules

RUN = """
import { correctionsBelow } from "./corrections_below.js";
import { readFileSync } from "node:fs";
const { list, areas, parents } = JSON.parse(readFileSync(0, "utf8"));
const ancestors = (id) => (parents[id] ? [...ancestors(parents[id]), parents[id]] : []);
console.log(JSON.stringify(areas.map(([area, total]) => correctionsBelow(list, area, total, ancestors))));
"""
REPORTS = 300
GROUP = ("group", "size", "municipalities", "ballots", "first_at", "last_at")


def a_night() -> ElectionState:
    """Return a state with many corrections, of which several are often published within half a minute."""
    random, record, state = Random(17), Record(), ElectionState(REGISTRY)
    units = [area.id for area in REGISTRY.units.values()]
    at = datetime(2025, 9, 8, 19, tzinfo=UTC)
    revisions = dict.fromkeys(units, 0)
    for _ in range(REPORTS):
        unit = random.choice(units)
        revisions[unit] += 1
        at += timedelta(seconds=random.choice([0, 1, 5, 14, 29, 31]))
        counts = {"advance": some_counts(P=random.choice([3, 20, 200, 2000]))}
        state.apply(record.write(a_report(unit, revisions[unit], counts=counts), at))
    return state


def document_of(state: ElectionState, area: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(whole(json_steps(corrections_of(state, REGISTRY.by_id[area]))))
    return document


def test_the_corrections_below_an_area_are_those_of_the_door(tmp_path: Path) -> None:
    state = a_night()
    doors = {area.id: document_of(state, area.id) for area in REGISTRY.areas}
    root = doors[REGISTRY.root.id]
    assert root["total"] == len(root["corrections"]) > 50
    given = {
        "list": root,
        "areas": [[area, document["total"]] for area, document in doors.items()],
        "parents": {area.id: area.parent for area in REGISTRY.areas},
    }
    found = run_with_modules(tmp_path, ("corrections_below.js",), RUN, given)
    grouped = 0
    for (area, door), page in zip(doors.items(), found, strict=True):
        for name in ("area", "total", "sequence", "corrections"):
            assert page[name] == door[name], (area, name)
        assert [{name: each[name] for name in GROUP} for each in page["groups"]] == [
            {name: each[name] for name in GROUP} for each in door["groups"]
        ]
        grouped += len(door["groups"])
    assert grouped > 10
