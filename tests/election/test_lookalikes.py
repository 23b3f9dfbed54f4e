"""Identifiers and names that look alike."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.characters import CONTROL
from gateway.election.lookalikes import (
    Identifier,
    alike,
    is_nfc,
    malformed_identifier,
    name_skeleton,
    nfc,
    shown,
    skeleton,
)

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)


@given(texts)
def test_every_form_of_a_text_has_the_same_skeleton(text: str) -> None:
    """Normalization forms, and characters that show nothing."""
    for form in ("NFC", "NFD"):
        assert skeleton(unicodedata.normalize(form, text)) == skeleton(text)
    if not text.isascii():
        assert skeleton(f"\u200b{text}\ufe0f") == skeleton(text)


@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_is_its_own_skeleton(text: str) -> None:
    """So two ASCII identifiers look alike only if they are equal."""
    assert skeleton(text) == text
    assert malformed_identifier(text) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Å1", "A\u030a1"),
        ("AP", "\u0410\u0420"),  # Cyrillic
        ("AP", "\u0391\u03a1"),  # Greek
        ("\u0410\u0420", "\u0391\u03a1"),
        ("SV", "\u0405V"),
        ("cope", "\u0441\u043e\u0440\u0435"),
        ("0301-1", "0301\u20111"),
        ("A1", "\uff211"),  # full width
        ("\u00d0a", "\u0110a"),  # Icelandic eth, Sami d with stroke
        ("Hi", "H\u0131"),
        ("ø", "o\u0338"),
        ("đ", "d\u0335"),
        ("a1", "a\u200b1"),
        ("a1", "a\ufe0f1"),
        ("\u0407", "\u00cf"),  # Cyrillic yi, Latin I with diaeresis
        ("\u0127", "\u045b"),  # Latin h with stroke, Cyrillic tshe
        ("61", "\u04311"),  # Cyrillic be
        ("w", "\u0561"),  # Armenian ayb
        ("\u0661", "\u06f1"),  # two kinds of Arabic digits
        ("0301", "\u0966\u0969\u0966\u0967"),  # Devanagari digits
    ],
)
def test_texts_that_look_alike_have_the_same_skeleton(one: str, other: str) -> None:
    """Both are named in the order in which they appear."""
    pair = [Identifier("$.a", one), Identifier("$.b", other)]
    assert list(alike(pair)) == [(pair[1], pair[0])]
    assert list(alike([pair[0], pair[0]])) == []


@pytest.mark.parametrize(
    "text",
    [
        *(
            "0301",
            "RØDT",
            "Å-1",
            "Kárášjohka",
            "ŋ",
            "Đ",
            "ŧ",
            "Guovdageaidnu",
            "Raisi",
            "Kvääni",
            "Malmö",
            "Straße",
        ),
        *(
            "ΑΒΓ",
            "ΣΥΡΙΖΑ",
            "Ελλάδα",
            "МОСКВА",
            "Київ",
            "東京",
            "تهران",
            "Ꭰ",
            "μ-1",
            "5µ",
            "\U0001d51b",
            "\ue000",
        ),
    ],
)
def test_identifiers_of_one_script_are_accepted(text: str) -> None:
    """Whichever it is."""
    assert malformed_identifier(text) is None


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("A\u030a", "'A\u030a' (U+030A) is not in Unicode normalization form NFC, which is 'Å' (U+00C5)"),
        ("\u212b", "(U+212B) is not in Unicode normalization form NFC, which is 'Å' (U+00C5)"),
        ("S\u0420", "'S\u0420' (U+0420) mixes scripts whose letters look alike: U+0053 is Latin, U+0420 is Cyrillic"),
        ("\u0391B", "U+0391 is Greek, U+0042 is Latin"),
        ("\u0391\u0412", "U+0391 is Greek, U+0412 is Cyrillic"),
        ("S\u13aa", "U+0053 is Latin, U+13AA is Cherokee"),
        ("S\ua4d0", "U+0053 is Latin, U+A4D0 is Lisu"),
    ],
)  # fmt: skip
def test_identifiers_that_could_be_mistaken_for_others_are_not_accepted(text: str, detail: str) -> None:
    """The message names the characters."""
    found = malformed_identifier(text)
    assert found is not None
    assert detail in found


@given(texts)
def test_a_message_about_a_text_is_one_visible_line(text: str) -> None:
    """Whatever the text is."""
    assert not CONTROL.search(shown(text))
    assert is_nfc(nfc(text))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Sentrum", "sentrum ", True),
        ("Nord Vest", "NORD\u00a0VEST", True),
        ("Nord Vest", "Nord\u200dvest", True),
        ("Åsen", "A\u030asen", True),
        ("Straße", "STRASSE", True),
        ("Sone \uff11", "Sone 1", True),
        ("Sone 1", "Sone 2", False),
        ("Sør", "Sor", False),
        ("Kárášjohka", "Karasjok", False),
    ],
)
def test_names_are_compared_without_case_and_spaces(one: str, other: str, same: bool) -> None:
    """But with the accents and letters of every language."""
    assert (name_skeleton(one) == name_skeleton(other)) is same


def test_letters_with_and_without_marks_do_not_look_alike() -> None:
    """Of the northern languages, and of those around them."""
    letters = "aáäåâãàæAÁÄÅÂÃÀÆoóöøõOÓÖØÕdđðDĐtŧTŦnŋNŊsšSŠzžZŽcčCČuüUÜ"
    assert list(alike(Identifier(letter, letter) for letter in letters)) == []
