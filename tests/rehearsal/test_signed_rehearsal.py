"""The signed record of a rehearsal: what its verification says, and that a failure of it fails the rehearsal."""

import re
from pathlib import Path

import msgspec
import pytest

from gateway.rehearsal import signed_rehearsal
from gateway.rehearsal.results import RecordCheck, Summary, latency_of, summary_lines
from gateway.rehearsal.signed_rehearsal import check_record
from gateway.transparency.policy import NONE
from tests.transparency.records import REPORTS, Fault, a_night, policy
from tests.verification.feed import serving

NOTHING = latency_of(())
GOOD = Summary("e", 3, 3, 0, 0, 0, 3, 1, 1.0, NOTHING, NOTHING, None, 1, [])


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for a checkpoint only as long as it takes to see that there is none."""
    monkeypatch.setattr(signed_rehearsal, "COVERED_S", 0.0)


async def checked(fault: Fault | None, publications: int = REPORTS) -> RecordCheck:
    """Require witnesses only where they are too few: the cosignatures of a record that is made up are old."""
    trusted = policy() if fault is Fault.STRANGER else policy()._replace(quorum=NONE)
    async with serving(a_night(fault)) as feed:
        return await check_record(feed.url, "made-up-1", trusted, publications)


async def test_a_record_is_verified_in_one_line() -> None:
    """With the number of its entries and its root."""
    found = await checked(None)
    line = rf"record +verified: {REPORTS + 1} entries, root [A-Za-z0-9+/]{{43}}=, witnesses 2 of 3"
    assert re.fullmatch(line, found.line)
    summary = msgspec.structs.replace(GOOD, record=found)
    assert summary.good
    assert summary_lines(summary)[-1] == found.line


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault.FLIPPED_BIT, "root_mismatch"),
        (Fault.OTHER_KEY, "bad_signature"),
        (Fault.STRANGER, "too_few_witnesses"),
        (Fault.FIGURE_CHANGED, "figures_differ"),
    ],
)
async def test_a_record_that_is_not_verified_fails_the_rehearsal(fault: Fault, code: str) -> None:
    """The line has the code and the sentence."""
    found = await checked(fault)
    assert found.verified is None
    assert found.line.startswith(f"record         NOT VERIFIED: {code}: ")
    assert GOOD.good
    assert not msgspec.structs.replace(GOOD, record=found).good


async def test_a_record_that_covers_too_little_is_not_verified() -> None:
    found = await checked(None, REPORTS + 5)
    assert found.failure == (
        f"missing: the newest checkpoint covers {REPORTS} of {REPORTS + 5} reports after 0 s"
    )


async def test_a_record_that_nobody_signs_is_not_verified(tmp_path: Path) -> None:
    """As of the demo, whose signer may have failed."""
    found = await check_record(str(tmp_path), "made-up-1", policy(), 0)
    assert found.failure.startswith("missing: the newest checkpoint covers 0 of 0 reports")
