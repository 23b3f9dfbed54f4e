"""The command `valgnatt verify record`, as people and programs run it."""

import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.verification.record_report import lines_of
from tests.fork_server import Command
from tests.transparency.records import LOG_KEY, OTHER_KEY, WITNESSES, Fault, Night, a_night, policy_text
from tests.verification.feed import Feed, serving


@pytest.fixture
async def feed() -> AsyncIterator[Feed]:
    """A door with a record that was cosigned now."""
    async with serving(cosigned_now(a_night(reports=20))) as feed:
        yield feed


def cosigned_now(night: Night) -> Night:
    return replace(night, cosigned_at=datetime.now(UTC))


@pytest.fixture
def trust(tmp_path: Path) -> Path:
    """A file with the policy."""
    path = tmp_path / "policy"
    path.write_bytes(policy_text())
    return path


def content(path: Path) -> bytes:
    return path.read_bytes()


async def ended(*arguments: object) -> tuple[int, str, str]:
    """Run the command in a process of its own; return status, output and messages."""
    import asyncio

    with started(*arguments) as process:
        out, err = await asyncio.to_thread(process.communicate)
        return process.returncode, out, err


@contextmanager
def started(*arguments: object) -> Iterator[Any]:
    with Command("verify", "record", *arguments, environ={**os.environ}) as process:
        try:
            yield process
        finally:
            process.kill()


async def test_a_person_reads_what_was_verified_in_one_screen(feed: Feed, trust: Path) -> None:
    """Who has signed and cosigned, and each condition."""
    status, out, err = await ended(feed.url, "--policy", trust)
    lines = out.splitlines()
    assert (status, err) == (0, "")
    assert lines[0] == "verified: Made-up election (made-up-1)"
    assert len(lines) < 20
    assert [line.split()[0] for line in lines[2:]] == [
        *("signed", "witnesses", "checkpoint", "registry", "reports", "publications", "figures")
    ]
    assert LOG_KEY.vkey.fingerprint in out


async def test_a_program_reads_the_same_as_json(feed: Feed, trust: Path) -> None:
    """One document on one line."""
    status, out, _ = await ended(feed.url, "--policy", trust, "--json")
    document = json.loads(out)
    assert (status, document["verified"], document["reports"], document["figures_at"]) == (0, True, 20, 20)
    assert document["log_keys"] == [{"vkey": str(LOG_KEY.vkey), "fingerprint": LOG_KEY.vkey.fingerprint}]


async def test_a_failure_names_its_code_and_leaves_evidence(feed: Feed, trust: Path, tmp_path: Path) -> None:
    """Both notes, and what failed."""
    state, evidence = tmp_path / "state", tmp_path / "evidence"
    assert (await ended(feed.url, "--policy", trust, "--state", state))[0] == 0
    first = feed.night.note()
    feed.night = cosigned_now(a_night(Fault.NOT_A_SUM, reports=20))
    status, _, err = await ended(feed.url, "--policy", trust, "--state", state, "--evidence", evidence)
    assert (status, err.startswith("valgnatt: forked: ")) == (1, True)
    (found,) = evidence.iterdir()
    assert found.name.endswith("-forked")
    assert (found / "checkpoint").read_bytes() == feed.night.note()
    assert (found / "checkpoint-before").read_bytes() == first
    assert json.loads((found / "failure.json").read_bytes())["code"] == "forked"
    status, out, _ = await ended(feed.url, "--policy", trust, "--json", "--evidence", evidence)
    assert (status, json.loads(out)["code"]) == (1, "bad_report")
    (found,) = [each for each in evidence.iterdir() if each.name.endswith("-bad_report")]
    assert (found / "entry-20").read_bytes() == feed.night.entries[20]


async def test_a_checkpoint_with_a_wrong_signature_is_kept_as_evidence(feed: Feed, tmp_path: Path) -> None:
    """It is what fails the check."""
    status, _, err = await ended(feed.url, "--key", str(OTHER_KEY.vkey), "--evidence", tmp_path / "evidence")
    assert (status, err.startswith("valgnatt: bad_signature: ")) == (1, True)
    (found,) = (tmp_path / "evidence").iterdir()
    assert (found / "checkpoint-refused").read_bytes() == feed.night.note()


async def test_without_a_policy_the_keys_alone_are_required(feed: Feed, tmp_path: Path) -> None:
    """As an argument, or in a file; then no witness is."""
    keys = tmp_path / "keys"
    keys.write_text(f"# the key of the log\n{OTHER_KEY.vkey}\n{LOG_KEY.vkey}\n")
    feed.night = replace(feed.night, cosigners=())
    for key in (str(LOG_KEY.vkey), keys):
        status, out, _ = await ended(feed.url, "--key", key)
        assert (status, "nobody else confirms" in out) == (0, True)
    assert (await ended(feed.url, "--key", str(OTHER_KEY.vkey)))[0] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "elsewhere than the feed door"),
        (("--key", "results.example.org+00000000+AAAA"), "--key: "),
        (("--key", str(WITNESSES[0].vkey)), "key of a witness"),
        (("--key", "/nonexistent"), "--key /nonexistent: neither a key"),
        (("--policy", "/nonexistent"), "No such file"),
        (("--key", str(LOG_KEY.vkey), "--max-age", "2 weeks"), "length of time"),
        (("--key", str(LOG_KEY.vkey), "--state", "/dev/null/state"), "/dev/null/state"),
    ],
)
async def test_wrong_usage_has_a_status_of_its_own(
    arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    """2, so that nobody takes it for a failed check."""
    where = a_night(reports=2).write(tmp_path)
    status, out, err = await ended(where, *arguments)
    assert (status, out) == (2, "")
    assert message in err


async def test_a_file_of_state_that_is_none_is_not_replaced(trust: Path, tmp_path: Path) -> None:
    """It may be anything else of the user."""
    where = a_night(reports=2).write(tmp_path / "copy")
    status, _, err = await ended(where, "--policy", trust, "--state", trust)
    assert (status, "not a file of --state" in err) == (2, True)
    assert content(trust) == policy_text()


async def test_a_record_is_followed_until_it_is_closed(feed: Feed, trust: Path, tmp_path: Path) -> None:
    """A line for each checkpoint, and the state and the copy are those of the last."""
    import asyncio

    with started(
        feed.url, "--policy", trust, "--follow", "--state", tmp_path / "state", "--save", tmp_path / "copy"
    ) as process:
        lines = [await asyncio.to_thread(process.stdout.readline)]
        feed.night = cosigned_now(a_night(reports=40))
        lines.append(await asyncio.to_thread(process.stdout.readline))
        feed.night = cosigned_now(a_night(reports=41, closed=True))
        out, err = await asyncio.to_thread(process.communicate)
        assert (process.returncode, err) == (0, "")
    assert [" 20 reports, " in lines[0], " 40 reports, " in lines[1], out.count("\n")] == [True, True, 1]
    assert "closed" in out
    status, out, _ = await ended(tmp_path / "copy", "--policy", trust, "--state", tmp_path / "state")
    assert (status, "continues the checkpoint of size 43" in out) == (0, True)


async def test_following_ends_at_the_first_failure(feed: Feed, trust: Path) -> None:
    """With status 1 and the code."""
    import asyncio

    with started(feed.url, "--policy", trust, "--follow", "--json") as process:
        await asyncio.to_thread(process.stdout.readline)
        feed.night = cosigned_now(a_night(Fault.STRANGER, reports=21))
        out, _ = await asyncio.to_thread(process.communicate)
    assert (process.returncode, json.loads(out)["code"]) == (1, "too_few_witnesses")


def test_lines_for_people_are_those_of_the_documents() -> None:
    """docs/verify.md explains every line that the command shows."""
    text = (Path(__file__).parents[2] / "docs/verify.md").read_text()
    assert lines_of.__doc__
    for name in ("signed by", "witnesses", "checkpoint", "registry", "reports", "publications", "figures"):
        assert f"`{name}`" in text, name
