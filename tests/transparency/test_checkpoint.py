"""Checkpoints and cosignatures: which notes are accepted, and which keys have signed them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.transparency.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint
from gateway.transparency.cosignature import cosign, signed_message, time_of, verify_cosignature
from gateway.transparency.ed25519 import SigningKey
from gateway.transparency.merkle import SIZE_MAX
from gateway.transparency.note import (
    COSIGNATURE,
    ED25519,
    BadSignature,
    MalformedNote,
    Note,
    Signature,
    parse_note,
    parse_vkey,
)
from tests.counts import examples

ORIGIN = "results.example.no/live/st-2025"
LOG = SigningKey(ORIGIN, ED25519, b"l" * 32)
NEW = SigningKey(ORIGIN, ED25519, b"n" * 32)
OTHER = SigningKey("results.example.no/live/other", ED25519, b"o" * 32)
WITNESS = SigningKey("w.example.org", COSIGNATURE, b"w" * 32)
CHECKPOINT = Checkpoint(ORIGIN, 7, b"r" * 32)
NOTE = CHECKPOINT.signed_by(LOG)
ROOT = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="


@settings(max_examples=examples(100), deadline=None)
@given(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=40),
    st.integers(0, SIZE_MAX),
    st.binary(min_size=32, max_size=32),
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=9), max_size=3
    ),
)
def test_every_checkpoint_is_read_as_it_was_written(
    origin: str, size: int, root: bytes, more: list[str]
) -> None:
    checkpoint = Checkpoint(origin, size, root, tuple(more))
    assert parse_checkpoint(checkpoint.text()) == checkpoint


def test_the_example_of_the_specification_is_read() -> None:
    checkpoint = parse_checkpoint(f"example.com/behind-the-sofa\n20852163\n{ROOT}\n")
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20_852_163)
    assert checkpoint.root.hex().startswith("0ac5186a91863e8e")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a\n7\n",
        f"a\n7\n{ROOT}",
        f"\n7\n{ROOT}\n",
        f"a\n\n{ROOT}\n",
        f"a\n7\n{ROOT}\n\n",
        f"a\n7\n{ROOT}\n\nmore\n",
        f"a\n07\n{ROOT}\n",
        f"a\n+7\n{ROOT}\n",
        f"a\n-7\n{ROOT}\n",
        f"a\n 7\n{ROOT}\n",
        f"a\n٧\n{ROOT}\n",
        f"a\n{2**63}\n{ROOT}\n",
        f"a\n{'9' * 5000}\n{ROOT}\n",
        f"a\n7\n{ROOT[:-1]}\n",
        f"a\n7\n{ROOT} \n",
        f"a\n7\n{ROOT.replace('2I=', '2J=')}\n",
        f"a\n7\n{ROOT[4:]}\n",
        f"a\n7\n{ROOT.replace('/', '_')}\n",
    ],
)
def test_what_is_not_a_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(MalformedNote):
        parse_checkpoint(text)


def test_the_keys_that_signed_are_named() -> None:
    """One of several is enough: while keys are exchanged, readers have one of them."""
    both = CHECKPOINT.signed_by(LOG, NEW)
    assert open_checkpoint(NOTE, [LOG.vkey]) == (CHECKPOINT, (LOG.vkey,))
    assert open_checkpoint(NOTE, [OTHER.vkey, NEW.vkey, LOG.vkey]) == (CHECKPOINT, (LOG.vkey,))
    assert open_checkpoint(both, [LOG.vkey, NEW.vkey]) == (CHECKPOINT, (LOG.vkey, NEW.vkey))
    assert open_checkpoint(both, [NEW.vkey]) == (CHECKPOINT, (NEW.vkey,))


def test_signatures_of_unknown_keys_are_ignored() -> None:
    """Even if they share the name or the ID of a known key, but not both."""
    (true,) = NOTE.signatures
    strange = (
        Signature("example.com/unknown", b"1234", bytes(2420)),
        Signature(ORIGIN, b"1234", bytes(64)),
        Signature("example.com/unknown", true.key_id, bytes(64)),
    )
    assert open_checkpoint(Note(NOTE.text, (*strange, true)), [LOG.vkey]) == (CHECKPOINT, (LOG.vkey,))
    with pytest.raises(BadSignature, match="no key that is trusted here has signed"):
        open_checkpoint(Note(NOTE.text, strange), [LOG.vkey])


def test_a_false_signature_of_a_known_key_is_refused_beside_a_true_one() -> None:
    (true,) = NOTE.signatures
    false = Signature(true.name, true.key_id, bytes([true.signature[0] ^ 1]) + true.signature[1:])
    for signatures in (
        (false,),
        (true, false),
        (false, true),
        (*CHECKPOINT.signed_by(NEW).signatures, false),
    ):
        with pytest.raises(BadSignature, match="is not valid"):
            open_checkpoint(Note(NOTE.text, signatures), [LOG.vkey, NEW.vkey])


def test_the_key_of_another_log_does_not_count() -> None:
    """Neither its own checkpoint under this origin nor the other way round."""
    with pytest.raises(BadSignature, match="of which no key is trusted"):
        open_checkpoint(NOTE, [OTHER.vkey])
    stolen = Note(NOTE.text, (OTHER.sign(NOTE.text),))
    with pytest.raises(BadSignature, match="no key that is trusted here"):
        open_checkpoint(stolen, [LOG.vkey, OTHER.vkey])
    with pytest.raises(BadSignature):
        open_checkpoint(NOTE, [SigningKey(ORIGIN, COSIGNATURE, b"l" * 32).vkey])


@settings(max_examples=examples(100), deadline=None)
@given(st.data())
def test_one_altered_byte_invalidates_a_signed_checkpoint(data: st.DataObject) -> None:
    """Except in the lines of unknown keys, of which there are none here."""
    whole = NOTE.encode()
    at = data.draw(st.integers(0, len(whole) - 1))
    altered = bytearray(whole)
    altered[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises((MalformedNote, BadSignature)):
        open_checkpoint(parse_note(bytes(altered)), [LOG.vkey])


def test_a_witness_signs_the_time_and_the_whole_text() -> None:
    assert signed_message(NOTE.text, 1679315147) == f"cosignature/v1\ntime 1679315147\n{NOTE.text}".encode()
    signature = cosign(WITNESS, NOTE.text, 1679315147)
    assert len(signature.signature) == 72
    assert time_of(signature) == verify_cosignature(WITNESS.vkey, NOTE.text, signature) == 1679315147


def test_the_cosignature_of_the_specification_has_its_time() -> None:
    """The key of the example is not published."""
    line = (
        "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0"
        "xUe+mbIUBkBIfZ+qnA=="
    )
    (signature,) = parse_note(f"x\n\n{line}\n".encode()).signatures
    assert time_of(signature) == 1679315147


@settings(max_examples=examples(60), deadline=None)
@given(st.integers(0, 71), st.integers(1, 255))
def test_an_altered_cosignature_is_refused(at: int, mask: int) -> None:
    """Its time included."""
    signature = cosign(WITNESS, NOTE.text, 1679315147)
    altered = bytearray(signature.signature)
    altered[at] ^= mask
    with pytest.raises((BadSignature, MalformedNote)):
        verify_cosignature(WITNESS.vkey, NOTE.text, signature._replace(signature=bytes(altered)))


def test_a_cosignature_counts_for_its_checkpoint_and_its_key_only() -> None:
    signature = cosign(WITNESS, NOTE.text, 5)
    with pytest.raises(BadSignature, match="is not valid"):
        verify_cosignature(WITNESS.vkey, NOTE.text.replace("7", "8"), signature)
    for key in (LOG.vkey, parse_vkey(str(SigningKey(WITNESS.vkey.name, COSIGNATURE, b"x" * 32).vkey))):
        with pytest.raises(BadSignature, match="not one of"):
            verify_cosignature(key, NOTE.text, signature)
    for wrong in (b"", signature.signature[:-1], signature.signature + b"\0"):
        with pytest.raises(MalformedNote, match="must have 72 bytes"):
            verify_cosignature(WITNESS.vkey, NOTE.text, signature._replace(signature=wrong))
    with pytest.raises(MalformedNote, match="beyond all times"):
        time_of(signature._replace(signature=b"\xff" * 72))
    with pytest.raises(AssertionError):
        cosign(LOG, NOTE.text, 5)


def test_the_signature_of_a_log_is_no_cosignature_and_no_cosignature_one_of_a_log() -> None:
    """Although the same secret made both: the type of the key is part of its ID."""
    twin = SigningKey(ORIGIN, COSIGNATURE, b"l" * 32)
    assert twin.vkey.public == LOG.vkey.public
    assert twin.vkey.key_id != LOG.vkey.key_id
    cosigned = Note(NOTE.text, (cosign(twin, NOTE.text, 5),))
    with pytest.raises(BadSignature):
        open_checkpoint(cosigned, [LOG.vkey])
    with pytest.raises(BadSignature):
        verify_cosignature(twin.vkey, NOTE.text, NOTE.signatures[0])
    timed = (5).to_bytes(8, "big") + LOG.sign_bytes(signed_message(NOTE.text, 5))
    with pytest.raises(BadSignature, match="not one of"):
        verify_cosignature(LOG.vkey, NOTE.text, Signature(ORIGIN, LOG.vkey.key_id, timed))
    as_of_log = Note(NOTE.text, (NOTE.signatures[0]._replace(key_id=twin.vkey.key_id),))
    with pytest.raises(BadSignature, match="of which no key is trusted"):
        open_checkpoint(as_of_log, [twin.vkey])


def test_a_line_with_the_id_of_a_key_and_another_name_is_not_of_that_key() -> None:
    signature = cosign(WITNESS, NOTE.text, 5)
    assert WITNESS.vkey.made(signature)
    assert not WITNESS.vkey.made(signature._replace(name="w2.example.org"))
    with pytest.raises(BadSignature, match="not one of"):
        verify_cosignature(WITNESS.vkey, NOTE.text, signature._replace(name="w2.example.org"))
