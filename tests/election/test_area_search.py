"""Areas by identifier or by name, as people type them."""

from typing import Any

import pytest

from gateway.election.area_search import SHOWN_MAX, AreaNotFound, find_area, fold
from gateway.election.registry import Registry
from gateway.election.registry_reading import read_registry

PARTIES = [{"code": "A", "name": "A"}]


def a_registry(*areas: tuple[str, str, str, str, dict[str, Any]]) -> Registry:
    header = {
        "id": "e", "name": "E", "publish_from": "2025-09-08T21:00:00+02:00", "categories": ["advance"],
        "rehearsal": False,
    }  # fmt: skip
    return read_registry(
        {
            "format": "election-registry/1",
            "election": header,
            "parties": PARTIES,
            "areas": [
                {"id": "no", "name": "Norge", "level": "country", "parties": ["A"]},
                *(
                    {"id": key, "parent": parent, "name": name, "level": level, **more}
                    for key, parent, name, level, more in areas
                ),
            ],
        }
    )


REGISTRY = a_registry(
    ("32", "no", "Akershus", "county", {}),
    ("33", "no", "Buskerud", "county", {}),
    ("03", "no", "Oslo", "county", {}),
    ("0301", "03", "Oslo", "municipality", {}),
    ("3236", "32", "Jevnaker", "municipality", {}),
    ("3205", "32", "Våler", "municipality", {}),
    ("3419", "33", "Våler", "municipality", {}),
    ("5607", "33", "Vadsø", "municipality", {}),
    (
        "5610",
        "33",
        "Kárášjohka - Karasjok",
        "municipality",
        {"names": {"se": "Kárášjohka", "en": "Karasjok town"}},
    ),
    ("1508", "33", "Ålesund", "municipality", {}),
    *((f"9{number:03}", "33", f"Sted {number}", "municipality", {}) for number in range(14)),
)


@pytest.mark.parametrize(
    ("text", "area"),
    [
        ("3236", "3236"),
        ("Jevnaker", "3236"),
        ("jevnaker", "3236"),
        (" JEVNAKER ", "3236"),
        ("vadso", "5607"),
        ("Vadsoe", "5607"),
        ("VADSØ", "5607"),
        ("Vadsø", "5607"),
        ("alesund", "1508"),
        ("aalesund", "1508"),
        ("A\u030alesund", "1508"),
        ("karasjohka", "5610"),
        ("Karasjok", "5610"),
        ("karasjok TOWN", "5610"),
        ("Kárášjohka - Karasjok", "5610"),
    ],
)
def test_an_area_is_found_by_identifier_or_name(text: str, area: str) -> None:
    """Case and diacritics are ignored, in any language and each name of a place with several."""
    assert find_area(REGISTRY, text).id == area


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "Oslo",
            "2 areas are called Oslo: 03 (Oslo, county, Norge) or 0301 (Oslo, municipality, Oslo); give the",
        ),
        (
            "valer",
            "2 areas are called valer: 3205 (Våler, municipality, Akershus) or 3419 (Våler, municipality, Bu",
        ),
        ("Jevnakker", "no area Jevnakker in e; did you mean 3236 (Jevnaker, municipality, Akershus)?"),
        ("jev", "no area jev in e; did you mean 3236 (Jevnaker, municipality, Akershus)?"),
        ("3237", "did you mean 3236 (Jevnaker, municipality, Akershus)"),
        ("sted", "4 more?"),
    ],
)
def test_what_may_be_meant_is_listed(text: str, message: str) -> None:
    """With identifiers, and at most ten."""
    with pytest.raises(AreaNotFound) as found:
        find_area(REGISTRY, text)
    assert message in str(found.value)
    assert str(found.value).count("municipality") <= SHOWN_MAX


@pytest.mark.parametrize("text", ["", " ", "Xyzzyx", "\x1b[2J"])
def test_nothing_similar_is_not_guessed(text: str) -> None:
    with pytest.raises(AreaNotFound, match="no area") as found:
        find_area(REGISTRY, text)
    assert "did you mean" not in str(found.value)


def test_letters_are_folded_as_on_the_pages() -> None:
    assert fold("Ærøskøbing ÅSNES Čáhcesuolu Straße Łódź") == "aeroskobing asnes cahcesuolu strasse lodz"
