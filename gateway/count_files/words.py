"""PURE: the words of tables in English, bokmål and nynorsk: columns, statuses, reasons, categories and totals.

The web pages show the same words; docs/contract.md lists them (section 10, "Tables").
"""

import re
import unicodedata
from collections.abc import Mapping

_APART = re.compile(r"[\s_\-]+")


def plain(text: str) -> str:
    """Return a text that is equal for all notations of a word: case, spaces, hyphens, and a colon or point at the end.

    A long text is no word, and stays as it is.
    """
    if len(text) > 100:
        return text
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _APART.sub(" ", folded).strip(" .:")


def _by_word(table: Mapping[str, str]) -> dict[str, str]:
    """Return the value of each word; the values themselves are words too."""
    found: dict[str, str] = {}
    for value, words in table.items():
        for word in filter(None, (value, *words.split("|"))):
            assert found.setdefault(plain(word), value) == value, word
    return found


NAME = "name"
"""The column with the names of units, which is not read; no figures may be in it."""

COLUMN_WORDS = _by_word(
    {
        "unit": "krets|valgkrets|stemmekrets|tellested|teljestad|enhet|eining|kretsnummer|kretsnr",
        "revision": "revisjon|versjon",
        "counted_at": "talt|talt kl|opptalt|opptalt kl|talt opp|tidspunkt|time",
        "status": "",
        "reason": "årsak|grunn|begrunnelse|grunngjeving|grunngiving",
        "category": "kategori",
        "ballots": "stemmesedler|stemmesetlar|røystesetlar|godkjente stemmesedler|godkjende røystesetlar",
        "blank": "blanke|blanke stemmesedler|blanke stemmesetlar|blanke røystesetlar",
        "rejected": "forkastet|forkastede|forkasta|forkastede stemmesedler|forkasta stemmesetlar|forkasta røystesetlar",
        "voters": "kryss i manntallet|kryss i manntalet|avkrysset i manntallet|avkryssa i manntalet",
        NAME: "navn|namn|kretsnavn|kretsnamn|tellestedets navn|unit name",
    }
)
STATUS_WORDS = _by_word(
    {
        "not_counted": "ikke talt|ikke opptalt|ikkje talt|ikkje talt opp|ikkje opptalt",
        "counting": "telles|telles nå|blir talt|blir talt no|vert talt|under opptelling|under oppteljing",
        "preliminary": "foreløpig|førebels",
        "final": "endelig|endeleg",
        "controlled": "kontrollert|verified",
        "settled": "avgjort|avgjord|oppgjort",
        "counted_elsewhere": "telt et annet sted|talt et annet sted|talt ein annan stad",
        "unstated": "uten status|utan status|no status|ikke oppgitt|ikkje oppgitt|uoppgitt",
    }
)
REASON_WORDS = _by_word(
    {
        "recount": "ny opptelling|ny oppteljing|omtelling|omteljing",
        "revoked": "trukket tilbake|trekt tilbake|withdrawn",
        "late_ballots": "sent innkomne stemmesedler|seint innkomne stemmesetlar|seint innkomne røystesetlar",
        "booking_error": "føringsfeil|data entry error",
        "control": "kontroll|verification",
        "other": "annen årsak|annan årsak|annet|anna|other reason",
    }
)
CATEGORY_WORDS = _by_word(
    {
        "advance": "forhånd|forhåndsstemmer|førehand|førehandsstemmer|førehandsrøyster|advance votes",
        "election_day": "valgdag|valgdagen|valgting|valgtingsstemmer|valdag|valdagen|valting|valtingsrøyster",
    }
)
"""Words for categories; each is used only if the election has that category."""
TOTAL_WORDS = frozenset(
    ("sum", "total", "totals", "grand total", "totalt", "sum totalt", "i alt", "til sammen", "tilsammen", "samla",
     "samlet", "alle")
)  # fmt: skip
