"""`valgnatt token issue --each`: a token for every area of a level, and a file that never loses one."""

import asyncio
import csv
import stat
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from gateway.commands.token_file import TokenBatch, TokenFile, TokenFileUnusable, count_page
from gateway.errors import JournalUnavailable
from gateway.journal.administration import Administration, NewToken, administration
from gateway.rehearsal.generator import GeneratedElection
from tests.conftest import Database
from tests.test_cli import CommandLine, a_file


@pytest.fixture
def cli(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], database: Database
) -> CommandLine:
    """The command line on a database of the test's own."""
    monkeypatch.setenv("VALGNATT_DATABASE_URL", database.url)
    return CommandLine(monkeypatch, capsys)


@pytest.fixture
def issue(cli: CommandLine, small: GeneratedElection, tmp_path: Path) -> list[str]:
    """The beginning of a command that issues a token for each municipality of a rehearsal."""
    election = cli.good(
        "election", "load", str(a_file(tmp_path, small, id="night-1", rehearsal=True))
    ).strip()
    return ["token", "issue", "--election", election, "--each", "municipality"]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def tokens(cli: CommandLine) -> list[list[str]]:
    return [line.split("\t") for line in cli.good("token", "list").splitlines()]


async def acts_of(database: Database) -> list[str]:
    connection = await asyncpg.connect(database.url)
    try:
        return [row[0] for row in await connection.fetch("SELECT kind FROM valgnatt.act ORDER BY key")]
    finally:
        await connection.close()


def test_every_municipality_gets_a_token_in_one_act(
    cli: CommandLine, issue: list[str], database: Database, small: GeneratedElection, tmp_path: Path
) -> None:
    """The file has area, name, token and the address of the page for counts, and only its owner can read it."""
    out = tmp_path / "tokens.csv"
    ended = cli(*issue, "--out", str(out), "--push-url", "https://push.example.no/")
    assert (ended.status, ended.out) == (0, ""), ended
    rows = rows_of(out)
    names = {area["id"]: area["name"] for area in small.registry["areas"] if area["level"] == "municipality"}
    assert {row["area"]: row["name"] for row in rows} == names
    assert {row["address"] for row in rows} == {"https://push.example.no/count?election=night-1"}
    assert {row["election"] for row in rows} == {"night-1"}
    assert len({row["token"] for row in rows}) == len(names)
    assert all(row["token"].startswith("vgn_") and row["token"] not in row["address"] for row in rows)
    assert not any(row["token"] in ended.err for row in rows)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.glob("tokens.csv*")] == ["tokens.csv"]
    assert asyncio.run(acts_of(database)) == ["load", "token issue"]
    assert [(each[2], each[-1]) for each in tokens(cli)] == list(names.items())


def test_no_file_is_overwritten_and_no_area_gets_a_second_token(
    cli: CommandLine, issue: list[str], tmp_path: Path
) -> None:
    """Areas that have a token are named, and skipped with --missing-only; a revoked token is none."""
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    first.write_text("mine")
    cli(*issue, "--out", str(first)).failed_with(1, "first.csv", "never overwritten")
    assert first.read_text() == "mine"
    assert tokens(cli) == []
    first.unlink()
    assert "only this machine reaches" in cli(*issue, "--out", str(first)).err
    cli(*issue, "--out", str(second)).failed_with(1, "0101", "--missing-only")
    assert "nothing was issued" in cli(*issue, "--out", str(second), "--missing-only").err
    key, area = next((each[0], each[2]) for each in tokens(cli))
    cli.good("token", "revoke", key)
    cli.good(*issue, "--out", str(second), "--missing-only")
    assert [row["area"] for row in rows_of(second)] == [area]
    assert sorted(path.name for path in tmp_path.glob("*.csv*")) == ["first.csv", "second.csv"]


def test_mistakes_in_the_command_issue_nothing(cli: CommandLine, issue: list[str], tmp_path: Path) -> None:
    """Each is named, and leaves no file."""
    out = str(tmp_path / "tokens.csv")
    cli(*issue).failed_with(2, "--out")
    cli(*issue, "--areas", "0101", "--out", out).failed_with(2, "--areas")
    cli(*issue[:-2]).failed_with(2, "--areas")
    cli(*issue[:-1], "parish", "--out", out).failed_with(1, "parish", "municipality")
    cli(*issue, "--out", str(tmp_path / "none" / "tokens.csv")).failed_with(1, "no such directory")
    for url in ("https://user:pw@door.example", "https://door.example/?token=x", "https://door.example/#x"):
        refused = cli(*issue, "--out", out, "--push-url", url)
        assert (refused.status, refused.out) == (2, "")
        assert "--push-url" in refused.err
        assert "pw" not in refused.err
    cli("token", "issue", "--election", "x", "--each", "county", "--out", out).failed_with(1, "'x'")
    (tmp_path / "tokens.csv.pending").write_text("figures\n1\n")
    cli(*issue, "--out", out).failed_with(1, "move it away")
    assert (tmp_path / "tokens.csv.pending").read_text() == "figures\n1\n"
    assert tokens(cli) == []


class Interrupted(Exception):
    """Ends a command at some step, as a crash would."""


@pytest.mark.parametrize("step", ["before the act", "after the act", "no answer", "half a file"])
async def test_a_command_that_was_interrupted_is_completed_when_it_is_repeated(
    step: str, database: Database, small: GeneratedElection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At whatever step it ended, every token that exists is in the file, and the file has no others."""
    out = tmp_path / "tokens.csv"
    file = TokenFile(out)
    act = Administration.issue_known_tokens

    async def crash(*arguments: Any, **options: Any) -> None:
        if step in ("after the act", "no answer"):
            await act(*arguments, **options)
        raise JournalUnavailable("no answer") if step == "no answer" else Interrupted

    async with administration(database.url, "olga") as acts:
        election = await acts.load_election(small.registry)
        batch = TokenBatch(
            election=election, level="municipality", missing_only=False, push_url="http://door", role="sender",
            expires_at=None, note="",
        )  # fmt: skip
        with monkeypatch.context() as patched:
            patched.setattr(Administration, "issue_known_tokens", crash)
            with pytest.raises((Interrupted, JournalUnavailable)) as ended:
                await batch.issue(acts, file)
        assert not out.exists()
        assert stat.S_IMODE(file.pending.stat().st_mode) == 0o600
        assert step != "no answer" or str(file.pending) in str(ended.value)
        kept = rows_of(file.pending)
        if step == "half a file":
            file.pending.write_bytes(file.pending.read_bytes()[:200])
        issued = await batch.issue(acts, file)
        found = rows_of(out)
        assert ({row["token"] for row in found} & {row["token"] for row in kept} != set()) == (issued is None)
        assert (issued is None) == (step in ("after the act", "no answer"))
        assert [each.areas for each in await acts.tokens(election)] == [[row["area"]] for row in found]
        assert await acts.has_issued(election, [NewToken([], "", row["token"]) for row in found])
        assert not file.pending.exists()


async def test_two_commands_do_not_write_one_file(tmp_path: Path) -> None:
    """The second one names the pending file of the first, which stays as it is."""
    file = TokenFile(tmp_path / "tokens.csv")
    with file.locked(), pytest.raises(TokenFileUnusable, match="another command"), file.locked():
        raise AssertionError
    assert count_page("http://door/", "a/b&c") == "http://door/count?election=a%2Fb%26c"
