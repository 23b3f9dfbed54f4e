"""The commands of docs/operation.md: a rehearsal on a gateway that runs, its archive, and the judge's word on that."""

import json
import sys
from pathlib import Path

import pytest

from gateway.generator import write_election
from gateway.journal.embedded import EmbeddedPostgres
from tests.running import served
from tests.shown import Step, assert_as_shown, steps, type_all
from tests.web.conftest import make_database

PAGE = "operation.md"
MOST_S = 100.0
FIRST = Step("", 'export PATH="$BINARIES:$PATH"\nvalgnatt() { python -m gateway "$@"; }\n', "")
TAMPERED = Step(
    "A figure is changed in the archive",
    """sed -i '3s/"ballots":[0-9]*/"ballots":1/' ~/archive/1-.ndjson; python ~/judge.py ~/archive || echo refused\n""",
    "BROKEN chain: …\nrefused\n",
)


@pytest.mark.long
def test_a_rehearsal_and_its_archive_are_made_as_the_page_shows(
    postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    """On the doors of a gateway; the archive is then changed by hand, which the judge sees."""
    database = make_database(postgres)
    write_election(tmp_path / "night", 7, 0.02)
    typed = [FIRST, *steps(PAGE), TAMPERED]
    with served(database) as gateway:
        push, feed = (url.rpartition(":")[2] for url in (gateway.push_url, gateway.feed_url))
        environ = {
            "VALGNATT_DATABASE_URL": database.url,
            "BINARIES": str(Path(sys.executable).parent),
        }
        said = type_all(typed, tmp_path, {"8080": feed, "8081": push}, environ, MOST_S)
        for step, words in zip(typed, said, strict=True):
            assert_as_shown(step, words)
    tokens = json.loads((tmp_path / "rehearsal" / "tokens.json").read_text())
    assert tokens
    assert all(token.startswith("vgn_") for token in tokens.values())
    played = json.loads((tmp_path / "rehearsal" / "everyone-at-once.json").read_text())
    assert played["broken"] == []
    assert played["figures"]["lost"] == 0
