"""Names by language of an invented country. Those of places are data, like the names themselves; none is a real one.

The last county and its municipalities have Sámi names too, as bilingual municipalities do. Nothing is drawn, so that
the same seed still gives the same country.
"""

from gateway.rehearsal.generator.names import LAST

Names = dict[str, str]

_SÁMI = {
    "dal": "vággi", "fjell": "várri", "fjord": "vuotna", "holm": "sullosaš", "nes": "njárga", "sjø": "jávri",
    "sund": "nuorri", "vann": "jávri", "vik": "luokta", "våg": "gohppi", "øy": "suolu", "ås": "čorru",
}  # fmt: skip
"""What places are called after, by the end of a Norwegian name."""
_OF_UNITS = {
    "Krets ikke oppgitt": ("Krins ikkje oppgitt", "Precinct not stated"),
    "Andre forhåndsstemmer": ("Andre førehandsrøyster", "Other advance votes"),
    "Sene forhåndsstemmer": ("Seine førehandsrøyster", "Late advance votes"),
}
_OF_PARTIES = {
    "Røst for Alle": ("Røyst for Alle", "A Voice for All"),
    "Hjem og Virke": ("Heim og Verke", "Home and Work"),
    "Bygdefolkets Samling": ("Samlinga åt Bygdefolket", "Rural Union"),
    "De Eldres Ord": ("Ordet åt dei Eldre", "The Word of the Elders"),
    "Åpent Torg": ("Ope Torg", "Open Square"),
    "Banen Tilbake": ("Banen Attende", "Bring Back the Railway"),
}


def of_election(seed: int) -> Names:
    """Return the names of the election."""
    return {"nb": f"Generert valg {seed}", "nn": f"Generert val {seed}", "en": f"Generated election {seed}"}


def of_party(name: str) -> Names:
    """Return the names of a party, or none: most have the same name in every language."""
    return _translated(name, _OF_PARTIES)


def of_unit(name: str) -> Names:
    """Return the names of a unit: those that are no places are called otherwise in every language."""
    return _translated(name, _OF_UNITS)


def of_bilingual_place(name: str) -> Names:
    """Return the names of a place in an area with Sámi names, or none. `name` may be of two languages already."""
    norwegian, _, sámi = name.partition(" ")
    if not sámi:
        end = max((end for end in LAST if name.endswith(end)), key=len, default="")
        if end not in _SÁMI:
            return {}
        sámi = name.removesuffix(end) + _SÁMI[end]
    return {"nb": norwegian, "nn": norwegian, "se": sámi}


def _translated(name: str, table: dict[str, tuple[str, str]]) -> Names:
    if name not in table:
        return {}
    nynorsk, english = table[name]
    return {"nb": name, "nn": nynorsk, "en": english}
