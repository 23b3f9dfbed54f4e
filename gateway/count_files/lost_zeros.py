"""PURE: identifiers whose leading zeros a spreadsheet dropped, such as `301-0001` for `0301-0001`."""

import re

from gateway.count_files.parts import abbreviated
from gateway.election.registry import Registry

_LEADING_ZEROS = re.compile(r"(?<![0-9])0+(?=[0-9])")
_LISTED = 3


class LostZeros:
    """Finds the units of an election that differ from a text by leading zeros only."""

    def __init__(self, registry: Registry | None) -> None:
        self._registry = registry
        self._by_bare: dict[str, list[str]] | None = None

    def intended(self, text: str) -> str | None:
        """Return a clause that names the units that a text may mean, or None if it is registered or there are none."""
        if self._registry is None or text in self._registry.by_id or len(text) > 100:
            return None
        if self._by_bare is None:
            self._by_bare = {}
            for unit in self._registry.units:
                self._by_bare.setdefault(_bare(unit), []).append(unit)
        found = self._by_bare.get(_bare(text), [])
        if not found:
            return None
        return (
            f"did you mean {' or '.join(map(abbreviated, found[:_LISTED]))}? A spreadsheet drops leading zeros;"
            " format the column as text and enter them again"
        )


def _bare(identifier: str) -> str:
    return _LEADING_ZEROS.sub("", identifier)
