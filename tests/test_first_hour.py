"""The commands of docs/first-hour.md: each is run, and its output is the one shown below it."""

import re
import sys
from pathlib import Path

import pytest

from gateway.journal.postgres_programs import EmbeddedPostgresError, find_binaries
from gateway.reserved_ports import reserved_ports
from tests.shown import DOCS, assert_as_shown, steps, type_all

PAGE = "first-hour.md"
STEPS = steps(PAGE)
HOUR_S = 150.0
"""Time limit for all steps, which take some 20 s."""

pytestmark = pytest.mark.timeout(HOUR_S + 30)


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The output of each step; the gateway is the one that the page starts."""
    try:
        find_binaries(None)
    except EmbeddedPostgresError as error:
        pytest.skip(str(error))
    if not (Path(sys.prefix) / "bin" / "activate").exists():
        pytest.skip("these tests do not run in a virtual environment that can be activated")
    with reserved_ports(3) as reserved:
        feed, push, admin = map(str, reserved)
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
def test_the_output_of_each_command_is_as_shown(output: list[str], place: int) -> None:
    assert_as_shown(STEPS[place], output[place])


def test_the_document_has_a_part_for_each_of_the_three_audiences() -> None:
    """After the part for all of them."""
    parts = re.findall(r"^## (.+)$", (DOCS / PAGE).read_text(), re.MULTILINE)
    assert parts == ["A gateway to try on", "A municipality", "The media", "An operator"]
