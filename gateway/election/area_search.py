"""PURE: areas by identifier or by name, as people type them: without diacritics, with letters of other keyboards.

The same letters are equal as in the search of the pages (`web/pages/search.js`).
"""

import difflib
import unicodedata

from gateway.election.registry import Area, Registry
from gateway.errors import GatewayError

SHOWN_MAX = 10
"""Areas named in an error."""
_PLAIN = str.maketrans(
    {
        "ø": "o",
        "æ": "ae",
        "đ": "d",
        "ð": "d",
        "ŋ": "n",
        "ŧ": "t",
        "þ": "th",
        "ł": "l",
        "ħ": "h",
        "ı": "i",
        "œ": "oe",
    }
)
"""Letters that do not decompose into a base letter and a mark, as they are typed without them."""
_LONG = str.maketrans({"å": "aa", "ø": "oe", "ŋ": "ng", "ä": "ae", "ö": "oe", "ü": "ue"})
"""Letters that are also written as two."""


class AreaNotFound(GatewayError):
    """No area, or more than one, has this name; the message lists similar or matching ones with identifiers."""

    code = "unknown_area"


def find_area(registry: Registry, text: str) -> Area:
    """Return the area with this identifier, or else the only one with this name, in any language.

    Case, diacritics and surrounding white space are ignored in names. Raises AreaNotFound.
    """
    if (area := registry.by_id.get(text)) is not None:
        return area
    wanted = fold(text.strip())
    names = {area.id: _folded_names(area) for area in registry.areas}
    found = [area for area in registry.areas if wanted in names[area.id]]
    if len(found) == 1:
        return found[0]
    if found:
        raise AreaNotFound(
            f"{len(found)} areas are called {text}: {_listed(registry, found)}; give the identifier"
        )
    near = _near(registry, names, wanted)
    suggestion = f"; did you mean {_listed(registry, near)}?" if near else ""
    raise AreaNotFound(f"no area {text} in {registry.id}{suggestion}")


def fold(text: str) -> str:
    """Return a text in lower case and without diacritics."""
    lower = unicodedata.normalize("NFC", text).casefold().translate(_PLAIN)
    return "".join(each for each in unicodedata.normalize("NFKD", lower) if not unicodedata.combining(each))


def _folded_names(area: Area) -> set[str]:
    return {
        form
        for name in area.all_names
        for form in (fold(name), fold(unicodedata.normalize("NFC", name).casefold().translate(_LONG)))
    }


def _near(registry: Registry, names: dict[str, set[str]], wanted: str) -> list[Area]:
    """Return areas with a similar name or identifier, or one that begins with the text, the most similar first."""
    if not wanted:
        return []
    by_form: dict[str, list[Area]] = {}
    for area in registry.areas:
        for form in (*sorted(names[area.id]), fold(area.id)):
            by_form.setdefault(form, []).append(area)
    close = difflib.get_close_matches(wanted, by_form, n=SHOWN_MAX, cutoff=0.75)
    begins = [form for form in by_form if form.startswith(wanted)]
    return list({area.id: area for form in (*close, *begins) for area in by_form[form]}.values())


def _listed(registry: Registry, areas: list[Area]) -> str:
    shown = [_described(registry, area) for area in areas[:SHOWN_MAX]]
    if len(areas) > SHOWN_MAX:
        shown.append(f"{len(areas) - SHOWN_MAX} more")
    return " or ".join(shown) if len(shown) <= 2 else ", ".join(shown)


def _described(registry: Registry, area: Area) -> str:
    above = f", {registry.by_id[area.parent].name}" if area.parent is not None else ""
    return f"{area.id} ({area.name}, {area.level}{above})"
