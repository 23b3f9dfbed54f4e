"""What people read of a record that was verified."""

from datetime import UTC, datetime, timedelta

import msgspec

from gateway.transparency.entries import Previous
from gateway.verification.record_report import document_of, follow_line, lines_of
from gateway.verification.record_verifier import Verified
from tests.transparency.records import LOG_KEY, ORIGIN

NOW = datetime(2025, 9, 8, 22, tzinfo=UTC)
VERIFIED = Verified(
    where="https://results.example.org/v1/elections/made-up-1",
    election="made-up-1",
    name="Made-up election",
    rehearsal=False,
    origin=ORIGIN,
    size=12_690,
    root="UPOwxv/dcpC+L0Y18PJIrf8ldG1TqSvAEBbkj13fmyQ=",
    log_keys=[str(LOG_KEY.vkey)],
    witnesses={"uni": NOW - timedelta(seconds=12), "press": None},
    quorum="witnesses 1 of 2",
    history=1,
    previous=None,
    opened_at="2025-09-08T18:55:02Z",
    closed_at=None,
    registry="ab" * 32,
    reports=12_689,
    published_at=NOW,
    publications=12_689,
    figures_at=12_689,
    areas=3_863,
    unsigned=0,
    continues=None,
    max_age_s=120.0,
)


def text(**members: object) -> str:
    return "\n".join(lines_of(msgspec.structs.replace(VERIFIED, **members), NOW))


def test_everything_that_holds_is_in_one_screen() -> None:
    """The first word says that it holds."""
    assert text() == (
        "verified: Made-up election (made-up-1)\n"
        "log results.example.org/live/made-up-1\n"
        f"  signed by    the log's key {LOG_KEY.vkey.fingerprint}\n"
        "  witnesses    1 of 2, as the policy requires: uni 12 s ago, press has not cosigned; a quorum within 2 min\n"
        "  checkpoint   12 690 entries, which hash to the signed root UPOwxv/dcpC+L0Y18PJIrf8ldG1TqSvAEBbkj13fmyQ=\n"
        "  registry     the one that was fixed at the opening, 2025-09-08 18:55:02 UTC\n"
        "  reports      12 689 reports, each of which obeys the contract; revisions rise\n"
        "  publications digests and chain are those of the entries, up to sequence 12 689\n"
        "  figures      all 3 863 areas are shown with the sum of the reports, at sequence 12 689"
    )


def test_what_was_not_checked_is_said() -> None:
    """A copy has no areas, and may have no publications; without a policy, no witness is required."""
    found = text(figures_at=None, publications=None, witnesses={}, max_age_s=None)
    assert "figures      not checked: a copy shows no areas" in found
    assert "publications not checked: the copy has none" in found
    assert "witnesses    none required: nobody else confirms" in found


def test_what_a_reader_should_know_is_said() -> None:
    """A closing, an earlier checkpoint, reports that are not signed yet, and a history that lost some."""
    previous = Previous(origin="results.example.org/live/made-up-1", root="AAAA", shared=300, size=351)
    found = text(
        closed_at="2025-09-20T12:00:00Z",
        continues=400,
        unsigned=3,
        history=2,
        previous=previous,
        rehearsal=True,
    )
    assert "verified: Made-up election (made-up-1, a rehearsal)\n" in found
    assert "  history      number 2: a restore lost up to 50 reports that had been signed before\n" in found
    assert "               closed 2025-09-20 12:00:00 UTC; nothing follows\n" in found
    assert "               continues the checkpoint of size 400 that was verified before\n" in found
    assert found.endswith("\n               3 reports of it not signed yet")


def test_a_line_and_a_document_have_the_same_values() -> None:
    """For those who follow, and for programs."""
    assert follow_line(VERIFIED) == (
        "verified: size 12 690, 12 689 reports, witnesses 1 of 2, 3 863 areas at sequence 12 689"
    )
    document = document_of(VERIFIED)
    assert document["verified"] is True
    assert document["witnesses"] == {"uni": "2025-09-08T21:59:48Z", "press": None}
    assert {*document} == {*Verified.__struct_fields__, "verified"}
