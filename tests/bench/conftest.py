"""Fixtures of the tests of rehearsals and measurements."""

from pathlib import Path

import pytest

from gateway.rehearsal.generator import write_election


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small generated data set."""
    directory = tmp_path_factory.mktemp("night")
    write_election(directory, 1, 0.05)
    return directory
