"""The first hour as its document tells it: every command is typed, and says what is shown under it."""

import re
import sys
from pathlib import Path

import pytest

from gateway.journal.embedded import EmbeddedPostgresError, find_binaries
from tests.shown import DOCS, assert_as_shown, free_ports, steps, type_all

PAGE = "first-hour.md"
STEPS = steps(PAGE)
HOUR_S = 150.0
"""What all of it may take; it is some 20 s."""

pytestmark = pytest.mark.timeout(HOUR_S + 30)


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What each step says, from nothing: the gateway is one that the page has had started."""
    try:
        find_binaries(None)
    except EmbeddedPostgresError as error:
        pytest.skip(str(error))
    if not (Path(sys.prefix) / "bin" / "activate").exists():
        pytest.skip("these tests do not run in a virtual environment that can be activated")
    feed, push, admin = free_ports(3)
    environ = {
        "VALGNATT_FEED_PORT": feed,
        "VALGNATT_PUSH_PORT": push,
        "VALGNATT_ADMIN_PORT": admin,
        "VALGNATT_FEED_URL": f"http://127.0.0.1:{feed}",
        "VALGNATT_PUSH_URL": f"http://127.0.0.1:{push}",
    }
    ports = {"8080": feed, "8081": push, "8082": admin}
    return type_all(STEPS, tmp_path_factory.mktemp("home"), ports, environ, HOUR_S)


@pytest.mark.long
@pytest.mark.parametrize("place", range(len(STEPS)), ids=lambda place: f"{place} {STEPS[place].heading}")
def test_what_is_typed_says_what_is_shown_under_it(said: list[str], place: int) -> None:
    assert_as_shown(STEPS[place], said[place])


def test_all_three_find_their_first_hour() -> None:
    """After what they have in common."""
    parts = re.findall(r"^## (.+)$", (DOCS / PAGE).read_text(), re.MULTILINE)
    assert parts == ["A gateway to try on", "A municipality", "The media", "An operator"]
