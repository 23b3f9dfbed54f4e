"""The stream of reports: those of each unit over its life, merged in the order of time."""

from collections.abc import Iterator
from datetime import timedelta
from random import Random
from typing import Any, NamedTuple

from gateway.rehearsal.generator.corrections import Change, corrected, emptied, part_of
from gateway.rehearsal.generator.counting import NOTHING, Counts, count_municipality
from gateway.rehearsal.generator.geography import POLLS_CLOSE, Country, Municipality, Unit
from gateway.rehearsal.generator.lines import Lines
from gateway.rehearsal.generator.lives import (
    STATUSES,
    USUAL_LIFE,
    Plan,
    Step,
    first_moment,
    life,
    next_moment,
    plans,
)
from gateway.rehearsal.generator.parties import TYPICAL_ELECTORATE, Lean, county_lean, municipality_lean
from gateway.trimmed_json import dumps_trimmed

PART_COUNTED = {"k": (0.25, 0.37), "u": (0.955, 0.96)}
"""Range of the share of ballots counted in the first such report of a unit."""
NEARLY_COUNTED = (0.81, 0.9)
"""Range of the share in a later one. No two parts of a pile are of similar size, as if one was counted twice."""
UNSOUND = "nk"
"""Letters of reports whose figures are incomplete."""
PUBLISHED_AFTER_S = (5, 14)
"""Delay from a count to the official service (recorded: median 9 s, 95 % within 14 s)."""


class _Made(NamedTuple):
    """A report and its time, in seconds after the polls closed."""

    at: int
    line: bytes


class _Course(NamedTuple):
    """What the units of a municipality share while they report."""

    place: Municipality
    lean: Lean
    plan: Plan


def report_lines(rng: Random, country: Country) -> Lines:
    """Return the lines of `reports.ndjson.gz`: all reports of all units, in the order of `counted_at`."""
    made: list[_Made] = []
    for number, county in enumerate(country.counties):
        lean = county_lean(rng, county.ballot)
        for place, plan in zip(county.municipalities, plans(rng, county), strict=True):
            size = max(place.eligible, 1) / TYPICAL_ELECTORATE
            course = _Course(place, municipality_lean(rng, lean, size), plan)
            made.extend(_of_municipality(rng, course, capital=number == 0))
    made.sort(key=lambda report: report.at)  # stable: what is made in one second stays in its order
    return Lines([report.line for report in made])


def timestamp(seconds: int) -> str:
    """Return a time, in seconds after the polls closed, as RFC 3339 with an offset."""
    return (POLLS_CLOSE + timedelta(seconds=seconds)).isoformat()


def _of_municipality(rng: Random, course: _Course, *, capital: bool) -> Iterator[_Made]:
    units = course.place.units
    lives = {unit.id: life(rng, unit) for unit in units}
    first = next(unit for unit in units if unit.is_polling_place)
    if lives[first.id].startswith("e"):  # this unit counts the ballots of those counted elsewhere
        lives[first.id] = USUAL_LIFE
    closed = frozenset(id_ for id_, letters in lives.items() if letters.startswith("e"))
    counts = count_municipality(rng, course.place, course.lean, closed, capital=capital)
    for unit in units:
        yield from _of_unit(rng, course, unit, lives[unit.id], counts[unit.id])


def _of_unit(rng: Random, course: _Course, unit: Unit, letters: str, whole: Counts) -> Iterator[_Made]:
    """Yield the reports of one unit; `sound` is its complete count as last corrected, without partial ones."""
    counts = sound = whole
    reason, shown, encoded = None, {}, NOTHING
    at, before = first_moment(rng, unit, letters[0]), ""
    for revision, letter in enumerate(letters, 1):
        if before:
            step = Step(at, before, letter)
            at = next_moment(rng, step, course.plan)
            changed, reason = _next_counts(rng, unit, step, counts, sound)
            counts, reason = (counts, None) if changed == counts else (changed, reason)
        elif letter in PART_COUNTED:
            counts = part_of(whole, rng.uniform(*PART_COUNTED[letter]))
        if counts is not encoded:
            shown, encoded = {category: tally.as_json() for category, tally in counts.items()}, counts
        if before and letter not in UNSOUND:
            sound = counts
        line = _line(rng, course.place, unit, revision, at, letter, shown, reason)
        yield _Made(at, dumps_trimmed(line))
        before = letter


def _next_counts(rng: Random, unit: Unit, step: Step, counts: Counts, sound: Counts) -> Change:
    """Return the counts of the next report, and its reason."""
    match step.before, step.letter:
        case _, "n":
            return NOTHING, "revoked"
        case before, "e" if before != "e":
            return emptied(counts), "other"
        case _, "k":
            return part_of(sound, rng.uniform(*NEARLY_COUNTED)), None
        case "n", _:
            return sound, "recount"
        case (("k" | "u"), _) if counts is not sound:  # the rest of the pile is counted
            return sound, None
    in_advance = not unit.is_polling_place and unit.kind != "unspecified"
    return corrected(rng, counts, step.before + step.letter, in_advance=in_advance)


def _line(
    rng: Random,
    place: Municipality,
    unit: Unit,
    revision: int,
    at: int,
    letter: str,
    shown: dict[str, Any],
    reason: str | None,
) -> dict[str, Any]:
    report = {
        "unit": unit.id,
        "revision": revision,
        "counted_at": timestamp(at),
        "status": STATUSES[letter],
        "counts": shown,
    }
    if reason:
        report["reason"] = reason
    return {
        "municipality": place.id,
        "generated_at": timestamp(at + rng.randint(*PUBLISHED_AFTER_S)),
        "report": report,
    }
