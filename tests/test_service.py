"""What a worker asks of its machine before it serves."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.config import Config, ConfigError
from gateway.machine import serve

LOOK = """
import resource
from gateway.service import open_as_many_as_may_be
open_as_many_as_may_be()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_a_worker_opens_as_many_files_as_it_may() -> None:
    """Each reader is one, and what a shell allows at first is often 1 024."""

    def shell() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 4096))

    found = subprocess.run(
        [sys.executable, "-c", LOOK], preexec_fn=shell, capture_output=True, check=True, text=True, timeout=60
    )
    assert found.stdout.split() == ["4096", "4096"]


async def test_a_standby_cannot_be_required_of_the_embedded_postgres(tmp_path: Path) -> None:
    """It has none, so no report would ever get a receipt; the knob is named."""
    with pytest.raises(ConfigError, match=r"require_standby: .*database_url"):
        await serve(Config(data_dir=tmp_path, require_standby=True))
