"""Every route, body, query parameter, kind of frame and row of the table has a hostile client; a new one needs one."""

import inspect
import re

from gateway.web.queries import KNOWN
from gateway.wire import frames
from tests.attack.hostile import OF_FRAMES, Route
from tests.attack.test_costs import CASES, HONEST, read_bounds, routes


def test_every_route_has_a_hostile_client() -> None:
    """The routes are those of the applications. HEAD has the handler of GET."""
    there = {f"{method} {path}, {port}" for port, method, path in routes() if method != "HEAD"}
    assert there == {case.name for case in CASES if case.row == "requests"}
    assert there > {"GET /metrics, admin", "GET /v1/elections/{election}/feed, feed"}


def test_every_route_that_takes_a_body_has_hostile_bodies() -> None:
    """Compressed ones, which few bytes make large, and others."""
    there = {f"{method} {path}" for _, method, path in routes() if method not in ("GET", "HEAD", "OPTIONS")}
    assert there
    for row in ("compressed bodies", "other bodies"):
        assert {case.route for case in CASES if case.row == row} == there, row


def test_every_query_parameter_has_hostile_values() -> None:
    """The parameters are those of the table by which the doors refuse all others."""
    names = {case.name for case in CASES}
    for path, known in KNOWN.items():
        assert f"parameters of {path}" in names
        assert {query.partition("=")[0] for query in Route("GET", path).queries()} == set(known)


def test_every_other_client_is_for_an_existing_route() -> None:
    """So one whose route was removed fails here."""
    there = {f"{method} {path}" for _, method, path in routes()}
    assert {case.route for case in CASES if case.route} == there - {
        route for route in there if route.startswith("HEAD ")
    }


def test_every_kind_of_frame_has_a_hostile_client() -> None:
    """Whole, fragmented, unmasked, too long, and reserved by RFC 6455."""
    constants = re.search(r"^(TEXT.*) = (.*)$", inspect.getsource(frames), re.MULTILINE)
    assert constants is not None
    known = {int(code) for code in constants[2].split(",")}
    assert {opcode for opcode, _ in OF_FRAMES.values()} == known | {0, 11}


def test_the_document_bounds_every_case_and_has_no_superfluous_row() -> None:
    """Each compared with existing honest clients, on the port of the case."""
    bounds = read_bounds()
    assert set(bounds) == {case.row for case in CASES}
    for case in CASES:
        assert bounds[case.row].honest in HONEST[case.port], case
    assert all(min(each.cpu, each.memory, each.stall) > 0 for each in bounds.values())
