"""`valgnatt verify receipt`: a proof shows that a report is in the log, and each fault gives its code."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.transparency.policy import Policy
from gateway.transparency.proof_file import ProofFile
from gateway.verification.failures import VerificationFailed
from gateway.verification.receipts import read_report, verify_receipt
from tests.fork_server import Command
from tests.transparency.records import LOG_KEY, Fault, a_night, policy, policy_text

NIGHT = a_night(reports=20)
FILE = NIGHT.proof(7).encode()
REPORT = NIGHT.entries[7]
OTHER_REPORT = NIGHT.entries[8]


def code_of(file: bytes, trust: Policy | None = None, report: bytes | None = None) -> str:
    with pytest.raises(VerificationFailed) as raised:
        verify_receipt(file, trust or policy(), report)
    return raised.value.code


def changed(**members: Any) -> bytes:
    proof = NIGHT.proof(7)
    fields: dict[str, Any] = {name: getattr(proof, name) for name in proof.__struct_fields__}
    return ProofFile(**fields | members).encode()


def test_a_proof_shows_which_report_is_where() -> None:
    verified = verify_receipt(FILE, policy())
    report = json.loads(REPORT)
    assert (verified.unit, verified.revision) == (report["unit"], report["revision"])
    assert (verified.sequence, verified.size) == (7, 21)
    assert verified.digest == NIGHT.publications[6].digest.hex()
    assert verified.quorum == "witnesses 2 of 3"
    assert not verified.report_compared
    assert verify_receipt(FILE, policy(), REPORT).report_compared
    assert verify_receipt(FILE, Policy.of_keys([LOG_KEY.vkey])).quorum == "witnesses 0 of 0"


def test_the_report_may_be_given_instead_of_being_in_the_file() -> None:
    assert verify_receipt(changed(extra=None), policy(), REPORT).sequence == 7
    assert code_of(changed(extra=None)) == "not_included"


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(changed(hashes=(*NIGHT.proof(7).hashes, b"\0" * 32)), id="a hash too many"),
        pytest.param(changed(hashes=NIGHT.proof(7).hashes[:-1]), id="a hash too few"),
        pytest.param(changed(hashes=NIGHT.proof(7).hashes[::-1]), id="hashes in another order"),
        pytest.param(changed(index=8), id="another index"),
        pytest.param(changed(index=21), id="an index beyond the checkpoint"),
        pytest.param(changed(extra=OTHER_REPORT), id="another report in it"),
        pytest.param(changed(extra=b"{}"), id="no report in it"),
        pytest.param(NIGHT.proof(0).encode(), id="the proof of the opening entry"),
        pytest.param(FILE[:-1], id="cut off"),
        pytest.param(b"", id="empty"),
        pytest.param(b"x" * 1_000_000, id="another file"),
    ],
)
def test_a_proof_that_shows_nothing_is_not_included(file: bytes) -> None:
    assert code_of(file) == "not_included"


def test_the_proof_of_another_report_is_named() -> None:
    """With the unit and the revision that it is for. One that is valid for neither shows nothing."""
    with pytest.raises(VerificationFailed, match=r"it is for unit .*, revision \d+$") as raised:
        verify_receipt(FILE, policy(), OTHER_REPORT)
    assert raised.value.code == "not_that_report"
    assert code_of(changed(index=9), report=OTHER_REPORT) == "not_included"


def test_a_figure_of_the_report_that_differs_is_not_that_report() -> None:
    report = json.loads(REPORT)
    report["counts"]["advance"]["rejected"] += 1
    altered = read_report(json.dumps(report).encode())
    assert code_of(FILE, report=altered) == "not_that_report"


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault.OTHER_KEY, "bad_signature"),
        (Fault.SIZE_CHANGED, "bad_signature"),
        (Fault.BAD_COSIGNATURE, "bad_signature"),
        (Fault.STRANGER, "too_few_witnesses"),
    ],
)
def test_signatures_come_before_the_proof(fault: Fault, code: str) -> None:
    night = a_night(fault, reports=20)
    assert code_of(night.proof(7).encode()) == code
    assert code_of(replace(NIGHT, cosigners=()).proof(7).encode()) == "too_few_witnesses"


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(json.loads(REPORT), indent=4).encode(),
        json.dumps(dict(reversed(json.loads(REPORT).items()))).encode(),
        json.dumps({"report": json.loads(REPORT), "receipt": {}}).encode(),
        json.dumps([json.loads(REPORT)]).encode(),
    ],
)
def test_a_report_is_read_in_any_form(content: bytes) -> None:
    """Also as a door returns it."""
    assert read_report(content) == REPORT


@pytest.mark.parametrize("content", [b"", b"[]", b"[{}, {}]", b"7", b"not JSON", b"\xff"])
def test_what_is_no_report_is_not_read_as_one(content: bytes) -> None:
    assert read_report(content) is None


def run(*arguments: object) -> tuple[int, str, str]:
    with Command("verify", "receipt", *arguments, environ=os.environ) as process:
        output, errors = process.communicate(timeout=30.0)
    assert "Traceback" not in errors
    return process.returncode, output, errors


def test_the_command_verifies_files_without_a_network(tmp_path: Path) -> None:
    """Each by itself; the exit status says whether all are valid, and the code of each that is not comes first."""
    (tmp_path / "policy").write_bytes(policy_text())
    good, bad, report = tmp_path / "good.tlog-proof", tmp_path / "bad.tlog-proof", tmp_path / "report.json"
    good.write_bytes(FILE)
    bad.write_bytes(changed(index=8))
    report.write_bytes(json.dumps(json.loads(OTHER_REPORT)).encode())
    trust = ("--policy", tmp_path / "policy")
    status, output, _ = run(good, *trust)
    assert status == 0
    lines = output.splitlines()
    assert lines[0].startswith(f"verified: {good}: unit ")
    assert "is entry 7 of the log results.example.org/live/made-up-1" in lines[1]
    assert lines[4] == "  witnesses 2 of 3, as the policy requires"
    status, output, errors = run(bad, good, *trust, "--evidence", tmp_path / "evidence")
    assert status == 1
    assert errors.startswith(f"valgnatt: not_included: {bad}: ")
    assert output.splitlines()[0].startswith(f"verified: {good}")
    (saved,) = (tmp_path / "evidence").iterdir()
    assert {path.name for path in saved.iterdir()} == {"receipt.tlog-proof", "failure.json"}
    status, output, _ = run(good, *trust, "--report", report, "--json")
    document = json.loads(output)
    assert (status, document["verified"], document["code"]) == (1, False, "not_that_report")
    status, output, _ = run(good, "--key", str(LOG_KEY.vkey), "--json")
    assert (status, json.loads(output)["sequence"]) == (0, 7)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["proof"], "name the log's key with --key"),
        (["none", "--key", LOG_KEY.vkey], "no such file"),
        ([".", "--key", LOG_KEY.vkey], "not a regular file"),
        (["proof", "proof", "--key", LOG_KEY.vkey, "--report", "proof"], "--report is for a single FILE"),
        (["proof", "--key", LOG_KEY.vkey, "--report", "proof"], "not one report in JSON"),
    ],
)
def test_a_command_that_verifies_nothing_ends_with_status_2(
    arguments: list[Any], words: str, tmp_path: Path
) -> None:
    (tmp_path / "proof").write_bytes(FILE)
    named = [tmp_path / each if each in ("proof", "none", ".") else each for each in arguments]
    status, output, errors = run(*named)
    assert (status, output) == (2, "")
    assert words in errors
