"""What tests ask of the server of `s3_server.py`, beside what a mirror asks."""

import json
import urllib.request
from typing import Any


def control(server: dict[str, str], *faults: dict[str, Any]) -> None:
    """Replace what the server is to fail at, and forget what it has seen."""
    _ask(server, "/_faults", json.dumps(faults).encode())


def seen(server: dict[str, str]) -> dict[str, Any]:
    return dict(json.loads(_ask(server, "/_seen", None)))


def _ask(server: dict[str, str], path: str, body: bytes | None) -> bytes:
    with urllib.request.urlopen(f"{server['AWS_ENDPOINT_URL']}{path}", body, timeout=10) as answer:
        return bytes(answer.read())
