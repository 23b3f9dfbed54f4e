"""The query parameters of each route, as a table and a middleware. Others would make another address of every request
and so pass by every cache, here and in front; and a mistyped one would be ignored, so that its answer is another one.

`openapi.yaml` says the same, and a test compares both.
"""

import re
from collections.abc import Iterable
from typing import Any

from aiohttp import web

from gateway.web.answers import Problem

_ELECTION = "/v1/elections/{election}"
KNOWN: dict[str, tuple[str, ...]] = {
    f"{_ELECTION}/feed": ("levels", "areas", "every_s", "last_event_id", "lastEventId"),
    f"{_ELECTION}/areas/{{area}}": ("format", "at_least"),
    f"{_ELECTION}/publications": ("after", "limit", "last_event_id", "lastEventId"),
    f"{_ELECTION}/publications/{{range}}": ("chain",),
}
"""By path, on either door; every other route below VERSION has none."""
VERSION = "/v1/"
NAMED_MAX = 5
"""Parameters that one refusal names."""
_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,32}")


def mistakes(route: str, names: Iterable[str]) -> str | None:
    """Return what is wrong with the names of a query's parameters, None where nothing is.

    Names are shown only where they are plain words: they come from whoever asks.
    """
    known = KNOWN.get(route, ())
    seen: set[str] = set()
    wrong: dict[str, None] = {}
    for name in names:
        if name not in known:
            wrong[f"{name} is not known" if _PLAIN.fullmatch(name) else "a name is no plain word"] = None
        elif name in seen:
            wrong[f"{name} is repeated"] = None
        seen.add(name)
    if not wrong:
        return None
    named = [*wrong][:NAMED_MAX]
    more = [f"and {len(wrong) - NAMED_MAX} more"] if len(wrong) > NAMED_MAX else []
    there = f"the parameters here are {', '.join(known)}" if known else "there are no parameters here"
    return f"{'; '.join(named + more)}; {there}"


@web.middleware
async def known_queries(request: web.Request, handler: Any) -> web.StreamResponse:
    """Refuse a request below VERSION that has an unknown query parameter, or one twice."""
    if request.query_string:
        resource = request.match_info.route.resource
        if resource is not None and resource.canonical.startswith(VERSION):
            wrong = mistakes(resource.canonical, (name for name, _ in request.query.items()))
            if wrong is not None:
                raise Problem(400, "bad_query", wrong)
    response: web.StreamResponse = await handler(request)
    return response
