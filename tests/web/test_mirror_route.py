"""Pages find the same files of a mirror as `gateway/wire/mirror.py`: both are given the same cases."""

from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from gateway.wire.mirror import (
    Live,
    MalformedMirror,
    Position,
    Profile,
    area_profile,
    decode_live,
    encode_live,
    file_name,
    is_behind,
    route,
)
from tests.counts import examples
from tests.web.in_node import run_with_modules
from tests.wire.test_mirror import HISTORY, live_of

ANOTHER = HISTORY[:-1] + "0"
RUN = """
import { areaProfile, fileName, isBehind, readLive, route } from "./mirror_route.js";
import { readFileSync } from "node:fs";
const { routes, lives, names, ages } = JSON.parse(readFileSync(0, "utf8"));
const accepted = (text) => { try { readLive(text); return true; } catch { return false; } };
console.log(JSON.stringify({
  routes: routes.map(({ live, reader }) => route(readLive(live), "default", reader)),
  lives: lives.map(accepted),
  names: names.map((name) => [fileName(name), areaProfile(name)]),
  ages: ages.map(([every_s, age_s, closed_at]) => isBehind(every_s, age_s, closed_at)),
}));
"""
BROKEN: list[dict[str, Any]] = [
    {"format": "valgnatt-mirror/2"},
    {"history": "../.."},
    {"profiles": {"../x": Profile(1, 1)}},
    {"profiles": {"default": Profile(9, 1)}, "sequence": 9},
    {"profiles": {"default": Profile(9, 9)}, "sequence": 8},
    {"profiles": {"default": Profile(9, 9, (9,))}, "sequence": 9},
    {"profiles": {"default": Profile(9, 9, (), (3, 3, 9))}, "sequence": 9},
    {"profiles": {"default": Profile(9, 9, (), (3, 8))}, "sequence": 9},
    {"profiles": {"default": Profile(9, -1)}, "sequence": 9},
]
SOUND: list[dict[str, Any]] = [
    {},
    {"closed_at": datetime(2025, 9, 9, tzinfo=UTC)},
    {"profiles": {}},
    {"profiles": {"default": Profile(9, 4, (2, 4), (7, 9))}},
]
NAMES = ["0301", "no", "0301-0004", "../a_x", "_x", ".b", "a.b", "Ås", "a b", "😀", "_", "x/y\\z"]
CLOSED_AT = datetime(2025, 9, 9, tzinfo=UTC)
AGES = [(1, 8.0), (1, 8.1), (2, 11), (2, 11.01), (30, 95), (30, 95.5), (2, 86_400, CLOSED_AT)]


def a_case(random: Random) -> tuple[Live, Position | None]:
    """Return a random state of a mirror, and a reader that is before, at or after it."""
    at = random.randint(1, 60)
    steps = sorted({*random.choices(range(at), k=random.randint(0, 10)), at})
    snapshot = random.randint(0, at)
    since = {*random.choices(range(at), k=random.randint(0, 2))} | ({snapshot} if snapshot < at else set())
    profile = Profile(at, snapshot, tuple(sorted(since)), tuple(steps) if len(steps) > 1 else ())
    sequence = random.randint(0, at + 10)
    cursor = f"{sequence}-00000000"
    later = at + random.randint(0, 5)
    live = live_of(profile, later, recent=(cursor,) if random.random() < 0.5 else (f"{later}-5f5f5f5f",))
    history = random.choice([HISTORY, HISTORY, ANOTHER, None])
    return live, random.choice([Position(sequence, cursor, history)] * 9 + [None])


def test_pages_take_the_same_files_names_and_ages_as_other_readers(tmp_path: Path) -> None:
    cases = [a_case(Random(seed)) for seed in range(examples(2000))]
    changes: list[dict[str, Any]] = [*BROKEN, *SOUND]
    lives = [live_of(Profile(1, 1), **{"sequence": 9} | change) for change in changes]
    found = run_with_modules(
        tmp_path,
        ("mirror_route.js",),
        RUN,
        {
            "routes": [
                {"live": encode_live(live).decode(), "reader": reader and reader._asdict()}
                for live, reader in cases
            ],
            "lives": [encode_live(live).decode() for live in lives],
            "names": NAMES,
            "ages": [(*each[:2], *(str(other) for other in each[2:])) for each in AGES],
        },
    )
    for (live, reader), shown in zip(cases, found["routes"], strict=True):
        wanted = route(live, "default", reader)
        assert shown == (wanted and {"files": list(wanted.files), "snapshot": wanted.snapshot})
    assert {each and (each["snapshot"], len(each["files"])) for each in found["routes"]} >= {
        None,
        (False, 0),
        (False, 1),
        (False, 2),
        (True, 1),
        (True, 2),
    }
    assert found["lives"] == [False] * len(BROKEN) + [True] * len(SOUND)
    assert found["lives"] == [accepted(encode_live(live)) for live in lives]
    assert found["names"] == [[file_name(name), area_profile(name)] for name in NAMES]
    assert found["ages"] == [is_behind(*each) for each in AGES]


def accepted(content: bytes) -> bool:
    try:
        decode_live(content)
    except MalformedMirror:
        return False
    return True
