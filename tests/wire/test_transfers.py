"""The documents of transfers: one threshold decides what is late, wherever it is shown."""

import re
from pathlib import Path

import yaml

from gateway.wire.transfers import LATE_AFTER_S

ROOT = Path(__file__).parents[2]


def test_one_threshold_decides_what_is_late() -> None:
    """The alert and the contract have the value of the code; pages and commands read it from the document."""
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "rules.yml").read_text())
    (alert,) = (
        rule
        for group in rules["groups"]
        for rule in group["rules"]
        if rule["alert"] == "ValgnattCountUnpublished"
    )
    assert float(alert["expr"].rpartition("> ")[2]) == LATE_AFTER_S
    contract = (ROOT / "docs" / "contract.md").read_text()
    assert re.findall(r"`late_after_s` \((\d+) s\)", contract) == [f"{LATE_AFTER_S:.0f}"]
    for path in [
        *(ROOT / "gateway" / "web" / "pages").glob("*.js"),
        *(ROOT / "gateway" / "client").glob("*.py"),
    ]:
        assert not re.search(r"oldest_unpublished_s[^\n]*[<>]=? *\d", path.read_text()), path
