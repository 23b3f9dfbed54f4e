"""PURE: names by language, in addition to `name`.

A registry names its election, areas and parties with `name`, and may add `names`: an object of names by language tag
(BCP 47). Independent of areas and parties.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

LANGUAGES_MAX = 16
"""Names by language of one area, party or election."""
NAME_MAX = 200
"""Characters of a name in a language."""
TAG_MAX = 35
"""Characters of a language tag. Source: RFC 5646, section 4.4.1."""
NO_NAMES: Final[Mapping[str, str]] = MappingProxyType({})

_TAG = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
_SEPARATOR = re.compile(r"\s+[-–—/]\s+")
"""Between the names of a place with several official ones, as `Kárášjohka - Karasjok`."""


def find_problems(names: object) -> Iterator[tuple[str, str]]:
    """Yield the problems of the member `names`, each with its path below the object that contains it."""
    if not isinstance(names, dict):
        yield ".names", "expected an object of names by language tag"
        return
    if len(names) > LANGUAGES_MAX:
        yield ".names", f"{len(names)} languages; at most {LANGUAGES_MAX} are allowed"
        return
    seen: dict[str, str] = {}
    for tag, name in names.items():
        if not _is_tag(tag):
            yield (
                ".names",
                f"{tag[: TAG_MAX + 1]!r} is not a language tag (BCP 47), such as 'nb', 'nn', 'se' or 'en'",
            )
        elif (earlier := seen.setdefault(tag.lower(), tag)) != tag:
            yield f".names.{tag}", f"{earlier} is the same language"
        elif not _is_name(name):
            yield f".names.{tag}", f"expected 1 to {NAME_MAX} characters"


def read_names(names: object) -> Mapping[str, str]:
    """Return the valid names of the member `names` by tag, without invalid ones; empty if it is missing."""
    if not isinstance(names, dict) or not 0 < len(names) <= LANGUAGES_MAX:
        return NO_NAMES
    return {tag: name for tag, name in names.items() if _is_tag(tag) and _is_name(name)}


def all_names(name: str, names: Mapping[str, str]) -> tuple[str, ...]:
    """Return all names of something: its name, its names by language, and the parts of each, without repetitions.

    `Kárášjohka - Karasjok` has the names `Kárášjohka - Karasjok`, `Kárášjohka` and `Karasjok`.
    """
    whole = tuple(dict.fromkeys((name, *names.values())))
    return tuple(dict.fromkeys((*whole, *_parts(whole))))


def name_in(language: str, name: str, names: Mapping[str, str]) -> str:
    """Return the name in a language; where there is none, `name`. Source: RFC 4647, section 3.4, "Lookup".

    For `nn-NO`, that is the name in `nn-NO`, or else in `nn`.
    """
    by_tag = {tag.lower(): each for tag, each in names.items()}
    tag = language[:TAG_MAX].lower()
    while tag:
        if found := by_tag.get(tag):
            return found
        tag = tag.rpartition("-")[0]
    return name


def _parts(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        yield from filter(None, _SEPARATOR.split(name.strip()))


def _is_tag(tag: str) -> bool:
    return len(tag) <= TAG_MAX and _TAG.fullmatch(tag) is not None


def _is_name(name: object) -> bool:
    return isinstance(name, str) and len(name) <= NAME_MAX and bool(name.strip())
