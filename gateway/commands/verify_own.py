"""`valgnatt verify receipt` and `verify outbox`: what those who sent reports verify."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from gateway.commands.running import fail
from gateway.commands.verify_options import AsJson, Evidence, Keys, PolicyFile, read_trust


def receipt(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="proofs, UNIT-REVISION.tlog-proof")],
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="JSON",
            help="the report that the proof of a single FILE has to be for, as it was sent (default: that in FILE)",
            show_default=False,
        ),
    ] = None,
    key: Keys = None,
    policy: PolicyFile = None,
    evidence: Evidence = None,
    as_json: AsJson = False,
) -> None:
    """Verify that reports are in the signed record, from proof files alone, without any network.

    A proof shows that the report is in the record that everybody sees, if the witnesses of --policy have cosigned it.
    valgnatt push --proofs DIR writes these files, and the feed door has them at /proof/SEQUENCE of the log.

    Exit status 0 if every proof is valid; 1 if one is not: its code and a sentence are shown.
    """
    trust = read_trust(key, policy)
    if report is not None and len(files) != 1:
        fail("--report is for a single FILE", 2)
    from gateway.errors import ExtraMissing
    from gateway.verification.receipt_command import ReceiptOptions, UnreadableFiles, verify_receipts
    from gateway.verification.saved_state import BadState

    options = ReceiptOptions(files=files, policy=trust, report=report, evidence=evidence, as_json=as_json)
    try:
        sys.exit(verify_receipts(options))
    except (UnreadableFiles, BadState, ExtraMissing) as error:
        fail(str(error), 2)
