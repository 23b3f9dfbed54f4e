"""A server with the interface of S3, shared by the tests of a process, and an election with seats."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.rehearsal.generator import GeneratedElection
from tests.election.naive_seats import with_seats
from tests.mirror.s3_client import control


@pytest.fixture(scope="session")
def server() -> Iterator[dict[str, str]]:
    """Start a server; return the environment of a mirror that writes to it."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.mirror.s3_server"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        line = process.stdout.readline()
        assert line
        yield {**json.loads(line), "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1"}
        assert process.stdin
        process.stdin.close()


@pytest.fixture
def url(server: dict[str, str], monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """Return a prefix of this test alone; the environment has what reaches it."""
    for name in [each for each in os.environ if each.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    control(server)
    return "s3://results/night/" + re.sub(r"\W+", "-", request.node.name).strip("-")


@pytest.fixture
def document(small: GeneratedElection) -> dict[str, Any]:
    """The registry of the small election, with seats."""
    return with_seats(small.registry)
