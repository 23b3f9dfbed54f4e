"""Doors of these tests have one process, which is never a moment behind."""

import pytest

from gateway.verification import record_verifier


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_verifier, "BEHIND_PAUSE_S", 0.01)
