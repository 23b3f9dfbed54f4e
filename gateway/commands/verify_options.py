"""Options that all `valgnatt verify` commands share."""

from pathlib import Path
from typing import Annotated

import typer

Keys = Annotated[
    list[str] | None,
    typer.Option(
        "--key",
        metavar="VKEY|FILE",
        help="key of the log, or a file with keys, one per line; may be repeated. Get it from elsewhere than the feed"
        " door",
        show_default=False,
    ),
]
PolicyFile = Annotated[
    Path | None,
    typer.Option(
        "--policy",
        metavar="FILE",
        help="keys of the log and its witnesses, and how many of these must agree (c2sp.org/tlog-policy)",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="print what was verified as one JSON document")]
Evidence = Annotated[
    Path | None,
    typer.Option(
        "--evidence",
        metavar="DIR",
        help="if a check fails, save there what shows it: the signed notes, and what failed",
        show_default=False,
    ),
]
