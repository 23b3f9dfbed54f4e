"""The format of a mirror: from every position, the named files lead to the newest state."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.wire.mirror import (
    AREA_PROFILES_WITH_STEPS_MAX,
    FORMAT,
    LIVE_MAX,
    NOTHING,
    STEPS_MAX,
    Live,
    MalformedMirror,
    NotMirrored,
    Position,
    Profile,
    area_profile,
    decode_live,
    encode_live,
    file_name,
    require_names,
    route,
)
from tests.counts import examples

HISTORY = "20250908T190000Z-5f3a9c21"
DELTAS = f"v1/elections/e/live/{HISTORY}/default/"


def live_of(profile: Profile, sequence: int | None = None, **members: Any) -> Live:
    sequence = profile.at if sequence is None else sequence
    values: dict[str, Any] = {
        "format": FORMAT,
        "election": "e",
        "history": HISTORY,
        "sequence": sequence,
        "chain": "5f" * 32,
        "cursor": f"{sequence}-5f5f5f5f",
        "published_at": None,
        "written_at": datetime(2025, 9, 8, 19, tzinfo=UTC),
        "every_s": 2,
        "recent": (f"{sequence}-5f5f5f5f",),
        "documents": sequence,
        "ranges": 0,
        "holds": 0,
        "profiles": {"default": profile},
    }
    return Live(**values | members)


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    at = draw(st.integers(1, 200))
    steps = [*sorted(draw(st.sets(st.integers(0, at - 1), max_size=STEPS_MAX))), at]
    snapshot = draw(st.integers(0, at))
    since = draw(st.sets(st.integers(0, at - 1), max_size=2))
    since |= {snapshot} if snapshot < at else set()
    return Profile(at, snapshot, tuple(sorted(since)), tuple(steps) if len(steps) > 1 else ())


@settings(max_examples=examples(500), deadline=None)
@given(profiles(), st.integers(0, 220), st.integers(0, 20))
def test_the_files_of_a_route_follow_each_other_from_the_reader_to_the_newest_state(
    profile: Profile, sequence: int, later: int
) -> None:
    live = live_of(profile, profile.at + later)
    found = route(live, "default", Position(sequence, f"{sequence}-00000000", HISTORY))
    if sequence > live.sequence:
        assert found is None
        return
    assert found is not None
    if sequence >= profile.at:
        assert found == NOTHING
        return
    reached, names = sequence, [path.removeprefix(DELTAS).removesuffix(".ndjson") for path in found.files]
    if found.snapshot:
        assert names.pop(0) == f"at_{profile.snapshot}"
        reached = profile.snapshot
    for name in names:
        since, to = (int(part) for part in name.split("_"))
        assert since <= reached < to
        assert since in profile.since or since in profile.steps
        reached = to
    assert reached == profile.at


def test_a_reader_of_unknown_position_begins_with_a_snapshot() -> None:
    live = live_of(Profile(at=20, snapshot=10, since=(16, 10), steps=(16, 18, 20)))
    for reader in (None, Position(17, "17-00000000"), Position(17, "17-00000000", HISTORY[:-1] + "0")):
        found = route(live, "default", reader)
        assert found is not None
        assert found.snapshot
        assert found.files == (f"{DELTAS}at_10.ndjson", f"{DELTAS}10_20.ndjson")


def test_a_reader_of_the_stream_goes_on_where_its_cursor_is_known() -> None:
    live = live_of(Profile(20, 10, (16, 10), (16, 18, 20)), recent=("18-00000000", "20-5f5f5f5f"))
    found = route(live, "default", Position(18, "18-00000000"))
    assert found is not None
    assert found.files == (f"{DELTAS}18_20.ndjson",)
    assert route(live, "default", Position(20, "20-5f5f5f5f")) == NOTHING
    assert route(live, "default", Position(21, "21-00000000")) is None


def test_after_another_history_a_reader_begins_again_even_if_it_was_further() -> None:
    live = live_of(Profile(20, 20))
    found = route(live, "default", Position(30, "30-00000000", HISTORY[:-1] + "0"))
    assert found is not None
    assert found.files == (f"{DELTAS}at_20.ndjson",)


def test_live_json_stays_below_its_limit_with_the_longest_numbers_and_names() -> None:
    steps = tuple(range(9_999_989, 9_999_989 + STEPS_MAX))
    at = steps[-1]
    profile = Profile(at, at - 900, (at - 100, at - 900), steps)
    names = ["country", "default", *(area_profile(f"{number:04}") for number in range(19))]
    assert len(names) <= AREA_PROFILES_WITH_STEPS_MAX
    recent = tuple(f"{step}-5f5f5f5f" for step in steps)
    live = live_of(
        profile,
        recent=recent,
        election="no-storting-2025",
        profiles=dict.fromkeys(names, profile),
        closed_at=datetime(2025, 9, 9, 0, 0, 0, 123_456, UTC),
    )
    assert len(encode_live(live)) < LIVE_MAX
    assert decode_live(encode_live(live)) == live


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "valgnatt-mirror/2"}, "the format is 'valgnatt-mirror/2'"),
        ({"history": "../.."}, "history"),
        ({"profiles": {"../x": Profile(1, 1)}}, "'../x'"),
        ({"profiles": {"default": Profile(9, 1, (), ())}, "sequence": 9}, "'default'"),
        ({"profiles": {"default": Profile(9, 9)}, "sequence": 8}, "'default'"),
        ({"profiles": {"default": Profile(9, 9, (), (3, 3, 9))}, "sequence": 9}, "'default'"),
    ],
)
def test_a_live_json_that_leads_elsewhere_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(MalformedMirror) as refused:
        decode_live(encode_live(live_of(Profile(1, 1), **change)))
    assert message in str(refused.value)


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(st.text(min_size=1, max_size=8), min_size=2, max_size=2, unique=True))
def test_identifiers_have_file_names_of_their_own(identifiers: list[str]) -> None:
    one, other = (file_name(each) for each in identifiers)
    assert one != other
    for name in (one, other):
        assert name.isascii()
        assert not name.startswith(".")
        assert not set(name) & set('/\\%?#:*"<>| ')


def test_the_identifiers_of_norway_are_file_names_as_they_are() -> None:
    assert [file_name(each) for each in ("0301", "03", "no", "0301-0004")] == [
        "0301",
        "03",
        "no",
        "0301-0004",
    ]
    assert file_name("../a_x") == "_x002E_._x002F_a_x005F_x"


@pytest.mark.parametrize(
    ("election", "areas", "message"),
    [
        ("a.json", [], "election a.json ends like the file of a registry"),
        ("a.json.gz", [], "election a.json.gz ends like the file of a registry"),
        ("a", ["0301", "ø" * 28], "area " + "ø" * 28 + " would have 196 characters, more than 195"),
    ],
)
def test_an_election_whose_files_have_no_names_is_refused(
    election: str, areas: list[str], message: str
) -> None:
    with pytest.raises(NotMirrored) as refused:
        require_names(election, areas)
    assert message in str(refused.value)


def test_names_as_long_as_they_may_be_are_accepted_by_file_systems_and_by_readers() -> None:
    area = "ø" * 27 + "012345"
    require_names("a.json.x", [area, "x" * 64])
    profile = area_profile(area)
    assert len(f"{file_name(area)}.json.gz") < 255
    assert decode_live(encode_live(live_of(Profile(1, 1), profiles={profile: Profile(1, 1)}))).profiles
