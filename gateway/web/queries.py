"""The query parameters of each route, as a table and a middleware that refuses any others.

An arbitrary parameter would make each URL unique and so bypass every cache, here and in proxies, and a misspelled one
would be ignored without notice. `openapi.yaml` lists the same parameters; a test compares the two.
"""

import re
from collections.abc import Iterable
from typing import Any

from aiohttp import web

from gateway.web.answers import Problem

_ELECTION = "/v1/elections/{election}"
KNOWN: dict[str, tuple[str, ...]] = {
    f"{_ELECTION}/feed": ("levels", "areas", "every_s", "last_event_id", "lastEventId"),
    f"{_ELECTION}/areas": ("level", "area", "format", "bom"),
    f"{_ELECTION}/areas/{{area}}": ("format", "bom", "at_least"),
    f"{_ELECTION}/corrections": ("area", "format", "bom"),
    f"{_ELECTION}/seats": ("format", "bom", "at_least"),
    f"{_ELECTION}/publications": ("after", "limit", "last_event_id", "lastEventId"),
    f"{_ELECTION}/publications/{{range}}": ("chain",),
    f"{_ELECTION}/holds": ("state", "after", "limit"),
    f"{_ELECTION}/log/checkpoints": ("after", "limit"),
    f"{_ELECTION}/log/history/{{history}}/checkpoints": ("after", "limit"),
}
"""By path, for both doors; all other routes below VERSION and API have none."""
VERSION = "/v1/"
API = "/api/"
"""Documents in the shape of another service."""
NAMED_MAX = 5
"""Parameters that an error message names."""
_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,32}")


def refuse_those(request: web.Request, names: Iterable[str], other_door: str) -> None:
    """Raise Problem for parameters that a path has on the other door only."""
    if found := [name for name in names if name in request.query]:
        raise Problem(400, "bad_query", f"{', '.join(found)}: only on the {other_door} door")


def query_errors(route: str, names: Iterable[str]) -> str | None:
    """Return what is wrong with the names of query parameters; None if nothing is.

    Names come from the client, so the message repeats only those made of letters, digits, `_` and `-`.
    """
    known = KNOWN.get(route, ())
    seen: set[str] = set()
    wrong: dict[str, None] = {}
    for name in names:
        if name not in known:
            wrong[_unknown(name)] = None
        elif name in seen:
            wrong[f"repeated parameter {name}"] = None
        seen.add(name)
    if not wrong:
        return None
    named = [*wrong][:NAMED_MAX]
    more = [f"and {len(wrong) - NAMED_MAX} more"] if len(wrong) > NAMED_MAX else []
    expected = f"this path takes {', '.join(known)}" if known else "this path takes no parameters"
    return f"{'; '.join(named + more)}; {expected}"


def _unknown(name: str) -> str:
    return f"unknown parameter {name}" if _PLAIN.fullmatch(name) else "unknown parameter (name not shown)"


@web.middleware
async def check_queries(request: web.Request, handler: Any) -> web.StreamResponse:
    """Refuse a request below VERSION or API that has an unknown or repeated query parameter."""
    if request.query_string:
        resource = request.match_info.route.resource
        if resource is not None and resource.canonical.startswith((VERSION, API)):
            wrong = query_errors(resource.canonical, (name for name, _ in request.query.items()))
            if wrong is not None:
                raise Problem(400, "bad_query", wrong)
    response: web.StreamResponse = await handler(request)
    return response
