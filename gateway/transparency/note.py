"""Signed notes: a text and the lines of its signatures, and the keys that verify them. Source: C2SP signed-note.

Reading is strict and bounded: whatever is read is written again byte for byte. It does not verify signatures; see
`checkpoint`, `cosignature` and `policy` for that.
"""

import hashlib
import re
from base64 import b64encode
from binascii import Error, a2b_base64
from typing import NamedTuple

from gateway.errors import GatewayError

NOTE_MAX = 262_144
"""Bytes of a note that is read: a text, and 16 signatures of the largest kind in use with room to spare."""
SIGNATURES_MAX = 100
"""Signatures of a note that is read. C2SP requires at least 16."""
VKEY_MAX = 1024
"""Characters of a verifier key that is read."""
ED25519 = 0x01
"""Type of a key that signs the text of a note: the key of a log."""
COSIGNATURE = 0x04
"""Type of a key that cosigns checkpoints with a time: the key of a witness (C2SP tlog-cosignature)."""
KINDS = {ED25519: "Ed25519", COSIGNATURE: "cosignature"}
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_NOT_IN_NAMES = re.compile(r"[\s+\x00-\x1f]")
_PREFIX = "— "


class MalformedNote(GatewayError):
    """Bytes that are not a signed note, a checkpoint or a proof file; the message names the line."""

    code = "malformed_note"


class MalformedKey(GatewayError):
    """A text that is not a verifier key or a signing key of a supported type. The message never has a signing key."""

    code = "malformed_key"


class BadSignature(GatewayError):
    """No signature of a key that is trusted, or one that is not valid."""

    code = "bad_signature"


class Signature(NamedTuple):
    """One signature of a note: who signed, and the bytes, whose meaning depends on the type of the key."""

    name: str
    key_id: bytes
    """4 bytes, which together with the name identify the key."""
    signature: bytes

    @property
    def line(self) -> str:
        """Return the line of the signature in a note, with its newline."""
        return f"{_PREFIX}{self.name} {b64encode(self.key_id + self.signature).decode()}\n"


class Note(NamedTuple):
    """A signed note. Its text ends in a newline, which is signed too."""

    text: str
    signatures: tuple[Signature, ...]

    def encode(self) -> bytes:
        """Return the bytes of the note; the inverse of `parse_note`."""
        return f"{self.text}\n{''.join(signature.line for signature in self.signatures)}".encode()


def is_key_name(name: str) -> bool:
    """Whether a text can be the name of a key: not empty, without Unicode spaces, control characters and `+`."""
    return bool(name) and _NOT_IN_NAMES.search(name) is None


def parse_note(data: bytes) -> Note:
    """Read a signed note. Raises MalformedNote. Its signatures are not verified."""
    if len(data) > NOTE_MAX:
        raise MalformedNote(f"a signed note must not exceed {NOTE_MAX} bytes")
    try:
        whole = data.decode()
    except UnicodeDecodeError:
        raise MalformedNote("the note is not UTF-8") from None
    if _CONTROL.search(whole):
        raise MalformedNote("the note has a control character other than a newline")
    head, separator, lines = whole.rpartition("\n\n")
    if not separator or not lines:
        raise MalformedNote("a signed note is a text, an empty line, and at least one signature")
    if not lines.endswith("\n"):
        raise MalformedNote("the last line of the note does not end in a newline")
    split = lines[:-1].split("\n")
    if len(split) > SIGNATURES_MAX:
        raise MalformedNote(f"a note must not have more than {SIGNATURES_MAX} signatures")
    return Note(head + "\n", tuple(parse_signature(line) for line in split))


def parse_signature(line: str) -> Signature:
    """Read a signature line without its newline. Raises MalformedNote."""
    name, separator, encoded = line.removeprefix(_PREFIX).partition(" ")
    if not line.startswith(_PREFIX) or not separator or not is_key_name(name):
        raise MalformedNote(f"not a line “— NAME SIGNATURE”: {line[:80]!r}")
    decoded = decode_base64(encoded)
    if decoded is None or len(decoded) < 5:
        raise MalformedNote(f"the signature of {name[:80]!r} is not at least 5 bytes in base64")
    return Signature(name, decoded[:4], decoded[4:])


class VerifierKey(NamedTuple):
    """A public key with its name: what verifies signatures of a log or a witness. `str` is its vkey."""

    name: str
    kind: int
    """ED25519 (0x01) for a log, COSIGNATURE (0x04) for a witness."""
    public: bytes
    """32 bytes (RFC 8032)."""

    @property
    def key_id(self) -> bytes:
        """Return the 4 bytes by which signature lines name this key."""
        return key_id(self.name, self.kind, self.public)

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{b64encode(bytes([self.kind]) + self.public).decode()}"

    @property
    def fingerprint(self) -> str:
        """Return the SHA-256 of the vkey as 16 groups of 4 hex digits, for printing and for reading out."""
        digits = hashlib.sha256(str(self).encode()).hexdigest()
        return " ".join(digits[at : at + 4] for at in range(0, 64, 4))

    def made(self, signature: Signature) -> bool:
        """Whether a signature line names this key; the signature itself may still be invalid."""
        return signature.name == self.name and signature.key_id == self.key_id


def key_id(name: str, kind: int, public: bytes) -> bytes:
    """Return the ID of a key: the first 4 bytes of SHA-256(name ‖ newline ‖ type ‖ public key)."""
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]


def parse_vkey(text: str) -> VerifierKey:
    """Read a verifier key, `NAME+HEX+BASE64`; white space around it is ignored. Raises MalformedKey."""
    text = text.strip()
    if len(text) > VKEY_MAX:
        raise MalformedKey(f"a key must not exceed {VKEY_MAX} characters")
    name, kind, public = split_key(text)
    if kind not in KINDS:
        raise MalformedKey(
            f"the key of {name[:80]!r} has the type {kind:#04x}; only 0x01 (log) and 0x04 (witness) are supported"
        )
    if len(public) != 32:
        raise MalformedKey(f"the key of {name[:80]!r} must have 32 bytes after its type, not {len(public)}")
    key = VerifierKey(name, kind, public)
    if text != str(key):
        raise MalformedKey(
            f"the key of {name[:80]!r} does not agree with its own ID: a character is wrong or missing"
        )
    return key


def split_key(text: str) -> tuple[str, int, bytes]:
    """Return name, type and material of a key `NAME+HEX+BASE64`. Raises MalformedKey, without the text."""
    name, _, rest = text.partition("+")
    digits, _, encoded = rest.partition("+")
    try:
        usable = (
            is_key_name(name) and bool(name.encode()) and re.fullmatch(r"[0-9a-f]{8}", digits) is not None
        )
    except UnicodeEncodeError:
        usable = False
    material = decode_base64(encoded) if usable else None
    if not material:
        raise MalformedKey("not a key: NAME+8 HEX DIGITS+BASE64, without spaces in the name")
    return name, material[0], material[1:]


def decode_base64(text: str) -> bytes | None:
    """Return the bytes of a text in standard base64 with padding (RFC 4648, section 4); None if it is anything else.

    Each sequence of bytes has exactly one text: unused bits that are set are refused.
    """
    try:
        decoded = a2b_base64(text.encode("ascii"), strict_mode=True)
    except (Error, UnicodeEncodeError):
        return None
    return decoded if b64encode(decoded).decode() == text else None
