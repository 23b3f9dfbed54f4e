"""The documents of transfers: one threshold decides what is late, wherever it is shown."""

import re
from datetime import timedelta
from pathlib import Path

import msgspec
import yaml

from gateway.wire.transfers import LATE_AFTER_S, OwnTransfers, PublicTransfers

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


def test_documents_of_older_gateways_have_no_hidden_until() -> None:
    """They are read as if nothing were hidden, as they always were; of newer ones, the clock of the election stays."""
    own = {"election": "e", "rehearsal": False, "transfers": []}
    public = {**own, "sequence": 0, "server_time": "2025-09-08T18:00:00Z"}
    for kind, document in ((OwnTransfers, own), (PublicTransfers, public)):
        assert msgspec.convert(document, kind).hidden_until is None
        hidden = {**document, "hidden_until": "2025-09-08T21:00:00+02:00"}
        until = msgspec.convert(hidden, kind).hidden_until
        assert until is not None
        assert (until.hour, until.utcoffset()) == (21, timedelta(hours=2))
