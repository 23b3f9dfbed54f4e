"""Public schemas, which are not part of the project: tests that need them are skipped where they are absent."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

SCHEMAS = Path(__file__).parents[2] / "shared" / "schemas"


@cache
def eml_errors() -> Any:
    """Return a function that lists what XML Schema finds wrong in EML 510."""
    from lxml import etree  # here, because most runs of tests need it not

    path = SCHEMAS / "eml-5.0" / "510-count-v5-0.xsd"
    if not path.exists():
        pytest.skip(f"the schema of EML 5.0 is not at {path}")
    schema = etree.XMLSchema(etree.parse(path))

    def errors(document: bytes) -> list[str]:
        schema.validate(etree.fromstring(document))
        return [f"{each.line}: {each.message}" for each in schema.error_log]

    return errors


@cache
def nist_errors() -> Any:
    """Return a function that lists what the JSON schema of NIST SP 1500-100 version 2 finds wrong."""
    from jsonschema import Draft4Validator, FormatChecker

    path = SCHEMAS / "nist-v2" / "NIST_V2_election_results_reporting.json"
    if not path.exists():
        pytest.skip(f"the schema of NIST SP 1500-100 is not at {path}")
    validator = Draft4Validator(json.loads(path.read_text()), format_checker=FormatChecker())
    return lambda document: [each.message for each in validator.iter_errors(json.loads(document))]
