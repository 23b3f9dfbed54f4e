# mypy: disable-error-code="import-not-found,untyped-decorator"
"""The usual way to write it: FastAPI and sse-starlette, one queue per subscriber."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import FastAPI, Request
from sse_starlette.sse import EventSourceResponse

app = FastAPI()
subscribers: set[asyncio.Queue[str]] = set()


@app.post("/changes", status_code=202)
async def publish(request: Request) -> None:
    change = (await request.body()).decode()
    for queue in subscribers:
        queue.put_nowait(change)


@app.get("/changes")
async def follow() -> EventSourceResponse:
    queue: asyncio.Queue[str] = asyncio.Queue()

    async def events() -> AsyncIterator[dict[str, str]]:
        subscribers.add(queue)
        try:
            while True:
                yield {"data": await queue.get()}
        finally:
            subscribers.discard(queue)

    return EventSourceResponse(events(), sep="\n")
