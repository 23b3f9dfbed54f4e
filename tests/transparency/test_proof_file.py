"""Proof files: verified offline, exact in their form, and worthless after any alteration."""

from base64 import b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.transparency.checkpoint import Checkpoint
from gateway.transparency.cosignature import cosign
from gateway.transparency.ed25519 import SigningKey
from gateway.transparency.entries import ENTRY_MAX
from gateway.transparency.merkle import ProofInvalid
from gateway.transparency.note import COSIGNATURE, ED25519, BadSignature, MalformedNote, Note
from gateway.transparency.policy import parse_policy
from gateway.transparency.proof_file import PROOF_MAX, ProofFile, parse_proof
from gateway.transparency.tree import Tree
from tests.counts import examples

LOG = SigningKey("results.example.no/live/st-2025", ED25519, b"l" * 32)
WITNESS = SigningKey("w.example.org", COSIGNATURE, b"w" * 32)
POLICY = parse_policy(f"log {LOG.vkey}\nwitness w {WITNESS.vkey}\nquorum w\n".encode())
ENTRIES = [b'{"unit":"%d"}' % number for number in range(300)]


def signed(size: int) -> tuple[Tree, Note]:
    tree = Tree()
    for entry in ENTRIES[:size]:
        tree.append(entry)
    note = Checkpoint(LOG.vkey.name, size, tree.root()).signed_by(LOG)
    return tree, Note(note.text, (*note.signatures, cosign(WITNESS, note.text, 1_800_000_000)))


TREE, NOTE = signed(300)


def proof_of(index: int) -> ProofFile:
    return ProofFile(index, tuple(TREE.inclusion_proof(index)), NOTE, ENTRIES[index])


@settings(max_examples=examples(60), deadline=None)
@given(st.integers(0, 299))
def test_a_proof_is_read_as_it_was_written_and_verified(index: int) -> None:
    proof = proof_of(index)
    assert parse_proof(proof.encode()) == proof
    agreement = proof.verify(POLICY)
    assert agreement.met
    assert agreement.checkpoint.size == 300
    assert proof.verify(POLICY, ENTRIES[index], now=1_800_000_200, max_age_s=120).met is False


def test_the_form_is_that_of_the_specification() -> None:
    """Header, extra, index, hashes, an empty line, and the checkpoint word for word."""
    lines = proof_of(73).encode().split(b"\n")
    assert lines[0] == b"c2sp.org/tlog-proof@v1"
    assert lines[1].startswith(b"extra eyJ1bml0Ijo")
    assert lines[2] == b"index 73"
    assert [len(line) for line in lines[3:12]] == [44] * 9
    assert lines[12] == b""
    assert b"\n".join(lines[13:]) == NOTE.encode()
    alone = ProofFile(0, (), signed(1)[1])
    assert parse_proof(alone.encode()) == alone
    assert alone.verify(POLICY, ENTRIES[0]).met


def test_a_proof_of_a_log_without_extra_needs_the_entry() -> None:
    proof = ProofFile(5, proof_of(5).hashes, NOTE)
    assert parse_proof(proof.encode()) == proof
    with pytest.raises(MalformedNote, match="none was given"):
        proof.verify(POLICY)
    with pytest.raises(ProofInvalid):
        proof.verify(POLICY, ENTRIES[6])


def test_an_empty_entry_is_an_entry() -> None:
    tree = Tree()
    tree.append(b"")
    proof = ProofFile(0, (), Checkpoint(LOG.vkey.name, 1, tree.root()).signed_by(LOG), b"")
    assert parse_proof(proof.encode()) == proof
    assert not proof.verify(POLICY).met


@settings(max_examples=examples(300), deadline=None)
@given(st.data())
def test_one_altered_byte_invalidates_a_proof_file(data: st.DataObject) -> None:
    """The name of a signature line included: then no trusted key, or one witness fewer, has signed."""
    whole = proof_of(data.draw(st.integers(0, 299))).encode()
    at = data.draw(st.integers(0, len(whole) - 1))
    altered = bytearray(whole)
    altered[at] ^= data.draw(st.integers(1, 255))
    try:
        agreement = parse_proof(bytes(altered)).verify(POLICY)
    except (MalformedNote, BadSignature, ProofInvalid):
        return
    assert not agreement.met


@pytest.mark.parametrize("index", [0, 73, 255, 256, 299])
def test_hashes_that_are_left_out_added_or_exchanged_invalidate_it(index: int) -> None:
    proof = proof_of(index)
    hashes = proof.hashes
    wrong = [(*hashes, hashes[0]), (hashes[0], *hashes), hashes[:-1], hashes[1:], hashes[::-1], ()]
    for each in wrong:
        with pytest.raises(ProofInvalid):
            ProofFile(index, each, NOTE, proof.extra).verify(POLICY)
    for other in (index - 1, index + 1, 300, 2**62):
        with pytest.raises(ProofInvalid):
            ProofFile(other, hashes, NOTE, proof.extra).verify(POLICY)


def test_the_proof_for_one_size_is_none_for_the_next() -> None:
    """Its signed size is part of what is verified."""
    with pytest.raises(ProofInvalid):
        ProofFile(5, proof_of(5).hashes, signed(299)[1], ENTRIES[5]).verify(POLICY)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (b"tlog-proof@v1", b"tlog-proof@v2", "first line"),
        (b"index 73\n", b"", "index NUMBER"),
        (b"index 73\n", b"index 073\n", "index NUMBER"),
        (b"index 73\n", b"index -73\n", "index NUMBER"),
        (b"index 73\n", b"index " + b"9" * 4000 + b"\n", "index NUMBER"),
        (b"index 73\n", b"index 9999999999999999999\n", "index NUMBER"),
        (b"index 73\n", b"index 73\nextra eA==\n", "a line of the proof"),
        (b"index 73\n", b"index 73\n" + b64encode(bytes(31)) + b"\n", "a hash of 32 bytes"),
        (b"extra ", b"extra  ", "base64"),
        (b"extra ", b"extra \xff", "ASCII"),
        (b"extra ", b"Extra ", "index NUMBER"),
        (b"v1\n", b"v1\r\n", "line ends"),
        (b"\n", b"\r\n", "line ends"),
    ],
)
def test_what_is_not_a_proof_file_is_refused(old: bytes, new: bytes, problem: str) -> None:
    with pytest.raises(MalformedNote, match=problem):
        parse_proof(proof_of(73).encode().replace(old, new))


def test_proof_files_are_bounded() -> None:
    """The largest entry, in the largest tree, with many signatures, is read."""
    many = Note(NOTE.text, NOTE.signatures * 49)
    large = ProofFile(2**62, (b"x" * 32,) * 63, many, bytes(ENTRY_MAX))
    assert parse_proof(large.encode()) == large
    with pytest.raises(MalformedNote, match="at most 63 hashes, not 64"):
        parse_proof(ProofFile(0, (b"x" * 32,) * 64, NOTE).encode())
    with pytest.raises(MalformedNote, match="must not exceed"):
        parse_proof(b"x" * (PROOF_MAX + 1))
    for data in (
        b"",
        b"\n" * PROOF_MAX,
        b"c2sp.org/tlog-proof@v1",
        b"c2sp.org/tlog-proof@v1\n\n" + NOTE.encode(),
    ):
        with pytest.raises(MalformedNote):
            parse_proof(data)


def test_a_proof_against_an_untrusted_log_is_refused() -> None:
    stranger = SigningKey(LOG.vkey.name, ED25519, b"s" * 32)
    note = Checkpoint(LOG.vkey.name, 300, TREE.root()).signed_by(stranger)
    with pytest.raises(BadSignature):
        ProofFile(5, proof_of(5).hashes, note, ENTRIES[5]).verify(POLICY)
