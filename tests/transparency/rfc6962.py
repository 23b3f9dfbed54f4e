"""RFC 6962, section 2.1, word for word: slow, recursive, and independent of the code that is tested."""

import hashlib
from collections.abc import Sequence
from typing import Any


def split(n: int) -> int:
    """The largest power of two smaller than n."""
    k = 1
    while 2 * k < n:
        k *= 2
    return k


class Reference:
    """The hashes and proofs of trees over the first leaves of a list of leaf hashes."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self.leaves = leaves
        self._known: dict[tuple[int, int], bytes] = {}

    def mth(self, start: int, end: int) -> bytes:
        """MTH(D[start:end]); what was computed once is kept."""
        if start == end:
            return hashlib.sha256().digest()
        if end - start == 1:
            return self.leaves[start]
        if (start, end) not in self._known:
            k = split(end - start)
            joined = b"\x01" + self.mth(start, start + k) + self.mth(start + k, end)
            self._known[start, end] = hashlib.sha256(joined).digest()
        return self._known[start, end]

    def path(self, m: int, start: int, end: int) -> list[bytes]:
        """PATH(m, D[start:end]), section 2.1.1."""
        if end - start == 1:
            return []
        k = split(end - start)
        if m < k:
            return [*self.path(m, start, start + k), self.mth(start + k, end)]
        return [*self.path(m - k, start + k, end), self.mth(start, start + k)]

    def proof(self, m: int, n: int) -> list[bytes]:
        """PROOF(m, D[n]), section 2.1.2."""
        return self._subproof(m, 0, n, True)

    def _subproof(self, m: int, start: int, end: int, whole: bool) -> list[bytes]:
        if m == end - start:
            return [] if whole else [self.mth(start, end)]
        k = split(end - start)
        if m <= k:
            return [*self._subproof(m, start, start + k, whole), self.mth(start + k, end)]
        return [*self._subproof(m - k, start + k, end, False), self.mth(start, start + k)]


def inclusion_shape(m: int, n: int) -> Any:
    """How a root is computed from a leaf and its proof, whose hashes are numbered: (1, ((0, leaf), 2)) for example.

    A proof shows nothing but this: for other sizes with the same shape, it is equally valid. Signatures bind sizes.
    """
    numbers = iter(range(64))

    def climb(m: int, n: int) -> Any:
        if n == 1:
            return "leaf"
        k = split(n)
        inner = climb(m, k) if m < k else climb(m - k, n - k)
        return (inner, next(numbers)) if m < k else (next(numbers), inner)

    return climb(m, n)


def consistency_shape(m: int, n: int) -> Any:
    """How both roots are computed from a consistency proof, whose hashes are numbered."""
    numbers = iter(range(64))

    def climb(m: int, n: int, whole: bool) -> Any:
        if m == n:
            node = "root1" if whole else next(numbers)
            return node, node
        k = split(n)
        if m <= k:
            first, second = climb(m, k, whole)
            return first, (second, next(numbers))
        first, second = climb(m - k, n - k, False)
        left = next(numbers)
        return (left, first), (left, second)

    return climb(m, n, True)
