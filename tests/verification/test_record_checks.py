"""Conditions of a verified record that need no record: what is shown beside what follows from the entries."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gateway.election.registry_reading import read_registry
from gateway.election.state import ElectionState
from gateway.verification.failures import VerificationFailed
from gateway.verification.record_checks import check_figures
from gateway.wire.areas import area_json
from tests.election.makers import DOCUMENT, recorded_night
from tests.election.naive_seats import LEVELLING, with_seats
from tests.transparency.records import some_reports

Document = dict[str, Any]


def a_state(document: Document) -> ElectionState:
    """The state of an election after some reports."""
    state = ElectionState(read_registry(document))
    for publication in recorded_night(some_reports(60)):
        state.apply(publication)
    return state


def shown(state: ElectionState) -> dict[str, bytes]:
    return {area.id: area_json(state, area.index) for area in state.registry.areas}


def figures_in(document: Document, path: str = "") -> Iterator[tuple[str, Document, str]]:
    """Yield every figure at any depth: its path, what has it, and under which name."""
    for name, value in document.items():
        if isinstance(value, dict):
            yield from figures_in(value, f"{path}{name}.")
        elif isinstance(value, int) and not isinstance(value, bool):
            yield f"{path}{name}", document, name


def test_every_figure_of_seats_is_compared() -> None:
    """Of the districts and of the whole election: any other number of seats, or of votes that are missing, is found."""
    state = a_state(with_seats(DOCUMENT, LEVELLING))
    right = shown(state)
    check_figures(state, right, state.chain.hex())
    changed = 0
    for area, text in right.items():
        if "seats" not in json.loads(text):
            continue
        for path, _, _ in figures_in(json.loads(text)["seats"]):
            document = json.loads(text)
            found = {name: (whole, last) for name, whole, last in figures_in(document["seats"])}
            whole, last = found[path]
            whole[last] += 1
            with pytest.raises(VerificationFailed, match=f"area {area} .* seats.{path} = ") as raised:
                check_figures(state, {**right, area: json.dumps(document).encode()}, state.chain.hex())
            assert raised.value.code == "figures_differ"
            changed += 1
    assert changed > 20


@pytest.mark.parametrize(
    ("document", "change"),
    [
        (with_seats(DOCUMENT, LEVELLING), lambda area: area.pop("seats")),
        (DOCUMENT, lambda area: area.update(seats={"by_party": {"A": 9}})),
    ],
    ids=["missing", "of no rule"],
)
def test_seats_are_shown_exactly_where_the_registry_has_a_rule_for_them(
    document: Document, change: Callable[[Document], object]
) -> None:
    state = a_state(document)
    right = shown(state)
    root = json.loads(right[state.registry.root.id])
    change(root)
    with pytest.raises(VerificationFailed, match="seats"):
        check_figures(state, {**right, root["area"]: json.dumps(root).encode()}, state.chain.hex())
