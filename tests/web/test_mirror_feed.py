"""How a page applies what a stream and a mirror send at the same time: whole blocks, whichever comes in between."""

from pathlib import Path
from typing import Any

from tests.web.in_node import run_with_modules

STUBS = {
    "block_source.js": """
export const sources = [];
export class BlockSource {
  hasMirror = true;
  restarts = 0;
  constructor(options, callbacks) { Object.assign(this, options, callbacks); sources.push(this); }
  restartStream() { this.restarts += 1; }
}
""",
    "mirror_route.js": 'export const DEFAULT = "default";',
    "source.js": "export const isFile = false; export const useDoor = () => {}; export const useMirror = () => {};",
    "stream_slot.js": "export class StreamSlot { take() {} release() {} }",
    "tabs.js": "export class Tabs { constructor(_, { lead }) { queueMicrotask(lead); } pass() {} announce() {} }",
    "waking.js": "export const onWake = () => {};",
}
RUN = """
globalThis.location = { href: "http://door.example/" };
const { Clock, EVERYTHING, Feed } = await import("./feed.js");
const { sources } = await import("./block_source.js");
const { readFileSync } = await import("node:fs");
const feed = new Feed("e", EVERYTHING, new Clock(), { onBlock() {}, onState() {} });
await null;
const source = sources[0];
for (const [from, ...given] of JSON.parse(readFileSync(0, "utf8"))) {
  if (from === "opened") source.address();
  else if (from === "behind") source.hasMirror = false;
  else if (from === "mirror") source.onBlock(given[0], given[1], `${given[1].sequence}-00000000`, "history");
  else source.onEvents(given.map(({ block, area }) => block
    ? { type: "block", id: `${block.sequence}-00000000`, data: JSON.stringify(block) }
    : { type: "area", id: "", data: JSON.stringify(area) }));
}
console.log(JSON.stringify({
  areas: Object.fromEntries([...feed.areas.values()].map(({ area, sequence }) => [area, sequence])),
  sequence: feed.sequence,
  restarts: source.restarts,
}));
process.exit(0);
"""
OPENED = ("opened",)


def area(name: str, sequence: int) -> dict[str, Any]:
    return {"area": name, "sequence": sequence}


def block(sequence: int, *, snapshot: bool = False) -> dict[str, Any]:
    return {
        "sequence": sequence,
        "snapshot": snapshot,
        "published_at": None,
        "server_time": "2100-01-01T00:00:00Z",
    }


def mirror(sequence: int, *areas: dict[str, Any], snapshot: bool = False) -> tuple[Any, ...]:
    return "mirror", areas, block(sequence, snapshot=snapshot)


def stream(*events: dict[str, Any]) -> tuple[Any, ...]:
    return "stream", *({"area": each} if "area" in each else {"block": each} for each in events)


def applied(tmp_path: Path, *events: tuple[Any, ...]) -> dict[str, Any]:
    """Return what a page shows after these events."""
    for name, content in STUBS.items():
        (tmp_path / name).write_text(content)
    found: dict[str, Any] = run_with_modules(tmp_path, ("feed.js",), RUN, events)
    return found


def test_files_of_a_mirror_take_nothing_from_a_block_of_the_stream_that_is_still_arriving(
    tmp_path: Path,
) -> None:
    found = applied(
        tmp_path,
        OPENED,
        stream(area("a", 7), area("b", 2)),
        mirror(6, area("a", 6), area("b", 2), area("c", 1), snapshot=True),
        stream(area("c", 1), block(7, snapshot=True)),
    )
    assert found == {"areas": {"a": 7, "b": 2, "c": 1}, "sequence": 7, "restarts": 0}


def test_what_a_stream_did_not_end_with_a_block_is_not_applied_by_the_next_one(tmp_path: Path) -> None:
    found = applied(
        tmp_path,
        mirror(5, area("a", 5), snapshot=True),
        OPENED,
        stream(area("a", 6)),
        mirror(7, area("a", 7)),
        OPENED,
        stream(block(8)),
    )
    assert found == {"areas": {"a": 7}, "sequence": 8, "restarts": 0}


def test_a_block_that_was_kept_back_changes_nothing_after_a_mirror_that_is_behind_by_now(
    tmp_path: Path,
) -> None:
    """It is older than the page; only a snapshot may be, of another record."""
    found = applied(
        tmp_path,
        OPENED,
        mirror(500, area("a", 500), area("b", 495), snapshot=True),
        ("behind",),
        stream(area("a", 489), block(490)),
    )
    assert found == {"areas": {"a": 500, "b": 495}, "sequence": 500, "restarts": 0}


def test_a_stream_is_opened_again_if_the_mirror_shows_another_record(tmp_path: Path) -> None:
    """Otherwise, its next block would follow one of the new record that was taken for one that is late."""
    found = applied(
        tmp_path,
        OPENED,
        mirror(500, area("a", 500), snapshot=True),
        stream(area("a", 90), block(100, snapshot=True)),
        mirror(95, area("a", 90), snapshot=True),
    )
    assert found == {"areas": {"a": 90}, "sequence": 95, "restarts": 1}
