"""The documents of elections that are fixed before reports arrive, hashed and compressed once for all their answers."""

from gateway.feed.stream import ElectionFeed
from gateway.web.bodies import PrecompressedText
from gateway.web.feed_lookup import FeedLookup


class FixedTexts:
    """Invariant: texts are kept only for known elections, and for each name only the newest."""

    def __init__(self, lookup: FeedLookup) -> None:
        self._lookup = lookup
        self._texts: dict[tuple[str, str], tuple[int, PrecompressedText]] = {}
        """By name and election, with the election's generation."""

    def get(self, name: str, feed: ElectionFeed, document: bytes) -> PrecompressedText:
        """Return the document of a name, which depends on nothing but the election's generation."""
        cached = self._texts.get((name, feed.id))
        if cached is None or cached[0] != feed.generation:
            known = {each.id for each in self._lookup.all()}
            self._texts = {key: each for key, each in self._texts.items() if key[1] in known}
            cached = self._texts[name, feed.id] = feed.generation, PrecompressedText(document)
        return cached[1]
