"""Everything that an area is called can be found."""

import pytest

from gateway.election.names import NO_NAMES, all_names


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
