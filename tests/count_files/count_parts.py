"""Parts of files with counts, and reports, for tests."""

from typing import Any

from gateway.count_files.parts import Part

CATEGORIES = ("advance", "election_day", "late")
UNIT = "0604-0001"


def at(minute: int, *, utc: bool = False) -> str:
    return f"2024-09-09T20:{minute:02}:00Z" if utc else f"2024-09-09T22:{minute:02}:00+02:00"


def figures(ballots: int = 10, **members: Any) -> dict[str, Any]:
    return {"ballots": ballots, "blank": 0, "rejected": 0, "votes": {"A": ballots}, **members}


def a_part(
    where: str = "a.csv, line 2", *, unit: str = UNIT, minute: int = 5, counts: Any = None, **members: Any
) -> Part:
    counts = {"advance": figures()} if counts is None else counts
    return Part(
        where.partition(",")[0],
        where,
        {"unit": unit, "counted_at": at(minute), "status": "final", "counts": counts, **members},
    )
