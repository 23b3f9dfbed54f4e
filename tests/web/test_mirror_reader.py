"""How pages read a mirror when it or a cache answers wrongly: whole files only, never an older state, within bounds."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from gateway.wire.mirror import Profile, encode_live, live_path
from tests.web.in_node import run_with_modules
from tests.wire.test_mirror import HISTORY, live_of

MODULES = ("mirror_live.js", "mirror_route.js", "fetching.js", "waking.js")
EARLIER = "20250907T200000Z-00000000"
LATER = "20250908T200000Z-00000000"
DELTAS = f"v1/elections/e/live/{HISTORY}/default"
ENDLESS = {"endless": True}
FILE_MAX, LIVE_MAX = 32 << 20, 64 << 10
PIECE = 1 << 20
RUN = """
globalThis.addEventListener = () => {};
const wait = globalThis.setTimeout;
globalThis.setTimeout = (then) => wait(then, 1);
const { MirrorReader } = await import("./mirror_live.js");
const { readFileSync } = await import("node:fs");
const phases = JSON.parse(readFileSync(0, "utf8"));
let files = {}, polls = 0, pieces = 0, requests = [];
const endless = () => new ReadableStream({ pull: (to) => { pieces += 1; to.enqueue(new Uint8Array(%d).fill(32)); } });
let caches = [];
globalThis.fetch = async (url, { cache }) => {
  const path = new URL(url).pathname.slice(1);
  if (path.endsWith("/live.json")) polls += 1;
  requests.push(path);
  caches.push(cache);
  const body = files[path];
  if (body === undefined) return new Response("", { status: 404 });
  return new Response(typeof body === "string" ? body : endless());
};
const copy = { areas: {}, sequence: 0, cursor: "", history: null, snapshots: 0, blocks: 0 };
let status = null, reader = null;
const results = [];
for (const phase of phases) {
  files = phase;
  requests = [];
  caches = [];
  pieces = 0;
  const before = polls;
  reader ??= new MirrorReader(
    { root: "http://mirror.example/", live: (id) => `http://mirror.example/v1/elections/${id}/live.json` },
    "e",
    ["area-none", "default"],
    {
      position: () => (copy.cursor ? copy : null),
      onBlock: (changed, block, cursor, history) => {
        copy.known = status?.history === history;
        if (block.snapshot) copy.areas = {};
        for (const { area, sequence } of changed) copy.areas[area] = sequence;
        Object.assign(copy, { sequence: block.sequence, cursor, history });
        copy.snapshots += Number(block.snapshot);
        copy.blocks += 1;
      },
      onStatus: (found) => { status = found; },
    },
  );
  while (polls < before + 3) await new Promise((done) => wait(done, 1));
  results.push({ ...copy, areas: { ...copy.areas }, behind: status?.behind ?? null, pieces, requests, caches });
}
console.log(JSON.stringify(results));
process.exit(0);
"""


def a_live(profile: Profile, second: int = 0, **members: Any) -> str:
    written_at = datetime(2001, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
    return encode_live(live_of(profile, written_at=written_at, **members)).decode()


def a_file(to: int, *, count: int | None = None, **areas: int) -> str:
    """Return a snapshot or delta up to a sequence, with areas and the sequences of their documents."""
    lines = [json.dumps({"area": area, "sequence": sequence}) for area, sequence in areas.items()]
    block = {"sequence": to, "areas": len(areas) if count is None else count}
    return "".join(f"{line}\n" for line in (*lines, json.dumps(block)))


def read(tmp_path: Path, *phases: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what a reader has after some polls of each state of the mirror."""
    found: list[dict[str, Any]] = run_with_modules(tmp_path, MODULES, RUN % PIECE, phases)
    return found


BEFORE = {
    live_path("e"): a_live(Profile(3, 2, (2,), (2, 3))),
    f"{DELTAS}/at_2.ndjson": a_file(2, a=1, b=2),
    f"{DELTAS}/2_3.ndjson": a_file(3, a=3),
}
NEXT = {live_path("e"): a_live(Profile(5, 2, (2,), (3, 5)), 1)}
DELTA = f"{DELTAS}/3_5.ndjson"
HAD = {"a": 3, "b": 2}


def test_a_page_applies_what_is_new_and_nothing_else(tmp_path: Path) -> None:
    first, same, then, other = read(
        tmp_path,
        BEFORE,
        BEFORE,
        NEXT | {DELTA: a_file(5, b=5)},
        {
            live_path("e"): a_live(Profile(1, 1), 2, history=LATER),
            f"{DELTAS.replace(HISTORY, LATER)}/at_1.ndjson": a_file(1, c=1),
        },
    )
    assert (first["areas"], first["sequence"], first["snapshots"], first["blocks"]) == (HAD, 3, 1, 1)
    assert (same["blocks"], set(same["requests"])) == (1, {live_path("e")})
    assert (then["areas"], then["sequence"], then["snapshots"], then["blocks"]) == ({"a": 3, "b": 5}, 5, 1, 2)
    assert (other["areas"], other["sequence"], other["snapshots"]) == ({"c": 1}, 1, 2)
    assert first["known"], "documents would be read from nowhere"
    assert other["known"], "documents would be read from a history that is past"


UNUSABLE: tuple[dict[str, Any], ...] = (
    {live_path("e"): a_live(Profile(2, 2), 9)},
    {live_path("e"): a_live(Profile(9, 9), 9, history="20240908T190000Z-00000000")},
    {live_path("e"): a_live(Profile(9, 9), 9, election="another")},
    {live_path("e"): a_live(Profile(9, 9), 9, format="valgnatt-mirror/2")},
    {live_path("e"): a_live(Profile(9, 9), 9, profiles={})},
    {live_path("e"): "<h1>Sorry.</h1>"},
    {},
    NEXT,
    NEXT | {DELTA: ""},
    NEXT | {DELTA: "[]"},
    NEXT | {DELTA: '{"area":"b","sequence":5}\n'},
    NEXT | {DELTA: a_file(5, count=2, b=5)},
    NEXT | {DELTA: a_file(4, b=5)},
    NEXT | {DELTA: a_file(5, b=5)[:-5]},
    NEXT | {DELTA: '{"sequence":5}\n{"sequence":5,"areas":1}\n'},
)
"""A cache that is late, another election, and files that were cut off, are missing, or are not of the format."""
ENDLESS_ANSWERS = (({live_path("e"): ENDLESS}, LIVE_MAX), (NEXT | {DELTA: ENDLESS}, FILE_MAX))


def test_what_is_older_or_not_whole_changes_nothing_and_the_page_goes_on(tmp_path: Path) -> None:
    _, *during, after = read(tmp_path, BEFORE, *UNUSABLE, NEXT | {DELTA: a_file(5, b=5)})
    for answers, each in zip(UNUSABLE, during, strict=True):
        assert (each["areas"], each["sequence"], each["blocks"]) == (HAD, 3, 1), answers
    assert (after["areas"], after["sequence"], after["snapshots"]) == ({"a": 3, "b": 5}, 5, 1)


def test_another_mirror_may_take_the_place_of_one_that_has_stopped_and_no_page_goes_back(
    tmp_path: Path,
) -> None:
    """Its history may be earlier: it is written later. A page that is ahead of it waits, and stays with it."""

    def other(sequence: int, second: int) -> dict[str, Any]:
        live = a_live(Profile(sequence, sequence), second, history=EARLIER)
        return {
            live_path("e"): live,
            f"{DELTAS.replace(HISTORY, EARLIER)}/at_{sequence}.ndjson": a_file(sequence, a=sequence),
        }

    found = read(tmp_path, BEFORE, other(2, 9), other(5, 10), NEXT | {DELTA: a_file(5, b=5)}, other(6, 11))
    assert [each["sequence"] for each in found] == [3, 3, 5, 5, 6]
    assert [each["areas"] for each in found] == [HAD, HAD, {"a": 5}, {"a": 5}, {"a": 6}]


def test_a_page_passes_by_its_cache_once_if_a_mirror_looks_as_if_it_were_behind(tmp_path: Path) -> None:
    """A cache on the way may keep the ETag of a file that has changed."""
    found = read(tmp_path, BEFORE, BEFORE)
    assert [cache for each in found for cache in each["caches"]].count("reload") == 1


def test_a_page_says_that_files_are_old_if_what_they_name_is_missing(tmp_path: Path) -> None:
    first, missing, after = read(tmp_path, BEFORE, NEXT, NEXT | {DELTA: a_file(5, b=5)})
    assert [each["behind"] for each in (first, missing, after)] == [True, True, False]


def test_an_answer_without_end_is_given_up(tmp_path: Path) -> None:
    answers = [each for each, _ in ENDLESS_ANSWERS]
    _, *during, after = read(tmp_path, BEFORE, *answers, NEXT | {DELTA: a_file(5, b=5)})
    for (_, most), each in zip(ENDLESS_ANSWERS, during, strict=True):
        assert (each["areas"], each["sequence"]) == (HAD, 3)
        assert each["pieces"] <= each["requests"].count(live_path("e")) * (most // PIECE + 3)
    assert after["sequence"] == 5


def test_a_mirror_is_behind_by_the_clocks_until_its_time_is_seen_to_change(tmp_path: Path) -> None:
    """The clock of the reader may be wrong."""
    first, same, changed = read(tmp_path, BEFORE, BEFORE, NEXT | {DELTA: a_file(5, b=5)})
    assert [each["behind"] for each in (first, same, changed)] == [True, True, False]


def test_the_mirror_of_a_closed_election_is_not_behind_however_old_it_is(tmp_path: Path) -> None:
    closed = {live_path("e"): a_live(Profile(3, 2, (2,), (2, 3)), closed_at=datetime(2001, 1, 1, tzinfo=UTC))}
    (found,) = read(tmp_path, BEFORE | closed)
    assert (found["behind"], found["sequence"]) == (False, 3)
