"""What `valgnatt doctor` says about a mirror: its target, and the web server in front of it."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from gateway.config import Config
from gateway.doctor.facts import Facts
from gateway.doctor.findings import Finding
from gateway.doctor.mirror import check_mirror
from gateway.doctor.mirror_facts import MirroredElection, MirrorSite, MirrorTarget, SiteElection, SiteFile
from gateway.doctor.mirror_probe import site_file

LIVE = SiteFile(
    path="v1/elections/e/live.json",
    status=200,
    gzip=True,
    max_age_s=2,
    any_origin=True,
    etag='"1"',
    revalidates=True,
)
SNAPSHOT = msgspec.structs.replace(
    LIVE, path="v1/elections/e/live/h/country/at_1.ndjson", max_age_s=31_536_000, immutable=True
)
ELECTION = SiteElection(election="e", live=LIVE, snapshot=SNAPSHOT, age_s=3.0, every_s=2, same_record=True)


def findings(site: MirrorSite | None = None, target: MirrorTarget | None = None) -> list[Finding]:
    facts = Facts(
        now=datetime.now(UTC), config=Config(), database=None, mirror_site=site, mirror_target=target
    )
    return list(check_mirror(facts))


def of_site(**changes: Any) -> list[Finding]:
    changed = msgspec.structs.replace(ELECTION, **changes)
    return findings(MirrorSite(url="https://cdn.example", elections=[changed]))


def test_a_mirror_as_it_should_be_needs_no_action() -> None:
    """Its age is shown; without a mirror nothing is."""
    assert findings() == []
    (found,) = of_site()
    assert (found.level, "3.0 s old" in found.seen) == ("ok", True)
    good = MirroredElection("e", good=True, text="up to date")
    (found,) = findings(target=MirrorTarget(where="/files", elections=[good]))
    assert (found.level, found.seen) == ("ok", "/files, election e: up to date")


@pytest.mark.parametrize(
    ("changes", "level", "words"),
    [
        ({"mistake": "live.json: status 404"}, "error", "status 404"),
        ({"same_record": False}, "error", "another record"),
        ({"age_s": 11.5}, "error", "behind"),
        ({"etag_stays": True}, "error", "ETag"),
        ({"live": msgspec.structs.replace(LIVE, max_age_s=60)}, "error", "max-age=60"),
        ({"live": msgspec.structs.replace(LIVE, max_age_s=None)}, "error", "no max-age"),
        ({"live": msgspec.structs.replace(LIVE, any_origin=False)}, "error", "Access-Control-Allow-Origin"),
        ({"live": msgspec.structs.replace(LIVE, gzip=False)}, "warning", "not compressed"),
        ({"live": msgspec.structs.replace(LIVE, revalidates=False)}, "warning", "304"),
        ({"snapshot": msgspec.structs.replace(SNAPSHOT, status=403)}, "error", "status 403"),
        (
            {"snapshot": msgspec.structs.replace(SNAPSHOT, immutable=False, max_age_s=60)},
            "warning",
            "never changes",
        ),
    ],
)
def test_each_fault_of_the_web_server_is_reported_with_what_to_do(
    changes: dict[str, Any], level: str, words: str
) -> None:
    (found,) = of_site(**changes)
    assert (found.level, words in found.seen) == (level, True)
    assert found.do


def test_a_record_that_is_not_known_and_an_age_below_the_limit_are_no_faults() -> None:
    assert [each.level for each in of_site(same_record=None, age_s=10.9)] == ["ok"]
    assert [each.level for each in of_site(age_s=86_400, closed_at=datetime.now(UTC))] == ["ok"]
    assert findings(MirrorSite(url="https://cdn.example", mistake="connection refused"))[0].level == "error"


def test_a_target_that_cannot_be_written_or_is_behind_is_an_error() -> None:
    late = MirroredElection("e", good=False, text="behind: written 5 min ago")
    found = findings(target=MirrorTarget(where="/files", writable=False, elections=[late]))
    assert [each.level for each in found] == ["error", "error"]
    assert "may not write" in found[0].seen
    assert "5 min ago" in found[1].seen
    (found_one,) = findings(target=MirrorTarget(where="s3://b/p", mistake="no such bucket"))
    assert (found_one.level, "no such bucket" in found_one.seen) == ("error", True)


def test_headers_are_read_as_caches_read_them() -> None:
    headers = {
        "Cache-Control": "public, s-maxage=9, max-age=31536000, immutable",
        "Content-Encoding": "gzip",
        "Access-Control-Allow-Origin": "*",
        "ETag": 'W/"5"',
    }
    found = site_file("p", 200, headers, revalidates=True)
    assert (found.max_age_s, found.immutable, found.gzip, found.any_origin) == (31_536_000, True, True, True)
    assert site_file("p", 200, {"Cache-Control": "no-cache"}, revalidates=False).max_age_s is None
