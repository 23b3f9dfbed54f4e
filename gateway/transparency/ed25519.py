"""Ed25519 signatures (RFC 8032) and the keys that make them. The only module that imports `cryptography`, when needed.

A signing key is written as in Go's package note: `PRIVATE+KEY+NAME+HEX+BASE64`. Never show it, not even in an error.
"""

from base64 import b64encode
from typing import TYPE_CHECKING

from gateway.errors import ExtraMissing
from gateway.transparency.note import (
    COSIGNATURE,
    ED25519,
    KINDS,
    MalformedKey,
    Signature,
    VerifierKey,
    is_key_name,
    split_key,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SMALL_ORDER = frozenset(
    bytes.fromhex(digits)
    for digits in (
        "00" * 32,
        "01" + "00" * 31,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
    )
)
"""Public keys, without the sign bit, under which one signature may be valid for every message; none is a real key."""
_SKEY_PREFIX = "PRIVATE+KEY+"
_MISSING = "signatures need the package cryptography, which is not installed: pip install 'valgnatt[sign]'"


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the signature (64 bytes) of a message was made by the key of these 32 bytes. Raises ExtraMissing.

    Keys of small order verify nothing: their owner could deny every signature.
    """
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError as error:
        raise ExtraMissing(_MISSING) from error
    if len(public) != 32 or len(signature) != 64 or public[:31] + bytes([public[31] & 0x7F]) in SMALL_ORDER:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


class SigningKey:
    """A private key with its name, of a log (type ED25519) or a witness (type COSIGNATURE)."""

    __slots__ = ("_private", "_seed", "vkey")

    def __init__(self, name: str, kind: int, seed: bytes) -> None:
        if not is_key_name(name) or kind not in KINDS or len(seed) != 32:
            raise MalformedKey("a signing key needs a name without spaces, a supported type and 32 bytes")
        self._seed = seed
        self._private = _private_key(seed)
        self.vkey = VerifierKey(name, kind, self._private.public_key().public_bytes_raw())
        """The public key, which verifies what this one signs."""

    def __repr__(self) -> str:
        return f"SigningKey({self.vkey})"

    def sign(self, text: str) -> Signature:
        """Return the signature of a note's text, by the key of a log. Source: C2SP signed-note."""
        assert self.vkey.kind == ED25519, "the key of a witness signs with a time"
        return Signature(self.vkey.name, self.vkey.key_id, self.sign_bytes(text.encode()))

    def sign_bytes(self, message: bytes) -> bytes:
        """Return the 64 bytes of the signature of a message, which nothing keeps apart from another kind of message."""
        return self._private.sign(message)

    def skey(self) -> str:
        """Return the text that `parse_skey` reads: the secret itself."""
        material = b64encode(bytes([self.vkey.kind]) + self._seed).decode()
        return f"{_SKEY_PREFIX}{self.vkey.name}+{self.vkey.key_id.hex()}+{material}"


def parse_skey(text: str) -> SigningKey:
    """Read a signing key; white space around it is ignored. Raises MalformedKey, without the text, or ExtraMissing."""
    text = text.strip()
    if not text.startswith(_SKEY_PREFIX):
        raise MalformedKey("not a signing key: it must begin with PRIVATE+KEY+")
    name, kind, seed = split_key(text.removeprefix(_SKEY_PREFIX))
    key = SigningKey(name, kind, seed)
    if key.skey() != text:
        raise MalformedKey(f"the signing key of {name[:80]!r} does not agree with its own ID")
    return key


def generate(name: str, kind: int = ED25519) -> SigningKey:
    """Return a new random key: of a log, or of a witness with COSIGNATURE. Raises MalformedKey, ExtraMissing."""
    return SigningKey(name, kind, _random_private_key().private_bytes_raw())


def _private_key(seed: bytes) -> "Ed25519PrivateKey":
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError as error:
        raise ExtraMissing(_MISSING) from error
    return Ed25519PrivateKey.from_private_bytes(seed)


def _random_private_key() -> "Ed25519PrivateKey":
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError as error:
        raise ExtraMissing(_MISSING) from error
    return Ed25519PrivateKey.generate()


__all__ = ["COSIGNATURE", "ED25519", "SigningKey", "generate", "parse_skey", "verify"]
