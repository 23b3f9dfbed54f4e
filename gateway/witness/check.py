"""What a witness has cosigned and refused, for people: read from its directory, also while it runs."""

from datetime import UTC, datetime
from pathlib import Path

from gateway.humanize import counted
from gateway.output import say
from gateway.transparency.note import parse_vkey
from gateway.transparency.witness_protocol import origin_hash
from gateway.witness.decision import Kept
from gateway.witness.directory import STATE
from gateway.witness.state import Evidence, State


def check(directory: Path, evidence_directory: Path | None = None) -> int:
    """Show the state; return 1 if a log has forked or if state is lost, else 0. Raises WitnessStateUnavailable."""
    state = State(directory / STATE, read_only=True)
    try:
        key = parse_vkey(state.vkey)
        newest, kept, behind = state.all_newest(), state.evidence(), state.behind()
    finally:
        state.close()
    say(f"witness      {key.name}\nkey          {key}\nfingerprint  {key.fingerprint}")
    for each in newest:
        say(f"cosigned     {each.origin}: size {each.size}, last at {_time(each.at)}")
    if not newest:
        say("cosigned     nothing so far")
    for one in kept:
        say(_sentence(one))
    for origin, size in behind.items():
        say(
            f"STATE LOST   {origin}: this witness has cosigned size {size}, which its state does not know; it cosigns"
            " this log no more: set up a new witness with a new key"
        )
    if evidence_directory is not None:
        files = [file for one in kept for file in _write(evidence_directory, one)]
        say(f"evidence     {counted(len(files), 'file')} in {evidence_directory}")
    return int(bool(behind) or any(one.kind is Kept.FORK for one in kept))


def _sentence(evidence: Evidence) -> str:
    where = f"{evidence.origin}: size {evidence.size}, refused at {_time(evidence.at)}"
    if evidence.kind is Kept.FORK:
        return (
            f"FORK         {where}: the log has signed another root hash for this size than the cosigned one"
        )
    return f"unproven     {where}: the log has signed it, but the proof that came with it does not verify"


def _write(directory: Path, evidence: Evidence) -> list[Path]:
    """Write the refused checkpoint and the cosigned one; return the files."""
    directory.mkdir(parents=True, exist_ok=True)
    stem = f"{origin_hash(evidence.origin)[:8]}-{evidence.size}-{evidence.root.hex()[:8]}"
    files = {
        directory / f"{stem}-refused.txt": evidence.note,
        directory / f"{stem}-cosigned.txt": evidence.cosigned_note,
    }
    for file, note in files.items():
        file.write_bytes(note)
    return [*files]


def _time(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
