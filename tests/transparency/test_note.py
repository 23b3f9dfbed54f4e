"""Signed notes and keys: what is read is exactly what is written, and everything else is refused within bounds."""

import hashlib
from base64 import b64decode, b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import ExtraMissing
from gateway.transparency import ed25519
from gateway.transparency.ed25519 import SMALL_ORDER, SigningKey, generate, parse_skey
from gateway.transparency.note import (
    COSIGNATURE,
    ED25519,
    NOTE_MAX,
    SIGNATURES_MAX,
    MalformedKey,
    MalformedNote,
    Note,
    Signature,
    VerifierKey,
    is_key_name,
    parse_note,
    parse_signature,
    parse_vkey,
)
from tests.counts import examples

PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETER_SECRET = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
"""The keys in the documentation of Go's package note, and a note that they signed."""
PETER_SAYS = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
).encode()
LINE = f"— a {b64encode(bytes(68)).decode()}\n"
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]) | st.just("\n"), max_size=30)
NAMES = TEXTS.filter(is_key_name)


def test_a_note_of_another_implementation_is_read_and_verified() -> None:
    key, note = parse_vkey(PETER), parse_note(PETER_SAYS)
    (signature,) = note.signatures
    assert key.made(signature)
    assert ed25519.verify(key.public, note.text.encode(), signature.signature)
    assert not ed25519.verify(key.public, note.text.encode() + b"\n", signature.signature)
    assert note.encode() == PETER_SAYS


def test_a_key_of_another_implementation_makes_the_same_signature() -> None:
    """Ed25519 is deterministic, so the notes are equal."""
    key = parse_skey(f"  {PETER_SECRET}\n")
    text = parse_note(PETER_SAYS).text
    assert str(key.vkey) == PETER
    assert key.skey() == PETER_SECRET
    assert Note(text, (key.sign(text),)).encode() == PETER_SAYS


@settings(max_examples=examples(200), deadline=None)
@given(TEXTS, st.lists(st.tuples(NAMES, st.binary(min_size=5, max_size=80)), min_size=1, max_size=5))
def test_every_note_is_read_as_it_was_written(text: str, signed: list[tuple[str, bytes]]) -> None:
    """Also a text with empty lines."""
    note = Note(text + "\n", tuple(Signature(name, data[:4], data[4:]) for name, data in signed))
    assert parse_note(note.encode()) == note


@settings(max_examples=examples(200), deadline=None)
@given(st.data())
def test_what_is_read_is_what_was_written(data: st.DataObject) -> None:
    """No two sequences of bytes are the same note: one altered byte gives another note or none."""
    at = data.draw(st.integers(0, len(PETER_SAYS) - 1))
    altered = bytearray(PETER_SAYS)
    altered[at] ^= data.draw(st.integers(1, 255))
    try:
        note = parse_note(bytes(altered))
    except MalformedNote:
        return
    assert note.encode() == bytes(altered)
    assert note != parse_note(PETER_SAYS)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "an empty line"),
        (b"text\n", "an empty line"),
        (b"text\n\n", "an empty line"),
        (f"text\n{LINE}".encode(), "an empty line"),
        (f"text\n\n{LINE}".encode()[:-1], "does not end in a newline"),
        (f"text\n\n{LINE}\n".encode(), "at least one signature"),
        (f"t\0ext\n\n{LINE}".encode(), "control character"),
        (f"t\text\n\n{LINE}".encode(), "control character"),
        (f"text\r\n\r\n{LINE}".encode(), "control character"),
        (f"text\n\n{LINE}".encode().replace(b"\x94", b""), "not UTF-8"),
        (b"\xed\xa0\x80\n\n" + LINE.encode(), "not UTF-8"),
        (f"text\n\n{LINE}x\n".encode(), "not a line"),
        (f"text\n\n{LINE.replace('—', '-')}".encode(), "not a line"),
        (f"text\n\n{LINE.replace(' a ', ' ')}".encode(), "not a line"),
        (f"text\n\n{LINE.replace(' a ', '  ')}".encode(), "not a line"),
        (f"text\n\n{LINE.replace(' a ', ' a+b ')}".encode(), "not a line"),
        (f"text\n\n{LINE.replace(' a ', ' a b ')}".encode(), "in base64"),
        (f"text\n\n— a\u2003b{LINE[3:]}".encode(), "not a line"),
        (f"text\n\n{LINE[:-2]}\n".encode(), "in base64"),
        (f"text\n\n{LINE.replace('A=', 'B=')}".encode(), "in base64"),
        ("text\n\n— a AAAAAA==\n".encode(), "at least 5 bytes"),
        ("text\n\n— a AAAA-_AA\n".encode(), "in base64"),
        ("text\n\n— a ÅAAAAAAA\n".encode(), "in base64"),
    ],
)
def test_what_is_not_a_note_is_refused(data: bytes, problem: str) -> None:
    with pytest.raises(MalformedNote, match=problem):
        parse_note(data)


def test_notes_are_bounded() -> None:
    """16 signatures of 5 kB are read, as C2SP demands; no more than 100, and of no more than 256 KiB."""
    large = Signature("example.com/post-quantum", b"1234", bytes(5000))
    assert len(parse_note(Note("text\n", (large,) * 16).encode()).signatures) == 16
    assert len(parse_note(f"text\n\n{LINE * SIGNATURES_MAX}".encode()).signatures) == SIGNATURES_MAX
    with pytest.raises(MalformedNote, match="more than 100 signatures"):
        parse_note(f"text\n\n{LINE * (SIGNATURES_MAX + 1)}".encode())
    text = "x" * (NOTE_MAX - len(LINE.encode()) - 2)
    assert len(parse_note(f"{text}\n\n{LINE}".encode()).text) == len(text) + 1
    with pytest.raises(MalformedNote, match="must not exceed 262144 bytes"):
        parse_note(f"{text}x\n\n{LINE}".encode())


def test_many_lines_are_refused_before_any_of_them_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a note of many short lines costs no more than its length."""
    monkeypatch.setattr("gateway.transparency.note.parse_signature", pytest.fail)
    with pytest.raises(MalformedNote, match="more than 100"):
        parse_note(b"text\n\n" + b"x\n" * 100_000)


@pytest.mark.parametrize(
    "data", [b"\n" * NOTE_MAX, b"\n\n" * 1000 + b"x", "— ".encode() * 60_000, b"x" * NOTE_MAX]
)
def test_degenerate_notes_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedNote):
        parse_note(data)


def test_a_signature_line_alone_is_read() -> None:
    """As a witness answers it."""
    signature = parse_signature(LINE.rstrip("\n"))
    assert (signature.name, signature.key_id, len(signature.signature)) == ("a", bytes(4), 64)
    assert signature.line == LINE


def test_a_key_has_the_id_and_the_fingerprint_of_its_text() -> None:
    key = parse_vkey(PETER)
    hashed = hashlib.sha256(b"PeterNeumann\n\x01" + key.public).hexdigest()
    assert key.key_id.hex() == hashed[:8] == "c74f20a3"
    assert key.fingerprint.replace(" ", "") == hashlib.sha256(PETER.encode()).hexdigest()
    assert [len(group) for group in key.fingerprint.split(" ")] == [4] * 16


@settings(max_examples=examples(100), deadline=None)
@given(NAMES, st.sampled_from([ED25519, COSIGNATURE]), st.binary(min_size=32, max_size=32))
def test_every_key_is_read_as_it_was_written(name: str, kind: int, public: bytes) -> None:
    key = VerifierKey(name, kind, public)
    assert parse_vkey(f"\n{key} ") == key


@settings(max_examples=examples(200), deadline=None)
@given(st.integers(0, len(PETER) - 1), st.characters(codec="utf-8"))
def test_a_key_with_one_wrong_character_is_refused(at: int, character: str) -> None:
    """Whatever is wrong: name, ID or key."""
    altered = PETER[:at] + character + PETER[at + 1 :]
    if altered.strip() != PETER:
        with pytest.raises(MalformedKey):
            parse_vkey(altered)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not a key"),
        ("a", "not a key"),
        ("a+00000000+", "not a key"),
        (PETER[:-1], "not a key"),
        (PETER.upper(), "not a key|does not agree"),
        (PETER.replace("PeterNeumann", "Peter Neumann"), "not a key"),
        (PETER.replace("PeterNeumann", "\ud800"), "not a key"),
        (PETER + "\n" + PETER, "not a key"),
        (PETER_SECRET, "not a key"),
        (PETER.replace("PeterNeumann", "Peter"), "does not agree with its own ID"),
        ("a+00000000+" + b64encode(b"\x02" + bytes(32)).decode(), "type 0x02"),
        ("a+00000000+" + b64encode(b"\x06" + bytes(1312)).decode(), "must not exceed 1024|type 0x06"),
        ("a+00000000+" + b64encode(b"\x01" + bytes(31)).decode(), "32 bytes after its type, not 31"),
        ("x" * 2000, "must not exceed 1024 characters"),
    ],
)
def test_what_is_not_a_key_is_refused(text: str, problem: str) -> None:
    with pytest.raises(MalformedKey, match=problem):
        parse_vkey(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        PETER,
        PETER_SECRET[:-2],
        PETER_SECRET.replace("c74f20a3", "c74f20a4"),
        PETER_SECRET.replace("AYEK", "AYEL"),
        PETER_SECRET.replace("AYEK", "BYEK"),
        PETER_SECRET.replace("KEY+P", "KEY+p"),
    ],
)
def test_an_error_about_a_signing_key_does_not_show_it(text: str) -> None:
    with pytest.raises(MalformedKey) as caught:
        parse_skey(text)
    assert not any(text[-each:] in str(caught.value) for each in range(8, 44) if text)
    assert caught.value.__cause__ is None


def test_new_keys_differ_and_sign() -> None:
    keys = [
        generate("example.no/live/a"),
        generate("example.no/live/a"),
        generate("w.example.org", COSIGNATURE),
    ]
    assert len({key.vkey for key in keys}) == 3
    for key in keys:
        assert parse_skey(key.skey()).vkey == key.vkey == parse_vkey(str(key.vkey))
        assert b64decode(key.skey().split("+", 4)[4])[1:].hex() not in repr(key)
        assert key.skey() not in repr(key)
        signature = key.sign_bytes(b"message")
        assert ed25519.verify(key.vkey.public, b"message", signature)
        assert not ed25519.verify(key.vkey.public, b"massage", signature)
        assert not ed25519.verify(key.vkey.public[:31], b"message", signature)
        assert not ed25519.verify(key.vkey.public, b"message", signature[:63])
    with pytest.raises(AssertionError):
        keys[2].sign("text\n")
    with pytest.raises(MalformedKey):
        generate("a b")
    with pytest.raises(MalformedKey):
        SigningKey("a", 2, bytes(32))


def test_points_of_small_order_verify_nothing() -> None:
    """Under such a key, the same signature would be valid for every message, so that it would prove nothing."""
    neutral = b"\1" + bytes(31)
    for point in SMALL_ORDER:
        for public in (point, point[:31] + bytes([point[31] | 0x80])):
            assert not any(ed25519.verify(public, b"%d" % each, neutral + bytes(32)) for each in range(16))


def test_without_cryptography_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything but signatures works without it."""
    for module in ("cryptography.exceptions", "cryptography.hazmat.primitives.asymmetric.ed25519"):
        monkeypatch.setitem(__import__("sys").modules, module, None)
    key = parse_vkey(PETER)
    for call in (
        lambda: ed25519.verify(key.public, b"", bytes(64)),
        lambda: generate("a"),
        lambda: parse_skey(PETER_SECRET),
    ):
        with pytest.raises(ExtraMissing, match=r"pip install 'valgnatt\[sign\]'"):
            call()
