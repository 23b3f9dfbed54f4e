"""Compute the root hash of a signed record from all of its entries: python3 verify.py URL|DIR. Nothing is installed.

URL is an election at the feed door, https://results.example.no/v1/elections/ID; DIR is a copy of its record. The result
proves something only together with the signature on DIR/log/checkpoint: see docs/verify.md.
"""

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
        return bytes(answer.read())


origin, size, root = read("checkpoint").decode().split("\n")[:3]
subtrees: list[bytes] = []  # roots of complete subtrees, the largest first (RFC 6962, section 2.1)
index = 0
while index < int(size):
    number, width = index // 256, min(256, int(size) - index)
    path = f"{number % 1000:03}" if number < 1000 else f"x{number // 1000:03}/{number % 1000:03}"
    bundle = read(f"tile/entries/{path}" if width == 256 else f"tile/entries/{path}.p/{width}")
    for _ in range(width):  # each entry follows its length, two bytes
        length = int.from_bytes(bundle[:2], "big")
        entry, bundle = bundle[2 : 2 + length], bundle[2 + length :]
        subtrees.append(sha256(b"\x00" + entry).digest())
        index += 1
        for _ in range((index & -index).bit_length() - 1):
            right, left = subtrees.pop(), subtrees.pop()
            subtrees.append(sha256(b"\x01" + left + right).digest())
while len(subtrees) > 1:
    right, left = subtrees.pop(), subtrees.pop()
    subtrees.append(sha256(b"\x01" + left + right).digest())
computed = b64encode(subtrees.pop()).decode()
print(f"{origin}: {size} entries, computed root {computed}")
if computed != root:
    sys.exit(f"THIS IS NOT THE RECORD THAT WAS SIGNED: the checkpoint has the root {root}")
