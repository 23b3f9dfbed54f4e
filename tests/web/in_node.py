"""Modules of the pages in Node.js: quicker than a browser for what does not draw."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gateway.page_composition import DIRECTORY

MOST_S = 60


def run_with_modules(directory: Path, modules: tuple[str, ...], script: str, given: Any) -> Any:
    """Run a script beside modules of the pages; it reads `given` as JSON from its input, and writes JSON.

    Skips the test if Node.js is not installed.
    """
    if (node := shutil.which("node")) is None:
        pytest.skip("Node.js is not installed")
    for name in modules:
        shutil.copy(DIRECTORY / name, directory)
    (directory / "package.json").write_text('{"type":"module"}')
    (directory / "run.js").write_text(script)
    done = subprocess.run(
        [node, str(directory / "run.js")],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=MOST_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
