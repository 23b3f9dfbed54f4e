"""The commands of docs/operation.md: a rehearsal on a running gateway, its archive, and the judge's verdict on it."""

import json
import sys
from pathlib import Path

import pytest

from gateway.journal.embedded import EmbeddedPostgres
from gateway.rehearsal.generator import write_election
from tests.running import served
from tests.shown import Step, assert_as_shown, steps, type_all
from tests.web.conftest import make_database

PAGE = "operation.md"
MOST_S = 120.0
FIRST = Step("", 'export PATH="$BINARIES:$PATH"\nvalgnatt() { python -m gateway "$@"; }\n', "")
TAMPERED = Step(
    "A figure is changed in the archive",
    """sed -i '3s/"ballots":[0-9]*/"ballots":1/' ~/archive/1-.ndjson; python ~/judge.py ~/archive || echo refused\n""",
    "BROKEN chain: …\nrefused\n",
)

USED_UP = Step(
    "Somebody with the token of a municipality uses up the revisions of a unit",
    """curl --silent --show-error --header "Authorization: Bearer $(python -c 'import json, sys
print(json.load(sys.stdin)["0604"])' < ~/rehearsal/tokens.json)" --json '{"unit": "0604-0001", "revision": 2000000000,
"counted_at": "2025-09-08T22:00:00+02:00", "status": "final", "counts": {}}' \\
http://127.0.0.1:8081/v1/elections/rehearsal-1/reports; echo
""",
    '…"revision":2000000000,"outcome":"accepted"…\n',
)
HELD = Step(
    "A municipality sends only a part of its count",
    """curl --silent --show-error --header "Authorization: Bearer $(python -c 'import json, sys
print(json.load(sys.stdin)["0604"])' < ~/rehearsal/tokens.json)" --json '{"unit": "0604-0002", "revision": 900,
"counted_at": "2025-09-08T22:00:00+02:00", "status": "final", "counts": {"election_day": {"ballots": 12, "blank": 0,
"rejected": 0, "votes": {"FL": 12}}}}' http://127.0.0.1:8081/v1/elections/rehearsal-1/reports; echo
""",
    '…"state":"held"…\n',
)
SHOWN_AGAIN = Step(
    "The results show the true count",
    """curl --silent http://127.0.0.1:8080/v1/elections/rehearsal-1/areas/0604-0001; echo\n""",
    '…"ballots":11…\n',
)


@pytest.mark.long
def test_a_rehearsal_and_its_archive_work_as_documented(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    """Through the doors of a gateway; the archive is then altered, which the judge detects."""
    database = make_database(postgres)
    write_election(tmp_path / "night", 7, 0.02)
    page = steps(PAGE)
    held = next(place for place, step in enumerate(page) if step.heading == "What is held")
    way_back = next(place for place, step in enumerate(page) if "used up" in step.heading)
    archive = next(place for place, step in enumerate(page) if "archive" in step.heading)
    typed = [
        FIRST,
        *page[:held],
        HELD,
        *page[held:way_back],
        USED_UP,
        *page[way_back:archive],
        SHOWN_AGAIN,
        *page[archive:],
        TAMPERED,
    ]
    with served(database) as gateway:
        push, feed = (url.rpartition(":")[2] for url in (gateway.push_url, gateway.feed_url))
        environ = {
            "VALGNATT_DATABASE_URL": database.url,
            "BINARIES": str(Path(sys.executable).parent),
        }
        output = type_all(typed, tmp_path, {"8080": feed, "8081": push}, environ, MOST_S)
        for step, words in zip(typed, output, strict=True):
            assert_as_shown(step, words)
    tokens = json.loads((tmp_path / "rehearsal" / "tokens.json").read_text())
    assert tokens
    assert all(token.startswith("vgn_") for token in tokens.values())
    played = json.loads((tmp_path / "rehearsal" / "everyone-at-once.json").read_text())
    assert played["broken"] == []
    assert played["figures"]["lost"] == 0
