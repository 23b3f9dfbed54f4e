"""PURE: identifiers whose leading zeros a spreadsheet dropped, such as `301-0001` for `0301-0001`."""

import re

from gateway.count_files.messages import abbreviated
from gateway.election.registry import Registry

_LEADING_ZEROS = re.compile(r"(?<![0-9])0+(?=[0-9])")
_LISTED = 3


class LostZeros:
    """Finds the units of an election that differ from a text by leading zeros only."""

    def __init__(self, registry: Registry | None) -> None:
        self._registry = registry
        self._by_bare: dict[str, list[str]] | None = None

    def intended(self, text: str) -> list[str]:
        """Return the units that a text may mean, if it is not registered itself."""
        if self._registry is None or text in self._registry.by_id or len(text) > 100:
            return []
        if self._by_bare is None:
            self._by_bare = {}
            for unit in self._registry.units:
                self._by_bare.setdefault(_bare(unit), []).append(unit)
        return [abbreviated(each) for each in self._by_bare.get(_bare(text), [])[:_LISTED]]


def _bare(identifier: str) -> str:
    return _LEADING_ZEROS.sub("", identifier)
