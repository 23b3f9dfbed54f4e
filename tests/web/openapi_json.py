"""`python -m tests.web.openapi_json`: write `openapi.json`, which the API page reads, from `openapi.yaml`."""

import json
from pathlib import Path

import yaml

from gateway.page_composition import OPENAPI, OPENAPI_JSON


def convert(path: Path) -> str:
    """Return a YAML document as JSON, with anchors and aliases written out."""
    return json.dumps(yaml.safe_load(path.read_text()), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    OPENAPI_JSON.write_text(convert(OPENAPI))
