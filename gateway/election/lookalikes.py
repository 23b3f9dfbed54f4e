"""PURE: identifiers and names that look alike, so that figures of one could be taken for those of the other.

Two texts look alike if their skeletons are equal. The skeleton follows Unicode Technical Standard #39, with a table of
the letters that real registries could confuse: Latin, Greek, Cyrillic and Armenian, dashes and apostrophes. Digits of
every script are replaced by those of ASCII. Texts of ASCII alone are never changed, so `I1` and `l1` do not look alike
here. Independent of registries.
"""

import unicodedata
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

from gateway.characters import CONTROL_OR_JOINER, code_point, printable

_ALIKE = (
    # Cyrillic, then Greek, then Armenian, each after the Latin letters that they look like
    ("ABEKMHOPCTYXSIJQWVGaeopcyxsijdqwhlvb36ħ", "АВЕКМНОРСТУХЅІЈԚԜѴԌаеорсухѕіјԁԛԝһӏѵЬЗбћ"),
    ("ABEZHIKMNOPTYXCJaiovpuycjo", "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧϹͿαιονρυγϲϳσ"),
    ("OLUSonuhjgqw", "ՕԼՍՏօոսհյցզա"),
    # letters without a Latin one, in Greek and Cyrillic
    ("ГПФкф", "ΓΠΦκφ"),
    # Latin letters that look like others
    ("agiilIßəəəƏOк", "ɑɡıɩǀӀβǝәɘӘՕĸ"),
    ("--------", "‐‑‒–—―−⁃"),
    ("''''''", "’‘ʼʹ′´"),
    ("····", "•‧∙・"),
    ("::::", "ː∶׃꞉"),
    ("//", "∕⁄"),
)  # fmt: skip
_LATIN = {ord(other): plain for plains, others in _ALIKE for plain, other in zip(plains, others, strict=True)}
_STROKE = "\u0335"
_LATIN |= {
    ord(letter): f"{plain}{_STROKE}" for letter, plain in zip("øØłŁđŧŦħĦɨƗƶƵ", "oOlLdtThHiIzZ", strict=True)
}
_LATIN |= dict.fromkeys(map(ord, "ĐÐƉ"), f"D{_STROKE}")
_LATIN |= dict.fromkeys(range(0x0335, 0x0339), _STROKE)  # strokes and slashes through the letter before
_SCRIPTS = frozenset({
    "LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "COPTIC", "CHEROKEE", "GEORGIAN", "LISU", "CANADIAN", "DESERET", "OSAGE",
    "TIFINAGH", "VAI", "RUNIC", "GOTHIC", "OLD", "CARIAN", "LYCIAN", "LYDIAN", "WARANG", "ELBASAN", "GLAGOLITIC",
})  # fmt: skip
"""Scripts with letters that look alike, as the names of their letters begin; one identifier uses one of them."""
SHOWN_MAX = 8
"""Characters of an identifier that a message names."""
NORMALIZED_MAX = 200
"""Characters of a text of a sender that is normalized, more than an identifier has; long ones take quadratic time."""


class Identifier(NamedTuple):
    """A text that identifies something, and where it is."""

    path: str
    text: str


def skeleton(text: str) -> str:
    """Return a text that is equal for all texts that look alike. Source: UTS #39, section 4."""
    if text.isascii():
        return text
    visible = CONTROL_OR_JOINER.sub("", unicodedata.normalize("NFKD", text.translate(_LATIN)))
    plain = "".join(str(unicodedata.decimal(each, each)) for each in visible.translate(_LATIN))
    return unicodedata.normalize("NFC", plain)


def name_skeleton(name: str) -> str:
    """Return a text that is equal for all names that look alike apart from case and spaces."""
    return "".join(skeleton(unicodedata.normalize("NFKC", name).casefold()).split())


def is_nfc(text: str) -> bool:
    """Return whether a text is in Unicode normalization form NFC."""
    return text.isascii() or unicodedata.is_normalized("NFC", text)


def nfc(text: str) -> str:
    """Return a text in Unicode normalization form NFC."""
    return unicodedata.normalize("NFC", text)


class _Known(Protocol):
    def __contains__(self, text: str, /) -> bool: ...


def registered_form(text: str, known: _Known) -> str:
    """Return a clause for a text that is not in Unicode normalization form NFC, and is known in that form."""
    if len(text) > NORMALIZED_MAX or is_nfc(text) or nfc(text) not in known:
        return ""
    return f"; the registry has it in Unicode normalization form NFC, {shown(nfc(text))}"


def shown(text: str) -> str:
    """Return a text for a message, with the code points of its characters beyond ASCII."""
    beyond = [code_point(character) for character in text if not character.isascii()]
    more = f" and {len(beyond) - SHOWN_MAX} more" if len(beyond) > SHOWN_MAX else ""
    return f"'{printable(text)}' ({' '.join(beyond[:SHOWN_MAX]) or 'ASCII'}{more})"


def malformed_identifier(text: str) -> str | None:
    """Return why a text cannot be an identifier, although its characters could: not NFC, or of several scripts."""
    if text.isascii():
        return None
    if not is_nfc(text):
        return f"{shown(text)} is not in Unicode normalization form NFC, which is {shown(nfc(text))}"
    scripts: dict[str, str] = {}
    for character in text:
        if character.isalpha() and (script := _script(character)):
            scripts.setdefault(script, character)
    if len(scripts) > 1:
        found = ", ".join(f"{code_point(each)} is {script.title()}" for script, each in scripts.items())
        return f"{shown(text)} mixes scripts whose letters look alike: {found}"
    return None


def _script(character: str) -> str | None:
    script = unicodedata.name(character, "").partition(" ")[0]
    return script if script in _SCRIPTS else None


def alike(identifiers: Iterable[Identifier]) -> Iterator[tuple[Identifier, Identifier]]:
    """Yield each identifier that looks like an earlier, different one, with that one."""
    first: dict[str, Identifier] = {}
    for each in identifiers:
        earlier = first.setdefault(skeleton(each.text), each)
        if earlier.text != each.text:
            yield each, earlier
