"""Invented place names that sound Norwegian: distinct within a country, and not from a real list.

The first syllables are chosen so that hardly any combination is a real place.
"""

from random import Random

FIRST = (
    "Bræl", "Drøv", "Dym", "Eldøv", "Fløyv", "Fræv", "Gjøl", "Glyv", "Græm", "Hjæl", "Hvøm", "Jølv", "Kjæv",
    "Klyr", "Krøv", "Kvæl", "Lyrv", "Løgr", "Mjæl", "Myrv", "Njøl", "Nyv", "Prøl", "Ryv", "Ræm", "Skjælv",
    "Skåv", "Sløm", "Smæl", "Snyv", "Spræl", "Stræv", "Svøl", "Sæm", "Tjæl", "Trøv", "Tvær", "Tåv", "Ulvær",
    "Vråm", "Vælm", "Yrv", "Øskel", "Ålmer",
)  # fmt: skip
MIDDLE = ("a", "ar", "e", "el", "er", "ing", "inga", "ol", "und", "unge", "øra", "åra")
LAST = (
    "bygd", "dal", "eid", "fjell", "fjord", "foss", "gard", "haug", "heim", "holm", "li", "lund", "mark",
    "mo", "nes", "rud", "set", "sjø", "stad", "strand", "sund", "tveit", "vann", "vik", "voll", "våg", "øy",
    "ås",
)  # fmt: skip
LONGER_AFTER = 4
"""So many draws that were already taken make the next one a syllable longer: names never run out."""


class Names:
    """Draws names. Invariant: no name is given twice."""

    def __init__(self, rng: Random):
        self._rng = rng
        self._given: set[str] = set()

    def place(self) -> str:
        """A name no area of this country has yet."""
        middles = 0 if self._rng.random() < 0.5 else 1
        draws = 0
        while (name := self._draw(middles + draws // LONGER_AFTER)) in self._given:
            draws += 1
        self._given.add(name)
        return name

    def _draw(self, middles: int) -> str:
        choose = self._rng.choice
        return choose(FIRST) + "".join(choose(MIDDLE) for _ in range(middles)) + choose(LAST)
