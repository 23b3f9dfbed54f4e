# mypy: disable-error-code="import-not-found,untyped-decorator"
"""The usual way to write it: FastAPI, a model of the report, one INSERT per request."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import asyncpg
from fastapi import FastAPI, Request
from pydantic import BaseModel, Field


class Category(BaseModel):
    ballots: int = Field(ge=0)
    blank: int = Field(ge=0)
    rejected: int = Field(ge=0)
    voters: int | None = Field(default=None, ge=0)
    votes: dict[str, int]


class Report(BaseModel):
    unit: str
    revision: int = Field(ge=1)
    counted_at: datetime
    status: str
    counts: dict[str, Category]
    reason: str | None = None


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=10, max_size=10) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/reports", status_code=201)
async def report(report: Report, request: Request) -> dict[str, object]:
    row = await request.app.state.pool.fetchrow(
        "INSERT INTO peer.report (unit, revision, body) VALUES ($1, $2, $3) RETURNING sequence, accepted_at",
        report.unit,
        report.revision,
        await request.body(),
    )
    return {
        "unit": report.unit,
        "revision": report.revision,
        "outcome": "accepted",
        "sequence": row["sequence"],
        "accepted_at": row["accepted_at"],
    }
