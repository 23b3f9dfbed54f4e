"""Cosignatures: a witness states that, at some time, a checkpoint was the newest that it has seen of a log.

Source: C2SP tlog-cosignature, "Ed25519 signed message". Times are whole seconds since 1970 (POSIX).
"""

from gateway.transparency.ed25519 import SigningKey, verify
from gateway.transparency.note import COSIGNATURE, BadSignature, MalformedNote, Signature, VerifierKey

TIME_MAX = 2**63 - 1
_SIZE = 8 + 64


def signed_message(text: str, at: int) -> bytes:
    """Return what a witness signs for the text of a checkpoint and a time."""
    return f"cosignature/v1\ntime {at}\n{text}".encode()


def cosign(key: SigningKey, text: str, at: int) -> Signature:
    """Return the cosignature of a checkpoint's text by the key of a witness, at a time."""
    assert key.vkey.kind == COSIGNATURE, "only the key of a witness cosigns"
    assert 0 <= at <= TIME_MAX
    signature = key.sign_bytes(signed_message(text, at))
    return Signature(key.vkey.name, key.vkey.key_id, at.to_bytes(8, "big") + signature)


def time_of(signature: Signature) -> int:
    """Return the time that a cosignature states; it is not verified. Raises MalformedNote."""
    if len(signature.signature) != _SIZE:
        raise MalformedNote(
            f"a cosignature must have {_SIZE} bytes, and that of {signature.name[:80]!r} has {len(signature.signature)}"
        )
    at = int.from_bytes(signature.signature[:8], "big")
    if at > TIME_MAX:
        raise MalformedNote(f"the cosignature of {signature.name[:80]!r} states a time beyond all times")
    return at


def verify_cosignature(key: VerifierKey, text: str, signature: Signature) -> int:
    """Return the time of a cosignature of a checkpoint's text by this key. Raises MalformedNote, BadSignature."""
    if key.kind != COSIGNATURE or not key.made(signature):
        raise BadSignature(
            f"the cosignature of {signature.name[:80]!r} is not one of {key.name}+{key.key_id.hex()}"
        )
    at = time_of(signature)
    if not verify(key.public, signed_message(text, at), signature.signature[8:]):
        raise BadSignature(f"the cosignature of {key.name}+{key.key_id.hex()} is not valid")
    return at
