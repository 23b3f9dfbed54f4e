"""Documents refer to tests, modules, scenarios and commands that exist, and to the bounds of the code."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from gateway.cli import app
from gateway.config import OTHER_VARIABLES, all_options
from gateway.election import explanations
from gateway.election.apportionment import reading
from gateway.election.validation import REPORT_MAX, ExplanationBudget
from gateway.feed.blocks import BLOCK_BYTES_MAX, PARTS_BYTES_MAX
from gateway.journal import refusals
from gateway.web import (
    allowance,
    bodies,
    connections,
    count_previews,
    count_task,
    push_answers,
    push_receiving,
    push_socket,
    sender_allowance,
    websocket,
)
from gateway.web import push_request as push
from gateway.web.aiohttp_connection import (
    AHEAD_MAX,
    INPUT_COST,
    INPUT_MIN,
    SEND_RATE,
    SEND_TIMEOUT_S,
    SMALL_MAX,
)
from gateway.web.aiohttp_problems import HEAD_MAX, REQUEST_LINE_MAX
from gateway.web.feed_lookup import AHEAD_S
from gateway.web.push_body import BODY_MAX, REPORTS_MAX
from gateway.web.push_door import BOARDS_MAX, DECISIONS_MAX, HOLDS_MAX, READS_MAX, TRANSFERS_MAX
from gateway.web.turns import SLICE_S
from gateway.web.unread import UNREAD_MAX, UNREAD_PER_ADDRESS
from gateway.wire import holds
from gateway.wire.decisions import BODY_MAX as DECISION_MAX
from gateway.wire.decisions import DECIDED_MAX
from gateway.wire.session import FRAME_MAX
from tests.running import log_events

ROOT = Path(__file__).parents[1]
RULES = ROOT / "deploy" / "prometheus" / "rules.yml"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "deploy").glob("*.md")])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_a_document_names_exists(document: Path) -> None:
    """As a link, or as code with a path below a directory of this project."""
    text = document.read_text()
    links = [link for link in re.findall(r"\]\(([^)#:]+)\)", text) if not link.startswith("http")]
    missing = [link for link in links if not (document.parent / link).exists()]
    paths = re.findall(r"`((?:tests|gateway|bench|docs|deploy|examples)/[\w/.-]+\.\w+)", text)
    missing += [path for path in paths if not (ROOT / path).exists()]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_section_that_a_document_links_to_exists(document: Path) -> None:
    """In the same document or in another one, under the anchor that GitHub and GitLab derive from its heading."""
    for name, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", document.read_text()):
        linked = document.parent / name if name else document
        assert anchor in _anchors(linked.read_text()), (name, anchor)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_no_sentence_of_a_document_follows_itself(document: Path) -> None:
    """As where texts from two sources are joined."""
    assert not re.findall(r"(\b[A-Z][^.|]{15,}\.) \1", " ".join(document.read_text().split()))


def _anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _options_of(command: Any, *words: str) -> Iterator[tuple[tuple[str, ...], set[str]]]:
    """Yield the words of each command, and its options."""
    yield (
        words,
        {option for each in command.params for option in (*each.opts, *each.secondary_opts)} | {"--help"},
    )
    for name, inner in getattr(command, "commands", {}).items():
        yield from _options_of(inner, *words, name)


OPTIONS = dict(_options_of(get_command(app)))
"""The options of each command of `valgnatt`."""


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_in_a_document_exists_with_its_options(document: Path) -> None:
    """And every variable that sets an option."""
    text = document.read_text().replace("\\\n", " ")
    for line in re.findall(r"(?:valgnatt|python -m gateway) ([a-z][^`\n|;&>]*)", text):
        named = re.match(r"[a-z -]*", line)[0].split(" --")[0].split()
        command = max((words for words in OPTIONS if words == tuple(named[: len(words)])), key=len)
        if command:
            assert set(re.findall(r"(?<!\S)--[a-z-]+", line)) <= OPTIONS[command], line
    variables = {option.variable for option in all_options()} | OTHER_VARIABLES
    assert set(re.findall(r"VALGNATT_[A-Z_]*[A-Z]\b", text)) <= variables


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_scenario_in_a_document_exists(document: Path) -> None:
    from bench.__main__ import SOAK
    from bench.rehearse.scenarios import names

    for line in re.findall(r"bench run ([a-z -]+)", document.read_text()):
        scenarios = [word for word in line.split(" --")[0].split() if not word.startswith("-")]
        assert scenarios
        assert set(scenarios) <= {*names(), SOAK, "all"}, line


@pytest.mark.parametrize("document", [*DOCUMENTS, RULES], ids=lambda path: path.name)
def test_every_log_line_that_a_document_quotes_is_logged(document: Path) -> None:
    """By the beginning of its event."""
    quoted = re.findall(r"(?:lines?|logs)(?: |\n *)`([a-z ]+)`", document.read_text())
    quoted += re.findall(r"`([a-z ]+)`(?: |\n *)(?:is )?in the log", document.read_text())
    assert not [line for line in quoted if not any(event.startswith(line) for event in log_events())]


def bounds() -> dict[str, str]:
    """Return the tables of bounds in docs/security.md: the bound of each row."""
    section = (ROOT / "docs/security.md").read_text().partition("\n## Bounds\n")[2].partition("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in section.splitlines()
        if line.startswith("|")
    ]
    assert rows
    return {row[0]: row[1] for row in rows}


def test_every_bound_that_an_option_sets_is_its_default() -> None:
    """Each figure precedes the name of its option."""
    defaults = {f"--{option.name.replace('_', '-')}": option.default for option in all_options()}
    found = [
        (name, int(figure))
        for bound in bounds().values()
        for figure, name in re.findall(r"(\d+)[^\d`]*`(--[a-z0-9-]+)`", bound)
    ]
    assert len(found) >= 13
    assert all(figure == defaults[name] for name, figure in found), found


def test_every_fixed_bound_is_that_of_the_code() -> None:
    """In units for people."""
    per_token = sender_allowance.SENDER_CONTROL_RATE, sender_allowance.SENDER_CONTROL_BURST
    stated = {
        "TLS handshakes in progress": f"{connections.HANDSHAKES_MAX}",
        "handshake and head of the first request": f"{connections.HEAD_S:g} s",
        "head of a request": f"{HEAD_MAX >> 10} KiB, {REQUEST_LINE_MAX} bytes of it for the target",
        "requests sent ahead of an answer": f"{AHEAD_MAX >> 10} KiB",
        f"heads in memory, and requests sent ahead, of {INPUT_MIN >> 10} KiB or more": (
            f"count {INPUT_COST} times as unread answers: "
            f"{UNREAD_MAX >> 20} MiB in all, {UNREAD_PER_ADDRESS >> 20} MiB of one address"
        ),
        f"unread answers, of {SMALL_MAX >> 10} KiB or more": (
            f"{UNREAD_MAX >> 20} MiB in all, {UNREAD_PER_ADDRESS >> 20} MiB of one address"
        ),
        "time to read an answer": f"{SEND_TIMEOUT_S:g} s + 1 s for each {SEND_RATE >> 10} KiB",
        "what a fall is compared with, to explain it": (
            f"{explanations.COMPARED_MAX} growths of each category party by party, {explanations.SEEN_MAX} by size; "
            f"{explanations.COMPARISONS_MAX} comparisons for each municipality, and "
            f"{explanations.COMPARISONS_PER_CHANGE} more with each change"
        ),
        "a request": f"{BODY_MAX >> 20} MiB, packed and unpacked, and {REPORTS_MAX} reports",
        "simultaneous requests of one token": (
            f"{READS_MAX} that read a report back, {BOARDS_MAX} of the board, {TRANSFERS_MAX} of transfers,"
            f" {TRANSFERS_MAX} of all reports or the template, {HOLDS_MAX} of holds or rules, {DECISIONS_MAX} decision"
        ),
        "a decision, or a change of the rules": f"{DECISION_MAX >> 10} KiB, {DECIDED_MAX} held reports",
        "a list of holds": f"{holds.HOLDS_MAX} holds and {holds.HOLDS_BYTES_MAX >> 20} MiB",
        "a file to preview": (
            f"{BODY_MAX >> 20} MiB; {count_task.CPU_S} s of computing, {count_previews.TIMEOUT_S:g} s for each of "
            f"two steps, {count_task.MEMORY_MAX >> 20} MiB of memory"
        ),
        "files that are read at the same time": (
            f"{count_previews.READERS_MAX} in all; {count_previews.WAITING_MAX} more wait, "
            f"for {count_previews.WAIT_S:g} s at most"
        ),
        "computing time for the files of one token": f"{count_previews.CPU_BURST_S:g} s at once",
        "counts of refusals that are not yet written": f"{refusals.KEYS_MAX} by token and code",
        "bodies in memory": f"{push.BODIES_MAX >> 20} MiB, and {push.BODY_RESERVE >> 10} KiB for each",
        "unread answers to pushes": f"{push.ANSWERS_MAX >> 20} MiB, and {push.ANSWER_RESERVE >> 10} KiB for each",
        "time to send a body": (
            f"{push_receiving.BODY_GRACE_S:g} s + 1 s for each {push_receiving.BODY_RATE >> 10} KiB that has arrived, "
            f"at most {push_receiving.BODY_S:g} s"
        ),
        "work before other senders have their turn": (
            f"{SLICE_S * 1000:g} ms and the step in progress: one report ({REPORT_MAX // 1000} {REPORT_MAX % 1000}"
            " bytes at most)"
        ),
        "answer to one request": f"{REPORTS_MAX} results of some {push_answers.RECEIPT_SIZE} bytes",
        "violations reported for one request": (
            f"{ExplanationBudget.VIOLATIONS} violations, {ExplanationBudget.TEXT >> 10} KiB of text, "
            f"{ExplanationBudget.READ >> 10} KiB of reports"
        ),
        "a frame": f"{FRAME_MAX >> 10} KiB",
        "undecided reports kept of a WebSocket": f"{push_socket.WAITING_MAX >> 10} KiB and one frame",
        "frames of a WebSocket before other connections have their turn": (
            f"{push_socket.TURN}, or those that take {1000 * push_socket.TURN_S:g} ms if messages are refused"
        ),
        "work on the WebSockets of a process before anything else has its turn": (
            f"{SLICE_S * 1000:g} ms, or as long as everything else takes while some wait; and the turn in progress"
        ),
        f"control frames and fragments below {push_socket.PART_FREE >> 10} KiB": (
            f"{push_socket.CONTROL_RATE:g} a second and {push_socket.CONTROL_BURST:g} at once of a connection, "
            f"{per_token[0]:g} and {per_token[1]:g} of a token"
        ),
        "work on messages of a token's WebSockets that are refused": f"{sender_allowance.WORK_BURST_S:g} s at once",
        "a report's wait for an unavailable Postgres": f"{push_socket.UNAVAILABLE_S:g} s",
        "time in which a WebSocket reads no answer": f"{websocket.SEND_S:g} s",
        "waits for a position in the record, of one address": f"{AHEAD_S:g} s",
        "bytes made for one address alone": f"{allowance.ALL} times as much for all",
        "blocks of an election that are kept": (
            f"{BLOCK_BYTES_MAX >> 20} MiB, and {PARTS_BYTES_MAX >> 20} MiB for their parts"
        ),
        "districts times parties of an election with seats": (
            f"{reading.ROWS_MAX:,}; {reading.SHARES_MAX:,} if seats depend".replace(",", " ")
        ),
        "other bodies that are kept": f"{bodies.BODIES_MAX >> 20} MiB",
    }  # fmt: skip
    table = bounds()
    assert not {row: bound for row, bound in stated.items() if bound not in table.get(row, "")}


def test_every_threat_has_a_test() -> None:
    """Another test checks that the files exist."""
    section = (ROOT / "docs/security.md").read_text().partition("\n## Threats\n")[2].partition("\n## ")[0]
    threats = [line for line in section.splitlines() if line.startswith("| ") and "---" not in line][1:]
    assert threats
    assert not [line for line in threats if "`tests/" not in line.rstrip("| ").rpartition("|")[2]]
