"""nginx as the origin of a mirror and as an edge, with the shipped files."""

import asyncio
import gzip
import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import aiohttp
import msgspec
import pytest

from gateway.config import Config
from gateway.doctor.doors import Addresses
from gateway.doctor.mirror import check_site
from gateway.doctor.mirror_probe import probe_mirror
from gateway.mirror.elections import MirrorOptions, MirrorService
from gateway.page_composition import EMBED_POLICY, POLICY, RESULTS_POLICY, STRICT_POLICY
from gateway.web.answers import SECURITY_HEADERS
from gateway.wire.mirror import (
    ELECTIONS,
    decode_live,
    delta_path,
    election_path,
    live_path,
    range_path,
    snapshot_path,
)
from tests.deploy.mirrors import SHIPPED, MirrorServers, mirror_servers
from tests.deploy.proxies import a_directory
from tests.mirror.written import MemoryTarget
from tests.running import Gateway
from tests.web.doors import COUNTRY, a_report, pushed, until

pytestmark = pytest.mark.long

E, H = "night", "20260913T180000Z-0123abcd"
LIVE = live_path(E)
SNAPSHOT = snapshot_path(E, H, "country", 40)
DELTA = delta_path(E, H, "country", 40, 50)
RANGE = range_path(E, H, 1)
IMMUTABLE = "public, max-age=31536000, immutable"
JSON, LINES, CSV = "application/json; charset=utf-8", "application/x-ndjson", "text/csv; charset=utf-8"
OCTETS, HTML = "application/octet-stream", "text/html; charset=utf-8"
DATA_POLICY = SECURITY_HEADERS["Content-Security-Policy"]
FILES = {
    ELECTIONS: JSON,
    f"{election_path(E)}.json": JSON,
    LIVE: JSON,
    SNAPSHOT: LINES,
    DELTA: LINES,
    RANGE: LINES,
    f"{election_path(E)}/publications/rest.ndjson": LINES,
    f"{election_path(E)}/areas/0301.json": JSON,
    f"{election_path(E)}/areas/a_x0020_b.csv": CSV,
    f"{election_path(E)}/results.csv": CSV,
    f"{election_path(E)}/log/checkpoint": "text/plain; charset=utf-8",
    f"{election_path(E)}/log/registry": JSON,
    f"{election_path(E)}/log/tile/0/000": OCTETS,
    f"{election_path(E)}/log/tile/0/001.p/7": OCTETS,
    "index.html": HTML,
    "election.html": HTML,
    "area.html": HTML,
    "transfers.html": HTML,
    "verify.html": HTML,
    "embed.html": HTML,
    "static/0123abcd/app.css": "text/css; charset=utf-8",
    "static/0123abcd/results.js": "text/javascript; charset=utf-8",
}
PAGES = {
    "/": ("index.html", RESULTS_POLICY),
    f"/areas/{E}": ("election.html", RESULTS_POLICY),
    f"/areas/{E}/0301": ("area.html", RESULTS_POLICY),
    f"/areas/{E}/a%20b": ("area.html", RESULTS_POLICY),
    "/transfers": ("transfers.html", POLICY),
    "/verify": ("verify.html", STRICT_POLICY),
    "/embed": ("embed.html", EMBED_POLICY),
}


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


def content(path: str) -> bytes:
    return f"{path}\n".encode() * 50


@pytest.fixture(scope="module")
def files() -> Iterator[Path]:
    """A directory as a mirror writes it: each file, and its compressed variant."""
    with a_directory() as directory:
        for path in FILES:
            store(directory, path, content(path))
        (directory / ".lock").write_text("locked")
        yield directory


def store(directory: Path, path: str, body: bytes, mtime_s: int | None = None) -> None:
    """Store a file and its compressed variant, each replaced by rename."""
    file = directory / path
    file.parent.mkdir(parents=True, exist_ok=True)
    for name, stored in ((file, body), (file.with_name(f"{file.name}.gz"), gzip.compress(body, mtime=0))):
        new = name.with_name(f".{name.name}.new")
        new.write_bytes(stored)
        if mtime_s is not None:
            os.utime(new, (mtime_s, mtime_s))
        new.rename(name)


@pytest.fixture
async def servers(files: Path) -> AsyncIterator[MirrorServers]:
    """Both servers, in which nothing expires during a test."""
    async with mirror_servers(files, max_age_s=3600) as servers:
        yield servers


async def get(http: aiohttp.ClientSession, url: str, **headers: str) -> Answer:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    async with http.get(url, headers={"Accept-Encoding": "identity"} | sent) as response:
        return Answer(response.status, response.headers, await response.read())


async def test_every_file_has_the_headers_of_its_path_at_the_origin_and_at_an_edge(
    http: aiohttp.ClientSession, servers: MirrorServers
) -> None:
    """Type, caching, encoding, CORS and security, for the plain and for the compressed variant."""
    for url in (servers.origin_url, servers.edge_url):
        for path, media_type in FILES.items():
            plain = await get(http, f"{url}/{path}")
            packed = await get(http, f"{url}/{path}", Accept_Encoding="br, gzip")
            assert (plain.status, plain.body, packed.status) == (200, content(path), 200)
            assert gzip.decompress(packed.body) == plain.body
            assert packed.headers["Content-Encoding"] == "gzip"
            assert "Content-Encoding" not in plain.headers
            for answer in (plain, packed):
                assert answer.headers["Content-Type"] == media_type, path
                never_changes = path in (SNAPSHOT, DELTA, RANGE) or "static/" in path or "/tile/" in path
                assert answer.headers["Cache-Control"] == (
                    IMMUTABLE if never_changes else "public, max-age=3600"
                )
                assert answer.headers["Vary"] == "Accept-Encoding"
                assert answer.headers["Access-Control-Allow-Origin"] == "*"
                assert answer.headers["Access-Control-Expose-Headers"] == "ETag, Retry-After"
                for name in ("X-Content-Type-Options", "Referrer-Policy"):
                    assert answer.headers[name] == SECURITY_HEADERS[name]
                if path.startswith("v1/"):
                    assert answer.headers["Content-Security-Policy"] == DATA_POLICY
                again = await get(http, f"{url}/{path}", If_None_Match=plain.headers["ETag"])
                assert (again.status, again.body) == (304, b"")
                assert again.headers["Cache-Control"] == plain.headers["Cache-Control"]
                assert again.headers["Access-Control-Allow-Origin"] == "*"


async def test_the_files_of_a_mirror_are_served_with_the_headers_that_it_wants(
    http: aiohttp.ClientSession, gateway: Gateway, election: str
) -> None:
    """Type and lifetime of every file that the mirror of a real gateway writes; the doctor finds nothing."""
    sender = await gateway.issue(election, [COUNTRY])
    await pushed(http, sender, a_report())
    options = MirrorOptions(feed_url=gateway.feed_url, target="", elections=(election,), every_s=1)
    target = MemoryTarget()
    running = asyncio.create_task(MirrorService(options, target).run())
    wanted = {
        f"{election_path(election)}/{name}" for name in ("results.csv", "transfers.json", "corrections.csv")
    }
    wanted |= {ELECTIONS, live_path(election), f"{election_path(election)}.json", "index.html", "map.geojson"}

    async def written() -> bool:
        assert not running.done()
        return (
            wanted <= target.files.keys() and decode_live(target.files[live_path(election)].body).sequence > 0
        )

    await until(written)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    with a_directory() as directory:
        for file in target.files.values():
            store(directory, file.path, file.body)
        async with mirror_servers(directory, max_age_s=1) as servers:
            for path, file in target.files.items():
                answer = await get(http, f"{servers.edge_url}/{path}")
                assert (answer.status, answer.body) == (200, file.body), path
                given = answer.headers["Content-Type"].removesuffix("; charset=utf-8")
                assert given == file.media_type.partition(";")[0], path
                caching = IMMUTABLE if file.max_age_s is None else f"public, max-age={file.max_age_s}"
                assert answer.headers["Cache-Control"] == caching, path
            config = Config(mirror_url=servers.edge_url, mirror_feed_url=gateway.feed_url)
            _, site = await probe_mirror(config, Addresses(), change_s=0.0)
            assert site is not None
            (found,) = site.elections
            assert found.same_record
            fresh = msgspec.structs.replace(found, age_s=1.0)
            assert [each.level for each in check_site(msgspec.structs.replace(site, elections=[fresh]))] == [
                "ok"
            ]


async def test_pages_are_served_at_the_addresses_that_the_feed_door_has_with_its_policies(
    http: aiohttp.ClientSession, servers: MirrorServers
) -> None:
    """The address of an area is that of the results page, which reads the address itself."""
    for url in (servers.origin_url, servers.edge_url):
        for path, (file, policy) in PAGES.items():
            page = await get(http, url + path)
            assert (page.status, page.body) == (200, content(file)), path
            found, expected = page.headers["Content-Security-Policy"], policy
            assert sorted(found.split("; ")) == sorted(expected.split("; ")), path


async def test_nothing_else_is_served(http: aiohttp.ClientSession, servers: MirrorServers) -> None:
    """Neither files of the mirror itself, nor missing ones, nor other methods; errors are never cached."""
    for url in (servers.origin_url, servers.edge_url):
        for path in (
            ".lock",
            f"{LIVE}.gz",
            "v1/elections/none/live.json",
            "v1/elections/",
            "..%2f..%2fetc/passwd",
        ):
            answer = await get(http, f"{url}/{path}")
            assert answer.status in (400, 403, 404), path
            if answer.status != 400:
                assert answer.headers["Cache-Control"] == "no-store"
                assert answer.headers["Access-Control-Allow-Origin"] == "*"
        for method in ("POST", "PUT", "DELETE"):
            async with http.request(method, f"{url}/{LIVE}") as response:
                assert response.status == 405
        async with http.options(f"{url}/{LIVE}") as response:
            assert response.status == 204
            assert response.headers["Access-Control-Allow-Origin"] == "*"
            assert "If-None-Match" in response.headers["Access-Control-Allow-Headers"]


async def test_requests_at_the_origin_do_not_depend_on_the_number_of_readers(
    http: aiohttp.ClientSession, files: Path
) -> None:
    """Twenty and two hundred readers at the same time cause one request per file, also for one that does not exist."""
    paths = [f"/{LIVE}", f"/{SNAPSHOT}", f"/{DELTA}"]
    for readers in (20, 200):
        async with mirror_servers(files, max_age_s=3600) as servers:

            async def read(number: int, url: str = servers.edge_url) -> None:
                for path in paths:
                    answer = await get(http, f"{url}{path}?{number}", Cookie=f"session={number}")
                    assert answer.body == content(path[1:])

            await asyncio.gather(*(read(number) for number in range(readers)))
            assert {path: servers.count(path) for path in paths} == dict.fromkeys(paths, 1)
            assert len(servers.requests) == len(paths)
            assert not any("session" in each.head for each in servers.requests)
            began = time.monotonic()
            missing = await asyncio.gather(
                *(get(http, f"{servers.edge_url}/v1/elections/{E}/seats.json") for _ in range(readers))
            )
            assert {each.status for each in missing} == {404}
            missed = len(servers.requests) - len(paths)
            assert 1 <= missed <= time.monotonic() - began + 1  # an error is kept for a second


async def test_a_file_that_changes_is_requested_once_per_interval_and_only_sent_if_it_has_changed(
    http: aiohttp.ClientSession, files: Path
) -> None:
    """Readers get the new content, and never an older one than before; the origin answers conditional requests."""
    path = f"{election_path(E)}/polled.json"
    store(files, path, b'{"sequence":1}', 1_800_000_001)
    async with mirror_servers(files, max_age_s=1) as servers:
        url, began = f"{servers.edge_url}/{path}", time.monotonic()

        async def poll_until(wanted: bytes) -> None:
            seen = b""
            while seen != wanted:
                async with asyncio.timeout(30):
                    answer = await get(http, url)
                assert answer.body >= seen
                seen = answer.body
                await asyncio.sleep(0.02)

        async def everybody(wanted: bytes) -> None:
            await asyncio.gather(*(poll_until(wanted) for _ in range(20)))

        await everybody(b'{"sequence":1}')
        store(files, path, b'{"sequence":2}', 1_800_000_002)
        await everybody(b'{"sequence":2}')
        elapsed_s = time.monotonic() - began
        assert 2 <= servers.count(f"/{path}") <= elapsed_s + 2
        assert [each.conditional for each in servers.requests] == [
            False,
            *[True] * (len(servers.requests) - 1),
        ]


async def test_an_edge_serves_what_it_has_while_the_origin_does_not_answer(
    http: aiohttp.ClientSession, files: Path
) -> None:
    """What it does not have is an error that is not cached and names when to try again."""
    path = f"{election_path(E)}/old.json"
    store(files, path, b"{}", 1_800_000_001)
    async with mirror_servers(files, max_age_s=0) as servers:
        assert (await get(http, f"{servers.edge_url}/{SNAPSHOT}")).status == 200
        await servers.stop_origin()
        assert (await get(http, f"{servers.edge_url}/{SNAPSHOT}")).body == content(SNAPSHOT)
        missing = await get(http, f"{servers.edge_url}/{path}")
        assert (missing.status, missing.headers["Retry-After"]) == (503, "2")
        assert missing.headers["Cache-Control"] == "no-store"
        assert missing.headers["Access-Control-Allow-Origin"] == "*"


def test_the_edge_closes_idle_connections_before_the_origin() -> None:
    """Otherwise a request may arrive on a connection that the origin has just closed."""
    assert "keepalive_timeout 50s;" in (SHIPPED / "edge-site.conf").read_text()
    assert "keepalive_timeout 60s;" in (SHIPPED / "origin.conf").read_text()
