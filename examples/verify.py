"""Compute the root hash of a signed record from all of its entries: python3 verify.py URL|DIR. Nothing is installed.

URL is an election at the feed door, https://results.example.no/v1/elections/ID; DIR is a copy of its record. The result
proves something only together with the signature of the checkpoint: see docs/verify.md.
"""

import gzip
import pathlib
import sys
import urllib.request
from base64 import b64encode
from hashlib import sha256


def read(path: str) -> bytes:
    where = f"{sys.argv[1].rstrip('/')}/log/{path}"
    if "://" not in where:
        return pathlib.Path(where).read_bytes()
    with urllib.request.urlopen(where, timeout=60) as answer:
        body: bytes = answer.read()
        return gzip.decompress(body) if answer.headers["Content-Encoding"] == "gzip" else body


def root_of(leaves: list[bytes]) -> bytes:  # RFC 6962, section 2.1
    if len(leaves) == 1:
        return leaves[0]
    left = 1 << (len(leaves) - 1).bit_length() - 1  # the largest power of two below their number
    return sha256(b"\x01" + root_of(leaves[:left]) + root_of(leaves[left:])).digest()


def main() -> None:
    origin, size, root = read("checkpoint").decode().split("\n")[:3]
    leaves: list[bytes] = []
    while len(leaves) < int(size):
        number, width = len(leaves) // 256, min(256, int(size) - len(leaves))
        path = f"{number:03}" if number < 1000 else f"x{number // 1000:03}/{number % 1000:03}"
        bundle = read(f"tile/entries/{path}" if width == 256 else f"tile/entries/{path}.p/{width}")
        for _ in range(width):  # each entry follows its length, two bytes
            length = int.from_bytes(bundle[:2], "big")
            entry, bundle = bundle[2 : 2 + length], bundle[2 + length :]
            leaves.append(sha256(b"\x00" + entry).digest())
    computed = b64encode(root_of(leaves)).decode()
    print(f"{origin}: {size} entries, computed root {computed}")
    if computed != root:
        sys.exit(f"THIS IS NOT THE RECORD THAT WAS SIGNED: the checkpoint has the root {root}")


if __name__ == "__main__":
    main()
