"""PURE: suggest the identifiers most similar to an unknown text.

Similarity is that of `difflib`. A comparison with the units of a country takes some 50 ms, so that only TEXTS_MAX
different texts are compared; the others get no suggestion.
"""

from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher, get_close_matches

from gateway.count_files.messages import abbreviated, meant

CLOSEST_MAX = 3
"""Suggestions for one text."""
CUTOFF = 0.7
"""The least similarity of a suggestion, from 0 to 1."""
MARGIN = 0.05
"""How much less similar than the closest one a further suggestion may be."""
LENGTH_MAX = 64
"""Characters of a text that is compared; no identifier has more."""
TEXTS_MAX = 20
"""Different texts that are compared."""


class Suggestions:
    """Suggests identifiers of one kind for unknown texts."""

    def __init__(self, known: Sequence[str], names: Mapping[str, str] | None = None) -> None:
        """`names` are other texts for the identifiers that people use, such as the names of areas."""
        self._known = known
        self._names = names or {}
        self._words: dict[str, list[str]] = {}
        for identifier in known:
            for word in (identifier, self._names.get(identifier, "")):
                if word and identifier not in self._words.setdefault(_plain(word), []):
                    self._words[_plain(word)].append(identifier)
        self._made: dict[str, list[str]] = {}

    def clause(self, text: object) -> str:
        """Return `; did you mean final?`, or nothing if no identifier is close."""
        return meant(self.closest(text))

    def closest(self, text: object) -> list[str]:
        """Return the closest identifiers, each with its name, as a message shows them."""
        if not isinstance(text, str) or not 0 < len(text) <= LENGTH_MAX:
            return []
        if text not in self._made:
            if len(self._made) == TEXTS_MAX:
                return []
            self._made[text] = self._shown(self._closest(text))
        return self._made[text]

    def _closest(self, text: str) -> list[str]:
        """Return the closest identifiers: those that the text names, or else those with similar words."""
        word = _plain(text)
        if word in self._words:
            return self._words[word][:CLOSEST_MAX]
        found: dict[str, None] = {}
        matches = get_close_matches(word, self._words, CLOSEST_MAX, CUTOFF)
        for close in matches:
            if _similarity(word, close) >= _similarity(word, matches[0]) - MARGIN:
                found |= dict.fromkeys(self._words[close])
        return [*found][:CLOSEST_MAX]

    def _shown(self, closest: Iterable[str]) -> list[str]:
        return [
            abbreviated(each)
            + (f" ({abbreviated(name)})" if (name := self._names.get(each, "")) not in ("", each) else "")
            for each in closest
        ]


def did_you_mean(text: object, known: Sequence[str], names: Mapping[str, str] | None = None) -> str:
    """Return `; did you mean 'final'?` for a single text, or nothing if no identifier is close."""
    return Suggestions(known, names).clause(text)


def _similarity(text: str, other: str) -> float:
    return SequenceMatcher(None, other, text).ratio()  # as `get_close_matches` compares them


def _plain(text: str) -> str:
    """Return a text without case and without spaces at its ends."""
    return text.strip().casefold()
