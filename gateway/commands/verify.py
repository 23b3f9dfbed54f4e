"""`valgnatt verify`: verify a signed record without trusting its operator."""

import sys
from pathlib import Path
from typing import Annotated

import typer

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


def record(
    where: Where,
    election: ElectionOption = None,
    key: Keys = None,
    policy: PolicyFile = None,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="keep a copy, or continue it; any web server can publish it (default: none)",
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="remember the verified checkpoint, and require that the next one continues it (default:"
            " none)",
        ),
    ] = None,
    follow: Annotated[
        bool,
        typer.Option("--follow", help="go on as checkpoints appear, until one fails or the record is closed"),
    ] = False,
    max_age: MaxAge = None,
    evidence: Evidence = None,
    as_json: AsJson = False,
) -> None:
    """Verify the whole signed record of an election: signatures, entries, registry, reports, and every area shown.

    Exit status 0 only if every condition holds, and 1 if one fails: its code and a sentence are shown. Keys have to
    come from elsewhere than the feed door. Without --policy, no witness is required, so the operator could show others
    another record. docs/verify.md explains each line. Proxies are those of http_proxy, https_proxy and no_proxy.
    """
    trust = read_trust(key, policy)
    max_age_s = read_duration(max_age) if max_age is not None else None
    from gateway.errors import ExtraMissing
    from gateway.verification.record_command import RecordOptions, verify_record
    from gateway.verification.saved_state import BadState

    options = RecordOptions(
        where=where,
        policy=trust,
        election=election,
        save=save,
        state=state,
        follow=follow,
        max_age_s=max_age_s,
        evidence=evidence,
        as_json=as_json,
    )
    try:
        sys.exit(run(verify_record(options)))
    except (BadState, ExtraMissing) as error:
        fail(str(error), 2)
    except KeyboardInterrupt:
        sys.exit(130)
