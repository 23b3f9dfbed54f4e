"""Options that all `valgnatt verify` commands share, and how their values are read."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.running import fail

if TYPE_CHECKING:
    from gateway.transparency.note import VerifierKey
    from gateway.transparency.policy import Policy

FILE_MAX = 512 << 10
"""Bytes of a file with keys or a policy that are read."""
_UNITS = {"s": 1, "m": 60, "h": 3600}

Where = Annotated[
    str,
    typer.Argument(
        metavar="URL|DIR",
        help="the election at a feed door or in a mirror, https://HOST/v1/elections/ELECTION, or https://HOST; or the"
        " directory of a mirror, or of a copy",
    ),
]
ElectionOption = Annotated[
    str | None,
    typer.Option(
        "--election", "-e", help="the election's identifier (default: the only election of the gateway)"
    ),
]
Keys = Annotated[
    list[str] | None,
    typer.Option(
        "--key",
        metavar="VKEY|FILE",
        help="key of the log, or a file with keys, one per line; may be repeated; get it from elsewhere than the"
        " feed door (default: those of --policy)",
        show_default=False,
    ),
]
PolicyFile = Annotated[
    Path | None,
    typer.Option(
        "--policy",
        metavar="FILE",
        help="keys of the log and its witnesses, and how many of these must agree, c2sp.org/tlog-policy"
        " (default: no witness is required)",
        show_default=False,
    ),
]
MaxAge = Annotated[
    str | None,
    typer.Option(
        "--max-age",
        metavar="TIME",
        help="how old the witnesses' cosignatures may be, 2m for example (default: 2m; 125m from a day after the"
        " last report on)",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="print what was verified as one JSON document")]
Evidence = Annotated[
    Path | None,
    typer.Option(
        "--evidence",
        metavar="DIR",
        help="if a check fails, save there what shows it: the signed notes, and what failed (default:"
        " nowhere)",
        show_default=False,
    ),
]


def read_trust(keys: list[str] | None, policy_file: Path | None) -> "Policy":
    """Return the policy of `--policy`, with the keys of `--key` in addition; exit with status 2 if there is no key."""
    from gateway.transparency.policy import MalformedTrustPolicy, Policy, TrustedLog, parse_policy

    trusted = [key for text in keys or () for key in read_keys(text)]
    if policy_file is None:
        if not trusted:
            fail("name the log's key with --key, or --policy; get it from elsewhere than the feed door", 2)
        return Policy.of_keys(trusted)
    try:
        policy = parse_policy(_content(policy_file))
    except MalformedTrustPolicy as error:
        fail(f"{policy_file}: {error}", 2)
    known = {log.key for log in policy.logs}
    more = tuple(TrustedLog(key) for key in dict.fromkeys(trusted) if key not in known)
    if not (logs := policy.logs + more):
        fail(f"{policy_file}: no line “log VKEY”; add one, or name the log's key with --key", 2)
    return policy._replace(logs=logs)


def read_keys(text: str) -> list["VerifierKey"]:
    """Return the keys in a vkey or in a file with vkeys; exit with status 2 if there are others."""
    from gateway.transparency.note import ED25519, MalformedKey, parse_vkey

    lines = [text]
    if "+" not in text and not Path(text).exists():
        fail(f"--key {text}: neither a key (NAME+ID+KEY) nor a file with keys", 2)
    if "+" not in text or Path(text).is_file():
        lines = _content(Path(text)).decode("utf-8", "replace").split("\n")
    found = []
    for line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            key = parse_vkey(line)
        except MalformedKey as error:
            fail(f"--key: {error}" if len(lines) == 1 else f"{text}: {error}", 2)
        if key.kind != ED25519:
            fail(f"--key: {key.name} is the key of a witness; name witnesses with --policy", 2)
        found.append(key)
    if not found:
        fail(f"{text}: no key in this file", 2)
    return found


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(FILE_MAX)
    except OSError as error:
        fail(f"{path}: {error.strerror}", 2)


def read_duration(text: str) -> float:
    """Return a length of time, `90s`, `2m` or `1h`, in seconds; exit with status 2 if it is none."""
    number, unit = text[:-1], text[-1:]
    if unit.isdigit():
        number, unit = text, "s"
    if (
        not (number.isascii() and number.isdigit())
        or len(number) > 9
        or unit not in _UNITS
        or not int(number)
    ):
        fail(f"{text!r} is not a length of time such as 90s, 2m or 1h", 2)
    return float(int(number) * _UNITS[unit])
