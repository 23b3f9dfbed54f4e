"""`valgnatt verify receipt` and `verify outbox`: what those who sent reports verify."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from gateway.commands.arguments import checked_url, read_areas
from gateway.commands.running import fail, run
from gateway.commands.verify_options import (
    AsJson,
    ElectionOption,
    Evidence,
    Keys,
    MaxAge,
    PolicyFile,
    Where,
    read_duration,
    read_trust,
)


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


def outbox(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="the outbox of valgnatt push")],
    where: Where,
    election: ElectionOption = None,
    areas: Annotated[
        str,
        typer.Option(
            help="your areas, separated by commas, of which nobody else may have sent a report (default: those of your"
            " token, which the outbox knows once it was used)",
            show_default=False,
        ),
    ] = "",
    push_url: Annotated[
        str | None,
        typer.Option(
            callback=checked_url,
            help="push door to which the reports were sent, if the outbox has reports for several (default: the only"
            " one)",
            show_default=False,
        ),
    ] = None,
    key: Keys = None,
    policy: PolicyFile = None,
    max_age: MaxAge = None,
    evidence: Evidence = None,
    as_json: AsJson = False,
) -> None:
    """Verify that the signed record has all your reports, unchanged, and none in your name.

    Every report with a receipt has to be in the record byte for byte, except those that an operator rejected or a newer
    revision replaced while they were held, which are listed; the record has no report of your areas that you did not
    send; your newest report of each unit is the newest one. Missing proofs are stored in the outbox.

    Exit status 0 only if all of that holds, and 1 if not: what is wrong is shown first, with what to do. Keys have to
    come from elsewhere than the feed door. Proxies are those of http_proxy, https_proxy and no_proxy.
    """
    trust = read_trust(key, policy)
    max_age_s = read_duration(max_age) if max_age is not None else None
    from gateway.client.outbox_file import OutboxUnavailable
    from gateway.client.push_files import destination
    from gateway.errors import ExtraMissing
    from gateway.verification.outbox_command import OutboxOptions, verify_outbox
    from gateway.verification.outbox_verifier import UnusableOutbox
    from gateway.verification.saved_state import BadState

    options = OutboxOptions(
        file=file,
        where=where,
        policy=trust,
        election=election,
        areas=read_areas(areas),
        gateway=destination(push_url, "").gateway if push_url is not None else None,
        max_age_s=max_age_s,
        evidence=evidence,
        as_json=as_json,
    )
    try:
        sys.exit(run(verify_outbox(options)))
    except (UnusableOutbox, OutboxUnavailable, BadState, ExtraMissing) as error:
        fail(str(error), 2)
    except KeyboardInterrupt:
        sys.exit(130)
