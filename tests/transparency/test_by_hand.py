"""What docs/verify.md says about verifying without this software: the commands for openssl, and examples/verify.py."""

import asyncio
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.counts import variants
from tests.transparency.records import LOG_KEY, OTHER_KEY, WITNESSES, Fault, a_night, base64_of
from tests.verification.feed import serving

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "verify.py"
OF_ENTRIES = [Fault.FLIPPED_BIT, Fault.TWO_SWAPPED, Fault.LAST_LEFT_OUT, Fault.SIZE_ABOVE, Fault.SIZE_BELOW]


async def run(*command: str, at: Path) -> tuple[int, str]:
    """Run a command in a directory; return its status and what it writes."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=at, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode(errors="replace")


async def example(where: str, at: Path) -> tuple[int, str]:
    """Run the example without any package, as on a machine on which nothing is installed."""
    return await run(sys.executable, "-I", "-S", str(EXAMPLE), where, at=at)


@pytest.mark.parametrize("reports", [0, 1, 255, 300])
async def test_the_example_computes_the_root_of_a_copy(tmp_path: Path, reports: int) -> None:
    night = a_night(reports=reports)
    status, output = await example(str(night.write(tmp_path)), tmp_path)
    assert status == 0
    root = base64_of(night.tree().root())
    assert output == f"{LOG_KEY.vkey.name}: {reports + 1} entries, computed root {root}\n"


async def test_the_example_computes_the_root_from_a_feed_door(tmp_path: Path) -> None:
    async with serving(a_night(closed=True)) as feed:
        status, output = await example(feed.url, tmp_path)
    assert (status, output.count("302 entries")) == (0, 1)


@pytest.mark.parametrize("fault", variants(OF_ENTRIES, Fault.FLIPPED_BIT, Fault.LAST_LEFT_OUT))
async def test_the_example_notices_other_entries(tmp_path: Path, fault: Fault) -> None:
    status, output = await example(str(a_night(fault).write(tmp_path)), tmp_path)
    assert status == 1
    assert "THIS IS NOT THE RECORD THAT WAS SIGNED" in output or "FileNotFoundError" in output


def test_the_example_is_short() -> None:
    """So that it can be read, or written again."""
    code = EXAMPLE.read_text().rpartition('"""\n')[2].splitlines()
    assert len([line for line in code if line.strip() and not line.startswith(("import", "from"))]) <= 30


def commands_of(document: str) -> list[str]:
    """Return the blocks of commands for openssl in a document."""
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / "docs" / document).read_text(), re.DOTALL)
    return [block for block in blocks if "openssl" in block]


FOR_LOG, FOR_WITNESS = commands_of("verify.md")


async def by_openssl(checkpoint: bytes, vkey: str, at: Path, witness: str | None = None) -> tuple[int, str]:
    """Run the commands of docs/verify.md for the key of the log, and for that of a witness after it."""
    for program in ("bash", "openssl"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    (at / "checkpoint").write_bytes(checkpoint)
    (at / "log.vkey").write_text(f"{vkey}\nSHA-256: d40d 0180\n")  # as `key create` prints it
    status, output = await run("bash", "-c", FOR_LOG, at=at)
    if witness is None or status != 0:
        return status, output
    (at / "witness.vkey").write_text(f"{witness}\n")
    return await run("bash", "-c", FOR_WITNESS, at=at)


def test_the_contract_has_the_same_commands() -> None:
    assert commands_of("contract.md") == [FOR_LOG]


async def test_openssl_verifies_a_checkpoint(tmp_path: Path) -> None:
    """With the lines of witnesses below that of the log."""
    assert await by_openssl(a_night().note(), str(LOG_KEY.vkey), tmp_path) == (
        0,
        "Signature Verified Successfully\n",
    )
    status, output = await run(
        "openssl", "ts", "-query", "-data", "checkpoint", "-sha256", "-cert", at=tmp_path
    )
    assert status == 0, output


@pytest.mark.parametrize("fault", [Fault.OTHER_KEY, Fault.SIZE_CHANGED])
async def test_openssl_refuses_a_checkpoint(tmp_path: Path, fault: Fault) -> None:
    status, output = await by_openssl(a_night(fault).note(), str(LOG_KEY.vkey), tmp_path)
    assert status != 0
    assert "Verified Successfully" not in output


async def test_openssl_verifies_the_line_of_the_key_while_two_keys_sign(tmp_path: Path) -> None:
    first, second = a_night().note(), replace(a_night(), log_key=OTHER_KEY).note()
    both = first + second.split(b"\n")[4] + b"\n"
    for key in (LOG_KEY, OTHER_KEY):
        assert (await by_openssl(both, str(key.vkey), tmp_path))[0] == 0


async def test_openssl_verifies_the_cosignature_of_a_witness(tmp_path: Path) -> None:
    """And shows its time; that of a namesake with another key is refused."""
    night = a_night()
    status, output = await by_openssl(night.note(), str(LOG_KEY.vkey), tmp_path, str(WITNESSES[1].vkey))
    shown, at = output.splitlines()
    assert (status, shown) == (0, "Signature Verified Successfully")
    assert f"{night.cosigned_at:%H:%M:%S}" in at
    for fault in (Fault.BAD_COSIGNATURE, Fault.STRANGER):
        note = a_night(fault).note()
        status, output = await by_openssl(note, str(LOG_KEY.vkey), tmp_path, str(WITNESSES[0].vkey))
        assert (status != 0, "Verified Successfully" in output) == (True, False), fault
