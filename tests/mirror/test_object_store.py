"""An object store as the target of a mirror: a real server with the interface of S3, on this machine."""

import asyncio
import gzip
import json
import os
import signal
import sys
import urllib.request
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from gateway.errors import ExtraMissing
from gateway.mirror import bucket, object_store, store_owner
from gateway.mirror.bucket import Bucket
from gateway.mirror.files import StoredFile
from gateway.mirror.object_store import ObjectStore
from gateway.mirror.target import Target, TargetInUse, TargetUnavailable
from gateway.mirror.targets import open_target
from gateway.reserved_ports import reserved_port
from gateway.wire.mirror import decode_live, live_path
from tests.counts import count
from tests.election.makers import DOCUMENT
from tests.feed.served import FakeRecord, a_night, served
from tests.fork_server import Command
from tests.mirror.killed_store_writer import DOCUMENTS, LIVE, deltas, write_version
from tests.mirror.s3_client import control, seen

DELTA = "v1/elections/e/live/h/default/1_2.ndjson"
OTHER_MACHINE = "f" * 16
ROOT = Path(__file__).parents[2]


def a_file(path: str, body: bytes, max_age_s: int | None = None) -> StoredFile:
    return StoredFile(path, body, "application/json", max_age_s)


async def opened(url: str) -> ObjectStore:
    target = open_target(url)
    assert isinstance(target, ObjectStore)
    await target.open()
    return target


def raw_object(url: str, path: str) -> tuple[Message, bytes]:
    """Return headers and body of an object as a reader gets them."""
    request = AWSRequest("GET", f"{os.environ['AWS_ENDPOINT_URL']}/{url.removeprefix('s3://')}/{path}")
    key = Credentials(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
    S3SigV4Auth(key, "s3", "us-east-1").add_auth(request)
    with urllib.request.urlopen(
        urllib.request.Request(request.url, headers=dict(request.headers)), timeout=10
    ) as answer:
        return answer.headers, answer.read()


async def test_objects_are_compressed_and_have_all_headers(url: str) -> None:
    """Immutable ones may be kept for a year."""
    target = await opened(url)
    await target.write([a_file(DELTA, b"{}\n" * 1000), a_file("v1/elections.json", b"[]", 2)])
    await target.write_live(a_file(LIVE, b"{}", 2))
    for path, body, cache_control in (
        (DELTA, b"{}\n" * 1000, "public, max-age=31536000, immutable"),
        ("v1/elections.json", b"[]", "public, max-age=2"),
        (LIVE, b"{}", "public, max-age=2"),
    ):
        headers, content = raw_object(url, path)
        assert headers["Content-Encoding"] == "gzip"
        assert headers["Content-Type"] == "application/json"
        assert headers["Cache-Control"] == cache_control
        assert headers["ETag"]
        assert gzip.decompress(content) == body
        assert await target.read(path, len(body)) == body
        with pytest.raises(TargetUnavailable, match=f"has more than {len(body) - 1} bytes"):
            await target.read(path, len(body) - 1)
    await target.close()


async def test_writes_and_bytes_are_counted_and_requests_limited(
    url: str, server: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many files there are."""
    monkeypatch.setattr(object_store, "CONCURRENT", 4)
    target = await opened(url)
    before = target.puts
    control(server)
    await target.write(a_file(f"v1/{number}.json", os.urandom(10)) for number in range(40))
    assert target.puts - before == 40
    found = seen(server)
    assert [each[2] for each in found["seen"]] == [200] * 40
    assert 1 <= found["busiest"] <= 4
    assert target.written_bytes > 40 * 10
    await target.close()


async def test_mirror_that_ended_is_followed_at_once(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it was ended or killed, on this machine."""
    monkeypatch.setattr(object_store, "WATCH_EVERY_S", 1000.0)
    first = await opened(url)
    await first.write_live(a_file(LIVE, b"1", 2))
    await first.close()
    killed = await opened(url)
    assert await killed.read(LIVE, 10) == b"1"
    await killed.write_live(a_file(LIVE, b"2", 2))
    monkeypatch.setattr(os, "kill", _no_such_process)
    monkeypatch.setattr(os, "getpid", lambda: 4_000_000)
    third = await opened(url)
    assert await third.read(LIVE, 10) == b"2"
    await third.write_live(a_file(LIVE, b"3", 2))
    await third.close()


def _no_such_process(_process: int, _signal: int) -> None:
    raise ProcessLookupError


async def test_second_mirror_is_refused_while_the_first_one_writes(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one is not disturbed."""
    monkeypatch.setattr(object_store, "WATCH_EVERY_S", 0.05)
    first = await opened(url)
    refused = asyncio.Event()

    async def write_until_refused() -> None:
        number = 0
        while not refused.is_set():
            number += 1
            await first.write_live(a_file(LIVE, b"%d" % number, 2))

    async with asyncio.TaskGroup() as group:
        group.create_task(write_until_refused())
        with pytest.raises(
            TargetInUse, match=rf"another mirror \(process {os.getpid()}, started .* UTC\) writes to it"
        ):
            await open_on_another_machine(url, monkeypatch)
        refused.set()
    await first.write_live(a_file(LIVE, b"last", 2))
    assert await first.read(LIVE, 10) == b"last"
    await first.close()


async def open_on_another_machine(url: str, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    monkeypatch.setattr(store_owner, "_machine", lambda: OTHER_MACHINE)
    return await opened(url)


async def test_mirror_that_waited_for_long_does_not_replace_newer_files(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one has taken the prefix over meanwhile, since nothing was written."""
    monkeypatch.setattr(object_store, "WATCH_EVERY_S", 4.0)
    monkeypatch.setattr(asyncio, "sleep", _sleep_a_little)
    waiting = await opened(url)
    await waiting.write_live(a_file(LIVE, b"1", 2))
    await waiting.write([a_file(DOCUMENTS[0], b"1", 2)])
    second = await open_on_another_machine(url, monkeypatch)
    assert await second.read(LIVE, 10) == b"1"
    await second.write_live(a_file(LIVE, b"2", 2))
    await second.write([a_file(DOCUMENTS[0], b"2", 2)])
    assert await waiting.read(LIVE, 10) == await waiting.read(DOCUMENTS[0], 10) == b"2"
    with pytest.raises(TargetInUse, match=r"live\.json was written by another mirror: end one of the two"):
        await waiting.write_live(a_file(LIVE, b"1 again", 2))
    with pytest.raises(TargetInUse, match="written by another mirror"):
        await waiting.write([a_file(DOCUMENTS[0], b"1 again", 2), a_file(DELTA, b"same")])
    await waiting.close()
    assert await second.read(LIVE, 10) == b"2"
    assert await second.read(DOCUMENTS[0], 10) == b"2"
    await second.write_live(a_file(LIVE, b"3", 2))
    await second.close()


usual_sleep = asyncio.sleep


async def _sleep_a_little(_delay_s: float) -> None:
    await usual_sleep(0)


async def test_live_json_that_was_not_read_is_not_replaced(url: str) -> None:
    """A mirror that did not see the state before cannot continue it."""
    first = await opened(url)
    await first.write_live(a_file(LIVE, b"1", 2))
    await first.close()
    second = await opened(url)
    with pytest.raises(TargetInUse):
        await second.write_live(a_file(LIVE, b"2", 2))
    await second.close()


async def test_write_without_an_answer_is_found_out(url: str, server: dict[str, str]) -> None:
    """It was carried out, so the next version replaces it; neither is taken for that of another mirror."""
    target = await opened(url)
    for number in range(3):
        control(server, {"method": "PUT", "path": "live.json|areas", "times": 1, "how": "after"})
        await target.write_live(a_file(LIVE, b"%d" % number, 2))
        control(server, {"method": "PUT", "path": "live.json|areas", "times": 1, "how": "after"})
        await target.write([a_file(DOCUMENTS[0], b"%d" % number, 2)])
        assert await target.read(LIVE, 10) == await target.read(DOCUMENTS[0], 10) == b"%d" % number
    await target.close()


async def test_object_that_somebody_removed_is_written_again(url: str) -> None:
    """Rather than refused forever."""
    target = await opened(url)
    for number in range(2):
        await target.write_live(a_file(LIVE, b"%d" % number, 2))
        await target.write([a_file(DOCUMENTS[0], b"%d" % number, 2)])
        await target._bucket.delete([LIVE, DOCUMENTS[0]])
    await target.write_live(a_file(LIVE, b"last", 2))
    assert await target.read(LIVE, 10) == b"last"
    await target.close()


async def test_requests_that_fail_are_repeated(url: str, server: dict[str, str]) -> None:
    """With growing delays."""
    target = await opened(url)
    control(server, {"method": "PUT", "path": "1_2.ndjson", "times": 2, "how": "before"})
    await target.write([a_file(DELTA, b"x")])
    assert await target.read(DELTA, 10) == b"x"
    await target.close()


@pytest.mark.parametrize(("how", "said"), [("before", "limits requests"), ("stall", "no answer in 0 s")])
async def test_store_that_does_not_work_is_an_error_in_the_end(
    url: str, server: dict[str, str], monkeypatch: pytest.MonkeyPatch, how: str, said: str
) -> None:
    """Afterwards it works again."""
    monkeypatch.setattr(bucket, "RETRIES", 0)
    target = await opened(url)
    control(server, {"method": "PUT", "path": "live.json|1_2", "times": 1000, "how": how})
    monkeypatch.setattr(bucket, "CALL_S", 0.3 if how == "stall" else 60.0)
    for step in (target.write_live(a_file(LIVE, b"1", 2)), target.write([a_file(DELTA, b"1")])):
        with pytest.raises(TargetUnavailable, match=said) as error:
            await step
        assert not error.value.permanent
    control(server)
    monkeypatch.setattr(bucket, "CALL_S", 60.0)
    await target.write_live(a_file(LIVE, b"2", 2))
    assert await target.read(LIVE, 10) == b"2"
    await target.close()


@pytest.fixture
def closed_port() -> Iterator[int]:
    with reserved_port() as port:
        yield port


@pytest.mark.parametrize(
    ("variables", "place", "said", "permanent"),
    [
        (
            {"AWS_SECRET_ACCESS_KEY": "geheim"},
            "results/night/x",
            r"credentials are not valid \(SignatureDoesNotMatch\); check AWS_ACCESS",
            True,
        ),
        (
            {"AWS_ACCESS_KEY_ID": "AKIAgeheim"},
            "results/night/x",
            r"credentials are not valid \(InvalidAccessKeyId\); check AWS_ACCESS_KEY",
            True,
        ),
        (
            {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_METADATA_ENDPOINT": "CLOSED"},
            "results/night/x",
            "there are no credentials; set AWS_ACCESS_KEY_ID and",
            True,
        ),
        (
            {"AWS_ENDPOINT_URL": "CLOSED"},
            "results/night/x",
            "the connection was refused; check the endpoint",
            False,
        ),
        (
            {},
            "results/day",
            r"do not allow what a mirror does \(AccessDenied\); .*s3-policy.json",
            True,
        ),
    ],
)
async def test_what_is_wrong_with_the_access_is_said_without_secrets(
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    closed_port: int,
    variables: dict[str, str],
    place: str,
    said: str,
    permanent: bool,
) -> None:
    """With the bucket, the endpoint and what to do."""
    del url
    monkeypatch.setattr(bucket, "RETRIES", 0)
    for name, value in variables.items():
        if value:
            monkeypatch.setenv(name, value.replace("CLOSED", f"http://127.0.0.1:{closed_port}"))
        else:
            monkeypatch.delenv(name)
    target = open_target(f"s3://{place}")
    with pytest.raises(TargetUnavailable, match=said) as error:
        await target.open()
    assert str(error.value).startswith(f"s3://{place} at http://127.0.0.1:")
    assert error.value.permanent is permanent
    secrets = ("geheim", os.environ.get("AWS_SECRET_ACCESS_KEY", "geheim"), "Signature=")
    assert not [each for each in secrets if each in str(error.value)]
    assert "\n" not in str(error.value)
    assert error.value.__cause__ is None
    await target.close()


@pytest.mark.parametrize("name", ["s3-policy", "s3-readers-policy", "s3-cors"])
def test_policies_allow_no_more_than_they_name(name: str) -> None:
    """Readers only read; nobody may do more than a mirror does."""
    policy = json.loads((ROOT / "deploy" / "mirror" / f"{name}.json").read_text())
    if name == "s3-cors":
        (rule,) = policy["CORSRules"]
        assert (rule["AllowedOrigins"], rule["AllowedMethods"]) == (["*"], ["GET", "HEAD"])
        return
    actions = {each["Resource"]: each["Action"] for each in policy["Statement"]}
    writing = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
    assert actions == {
        "arn:aws:s3:::BUCKET": "s3:ListBucket",
        "arn:aws:s3:::BUCKET/PREFIX/*": writing if name == "s3-policy" else "s3:GetObject",
    }


async def test_content_of_others_is_not_replaced(url: str) -> None:
    """A prefix that was never a mirror has to be empty."""
    target = open_target(url)
    await target.write([a_file("index.html", b"theirs")])
    with pytest.raises(
        TargetUnavailable, match=r"contains 'index\.html', and was never a mirror; choose another"
    ):
        await opened(url)
    await target.delete(["index.html"])
    await target.open()
    await target.write([a_file("index.html", b"its own")])
    await target.close()
    again = await opened(url)
    await again.close()


async def test_store_that_ignores_conditions_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two mirrors would write to it without noticing."""
    usual = Bucket.put

    async def ignoring(self: Bucket, path: str, body: bytes, attributes: dict[str, str], _: object) -> Any:
        return await usual(self, path, body, attributes, None)

    monkeypatch.setattr(Bucket, "put", ignoring)
    target = open_target(url)
    with pytest.raises(TargetUnavailable, match="ignores conditions of writes"):
        await target.open()
    await target.close()


async def test_writer_killed_between_any_two_writes_leaves_a_state_that_can_be_continued(
    url: str, server: dict[str, str]
) -> None:
    """No rewritten file is ahead of live.json, and what that names exists."""
    step = 2 - count(0, full=1)
    done = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.mirror.killed_store_writer", url, str(step)),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **server},
    )
    moments = [int(each) for each in (await done.communicate())[0].split()]
    assert moments == list(range(0, 2 * 7 + 1, step))
    states = [await _state_after_crash(f"{url}/{number}") for number in moments]
    assert [live for live, _ in states] == sorted(live for live, _ in states)
    assert {live for live, _ in states} == {1, 2}
    assert states[-1] == (2, [2, 2])


async def _state_after_crash(url: str) -> tuple[int, list[int]]:
    """Continue what a writer left; return the versions of live.json and of the rewritten files before."""
    target = await opened(url)
    live, *documents = [int(await target.read(each, 10) or 0) for each in (LIVE, *DOCUMENTS)]
    paths = {path async for path in target.list("v1/elections/e/live/")}
    assert set(deltas(live)) <= paths
    assert all(each <= live for each in documents), "a rewritten file is ahead of live.json"
    await write_version(target, 3)
    assert [await target.read(each, 10) for each in (LIVE, *DOCUMENTS)] == [b"3"] * 3
    await target.close()
    return live, documents


def mirror_command(*arguments: object, **variables: str) -> Command:
    return Command("mirror", *arguments, environ={**os.environ, **variables})


async def test_the_command_writes_to_a_store_and_ends_orderly(url: str) -> None:
    """Also if it ends by a signal, although obstore has threads of its own: the status is 0."""
    record = FakeRecord(DOCUMENT, a_night(DOCUMENT, 20), shown=20)
    target = open_target(url)
    async with served(record) as door:
        with mirror_command(door.origin, url, "--every", "1") as process:
            async with asyncio.timeout(60):
                while not await _shows(target, record.id, 20):
                    assert process.poll() is None, process.communicate()
                    await asyncio.sleep(0.1)
            with mirror_command(door.origin, url, "--check") as check:
                found, _ = await asyncio.to_thread(check.communicate)
            process.send_signal(signal.SIGTERM)
            _, log = await asyncio.to_thread(process.communicate)
    assert (check.returncode, found.split()[:4]) == (0, [record.id, "up", "to", "date:"])
    assert process.returncode == 0, log
    await target.close()


async def _shows(target: Target, election: str, sequence: int) -> bool:
    live = await target.read(live_path(election), 10_000)
    return live is not None and decode_live(live).documents == sequence


async def test_the_command_ends_if_settings_have_to_change(url: str) -> None:
    """With one sentence, which has no secret."""
    with mirror_command("http://127.0.0.1:1", url, AWS_SECRET_ACCESS_KEY="geheim") as process:
        _, said = await asyncio.to_thread(process.communicate)
    assert process.returncode == 1
    assert "the credentials are not valid (SignatureDoesNotMatch); check AWS_ACCESS_KEY_ID" in said
    assert "geheim" not in said


@pytest.mark.parametrize(
    ("text", "variables", "said"),
    [
        (
            "gs://results/p",
            {"GOOGLE_SERVICE_ACCOUNT": "/nothing.json"},
            "Google Cloud Storage is not configured; check GOOGLE_S",
        ),
        (
            "gs://results/p",
            {"GOOGLE_SERVICE_ACCOUNT_KEY": "{geheim"},
            "Google Cloud Storage is not configured",
        ),
        ("az://results/p", {}, "Azure Blob Storage is not configured; check AZURE_STORAGE_ACCOUNT_NAME with"),
        (
            "az://results/p",
            {"AZURE_STORAGE_ACCOUNT_NAME": "a", "AZURE_STORAGE_ACCOUNT_KEY": "geheim!"},
            "is not configured",
        ),
    ],
)
def test_access_that_is_not_configured_is_named_without_secrets(
    text: str, variables: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is reached."""
    for name in [each for each in os.environ if each.startswith(("GOOGLE_", "AZURE_"))]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(TargetUnavailable, match=said) as error:
        open_target(text)
    assert error.value.permanent
    assert "geheim" not in str(error.value)
    assert error.value.__cause__ is None


def test_google_and_azure_are_configured_by_their_usual_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither is reached by a test."""
    assert open_target("gs://results/night").where == "gs://results/night"
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "Z2VoZWlt")
    assert open_target("az://results/night").where == "az://results/night"


@pytest.mark.parametrize("url_of", ["s3://bucket/prefix", "gs://bucket", "az://container/prefix"])
def test_missing_package_is_named_with_its_extra(url_of: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mirror in a directory does not need it."""
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(ExtraMissing, match=r"pip install 'valgnatt\[mirror\]'"):
        open_target(url_of)
    directory: Target = open_target("/srv/mirror")
    assert directory.where == "/srv/mirror"
