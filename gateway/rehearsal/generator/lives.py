"""Times and statuses of the reports of each unit, from the first advance ballots to the settlement.

The life of a unit is a string with a letter per report (`STATUSES`); frequencies of lives were counted in the recorded
Norwegian election of 2025. Times are seconds after the polls close; −3600 is an hour before.

    the day before, and the day     advance ballots, in two working days
    the last hour                   small polling stations, which close earlier
    ------------------------------- polls close, all of the above becomes public
    the night                       polling stations; what was preliminary becomes final
    next day, 17:00                 the late advance ballots
    next day, 21:16                 a job restates the voters of nearly all polling stations
    days 2 to 4                     each municipality is controlled, unit by unit
    days 3 to 7                     each county is settled: hundreds of reports within a minute
"""

from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from gateway.rehearsal.generator.geography import County, Unit

MINUTE, HOUR, DAY = 60, 3600, 86400

STATUSES = {
    "n": "not_counted",  # revoked: for a while nothing counts
    "k": "counting",
    "p": "preliminary",
    "f": "final",
    "c": "controlled",
    "s": "settled",
    "e": "counted_elsewhere",
    "u": "unstated",
}

# How many units of each kind led which life (recorded, the rarest and misbooked counts left out; being emptied or
# revoked is made a little more common, so that smaller elections have some too). `errors` adds wrong counts.
LIVES = {
    "polling_station": {
        "pffcs": 653, "pfcs": 461, "ffcs": 183, "fcs": 83, "ee": 33, "pffs": 22, "pfs": 21, "e": 18,
        "pfffcs": 7, "ppffcs": 6, "fe": 5, "pffcscs": 4, "fnfcs": 4, "fffcs": 4, "fs": 3, "pffcfs": 3,
        "fpfcs": 3, "pfpffcs": 3,
    },
    "advance_station": {
        "fcs": 620, "e": 174, "pfcs": 49, "fs": 17, "ffcs": 12, "fcscs": 4, "pffcs": 3, "fnfcs": 3, "fe": 2,
    },
    "other_advance": {
        "fcs": 260, "pfcs": 27, "fcscs": 19, "ffcs": 13, "fs": 8, "fccs": 8, "fpfcs": 6, "fffcs": 5,
        "ppfcs": 3, "pfcscs": 2, "fscs": 2, "fnfcs": 2,
    },
    "late_advance": {
        "fcs": 230, "pfcs": 82, "fcscs": 14, "fs": 7, "ffcs": 4, "pfcscs": 3, "pfs": 3, "fccs": 3, "pffcs": 3,
        "ppfcs": 3, "fe": 1,
    },
    "unspecified": {
        "fcs": 159, "ffcs": 72, "pfcs": 57, "pffcs": 23, "fcscs": 11, "fs": 8, "ffcscs": 6, "fe": 6,
        "fpfcs": 4, "fffcs": 3, "fccs": 2, "pfcscs": 2,
    },
    "borough": {"kppfs": 6, "kpfs": 4, "kkppfs": 4, "kppffs": 1},
}  # fmt: skip
USUAL_LIFE = "pffcs"
ALL_ADVANCE_LIFE = "uuuuuu"

# First reports.
EARLY = {"advance_station": 0.98, "other_advance": 0.93, "unspecified": 0.13}
EARLY_POLLING_SIZE, EARLY_POLLING_POWER = 940, 1.15
"""Half of the polling stations of this size report before the polls close, fewer of the larger ones."""
DAY_BEFORE = 0.36
"""Share of early counts that are made the day before."""
ALL_ADVANCE_AT = -4 * HOUR - 20 * MINUTE
LATE_ADVANCE_AT = 20 * HOUR
ELSEWHERE_JOB_AT, ELSEWHERE_IN_JOB = 5851, 0.22
"""Second in which a share of the units counted elsewhere report that (recorded: 50, at 22:37:16)."""
LAST_HOUR, NIGHT_STEP = 28 * MINUTE, 36 * MINUTE
"""Mean time before the polls close of early stations; half the mean time after it of the others."""

# The days after.
NEXT_MORNING = 0.30
"""Share of preliminary counts that become final only the next morning."""
REGISTER_JOB_AT, REGISTER_JOB_SPAN = 24 * HOUR + 16 * MINUTE, 280
CONTROL_DAYS = {1: 0.28, 2: 0.45, 3: 0.24, 6: 0.03}
"""Days on which municipalities are controlled, with their shares; 0 is the day after the election."""
LIKE_THE_COUNTY = 0.9
"""Share of a county's municipalities that are controlled on the same day."""
CONTROL_PACE = 150
"""Mean seconds from one unit to the next."""
SETTLED_AFTER = (0.3, 0.5, 1, 1, 16, 20, 24)
"""Hours from a county's last control to its settlement."""
SETTLEMENT_SPAN = 22
"""Seconds within which all municipalities of a county are settled."""


@dataclass(slots=True)
class Plan:
    """Times of the steps of a municipality; `control_at` advances with every controlled unit."""

    register_at: int
    control_at: float
    settled_at: int


class Step(NamedTuple):
    """The step from one report of a unit, made `at`, to the next; `before` and `letter` are letters of its life."""

    at: int
    before: str
    letter: str


def plans(rng: Random, county: County) -> list[Plan]:
    """Return a plan per municipality of a county. A county is settled when all of it has been controlled."""
    days, odds = list(CONTROL_DAYS), list(CONTROL_DAYS.values())
    usual = rng.choices(days, odds)[0]
    controls = []
    for place in county.municipalities:
        day = usual if rng.random() < LIKE_THE_COUNTY else rng.choices(days[:3], odds[:3])[0]
        length = 1.5 * CONTROL_PACE * len(place.units)
        begin = day * DAY + 11 * HOUR + rng.betavariate(1.6, 1.6) * 13 * HOUR  # 08:00 to 21:00
        controls.append((begin, begin + length))
    settled_at = max(end for _, end in controls) + rng.choice(SETTLED_AFTER) * HOUR
    settled_at = in_working_hours(rng, settled_at + rng.random() * HOUR)
    return [
        Plan(
            register_at=REGISTER_JOB_AT + rng.randrange(REGISTER_JOB_SPAN),
            control_at=begin,
            settled_at=settled_at + rng.randrange(SETTLEMENT_SPAN),
        )
        for begin, _ in controls
    ]


def in_working_hours(rng: Random, at: float) -> int:
    """Return the time itself, or, if it is at night, a time between 9 and 10 the next morning."""
    since_eight = (at + 13 * HOUR) % DAY  # polls close at 21:00, 13 hours after 08:00
    if since_eight < 14 * HOUR:
        return int(at)
    return int(at - since_eight + DAY + HOUR + rng.random() * HOUR)


def life(rng: Random, unit: Unit) -> str:
    """Return the letters of a unit's reports."""
    if unit.holds_all_advance:
        return ALL_ADVANCE_LIFE
    lives = LIVES[unit.kind]
    return rng.choices(list(lives), list(lives.values()))[0]


def first_moment(rng: Random, unit: Unit, letter: str) -> int:
    """Return the time of a unit's first report."""
    if unit.holds_all_advance:
        return ALL_ADVANCE_AT
    if letter == "e" and rng.random() < ELSEWHERE_IN_JOB:
        return ELSEWHERE_JOB_AT
    if unit.kind == "polling_station":
        early = 1 / (1 + (unit.eligible / EARLY_POLLING_SIZE) ** EARLY_POLLING_POWER)
        return _last_hour(rng) if rng.random() < early else _night(rng)
    if unit.kind == "borough":
        return 48 * MINUTE + int(rng.gammavariate(2, 5 * MINUTE))
    if rng.random() < EARLY.get(unit.kind, 0.0):
        return _last_hour(rng) if unit.kind == "unspecified" else _before_the_polls_close(rng)
    if unit.kind == "late_advance" or rng.random() < 0.4:
        return _next_day(rng)
    return _night(rng)


def _before_the_polls_close(rng: Random) -> int:
    if rng.random() < DAY_BEFORE:
        return -DAY - 11 * HOUR - 30 * MINUTE + int(rng.betavariate(3, 2.6) * 14 * HOUR)  # 09:30 to 23:30
    return (
        -11 * HOUR - 30 * MINUTE + int(rng.betavariate(1.7, 1.2) * (11 * HOUR + 29 * MINUTE))
    )  # 09:30 to 20:59


def _last_hour(rng: Random) -> int:
    before = 1 + int(rng.expovariate(1 / LAST_HOUR))
    return -before - (DAY if rng.random() < 0.03 else 0)  # some small places vote the day before only


def _night(rng: Random) -> int:
    return int(rng.gammavariate(2, NIGHT_STEP))


def _next_day(rng: Random) -> int:
    spread = 12 * MINUTE if rng.random() < 0.7 else 2 * HOUR
    return max(LATE_ADVANCE_AT + 25 * MINUTE + int(rng.gauss(0, spread)), 13 * HOUR)


def next_moment(rng: Random, step: Step, plan: Plan) -> int:
    """Return the time of the next report: after the previous one, and never a second one under the embargo."""
    match step.letter:
        case "c":
            at = _controlled(rng, step, plan)
        case "s":
            at = (
                plan.settled_at
                if step.at < plan.settled_at
                else step.at + rng.randrange(2 * MINUTE, 40 * MINUTE)
            )
        case "n":
            at = _found_out(rng, step)
        case "e":
            at = plan.register_at if step.before == "e" else _found_out(rng, step)
        case "u":
            at = in_working_hours(rng, max(step.at, 0) + rng.uniform(0.5, 24) * HOUR)
        case _:
            at = _finished(rng, step, plan)
    return max(at, step.at + 1, 1)


def _finished(rng: Random, step: Step, plan: Plan) -> int:
    """Preliminary after a part, or final: an hour or so later, or with the job that restates the voters."""
    if step.before == "f" and step.at < plan.register_at:
        return plan.register_at
    if step.before == "n":  # revoked, edited and approved again within 20 minutes
        return step.at + rng.randrange(8 * MINUTE, 20 * MINUTE)
    if step.before == "p" and rng.random() < NEXT_MORNING:
        return in_working_hours(rng, max(step.at, 0) + 11 * HOUR)
    return max(step.at, 0) + 10 * MINUTE + int(rng.expovariate(1 / (70 * MINUTE)))


def _found_out(rng: Random, step: Step) -> int:
    """Some hours later somebody finds that it was wrong."""
    return max(step.at, 0) + rng.randrange(HOUR, 18 * HOUR)


def _controlled(rng: Random, step: Step, plan: Plan) -> int:
    """In its turn; again after the settlement, or soon after the first time."""
    if step.before == "s":
        return in_working_hours(rng, step.at + rng.uniform(2, 26) * HOUR)
    if step.before == "c":
        return step.at + rng.randrange(5 * MINUTE, HOUR)
    plan.control_at += rng.expovariate(1 / CONTROL_PACE)
    return int(plan.control_at)
