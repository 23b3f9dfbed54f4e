"""Everything that an area is called can be found."""

import pytest

from gateway.election.names import NO_NAMES, all_names, name_in


@pytest.mark.parametrize(
    ("name", "names", "found"),
    [
        ("Oslo", NO_NAMES, ("Oslo",)),
        ("Oslo", {"nb": "Oslo", "se": "Oslove"}, ("Oslo", "Oslove")),
        (
            "Kárášjohka - Karasjok",
            {"fi": "Kaarasjoki"},
            ("Kárášjohka - Karasjok", "Kaarasjoki", "Kárášjohka", "Karasjok"),
        ),
        (
            "Porsanger - Porsáŋgu - Porsanki",
            {"nb": "Porsanger"},
            ("Porsanger - Porsáŋgu - Porsanki", "Porsanger", "Porsáŋgu", "Porsanki"),
        ),
        ("Nord-Fron", NO_NAMES, ("Nord-Fron",)),
        (" - ", NO_NAMES, (" - ", "-")),
    ],
)
def test_all_names_are_the_name_those_by_language_and_the_parts_of_each(
    name: str, names: dict[str, str], found: tuple[str, ...]
) -> None:
    """Each once. A hyphen within a word is no separator."""
    assert all_names(name, names) == found


@pytest.mark.parametrize(
    ("language", "found"),
    [
        ("nn", "Valet"), ("NN-no", "Valet"), ("en-GB", "The vote"), ("en-US-x-y", "The election"),
        ("", "Valg"), ("se", "Valg"), ("-", "Valg"), ("n", "Valg"), ("__class__", "Valg"), ("x" * 10_000, "Valg"),
    ],
)  # fmt: skip
def test_a_name_is_in_the_nearest_language_or_else_the_one_that_everything_has(
    language: str, found: str
) -> None:
    assert name_in(language, "Valg", {"nn": "Valet", "en": "The election", "en-GB": "The vote"}) == found
