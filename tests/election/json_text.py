"""JSON in any valid form: any white space, escapes, order and number format, and repeated members.

A value is a tree that preserves what a decoder loses: `Members` is a list of pairs, `Token` a number or word as
written.
"""

import json
from random import Random
from typing import Any

from hypothesis import strategies as st

_ESCAPED = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


class Token(str):
    """A number or a word, as written."""

    __slots__ = ()


class Members(list[tuple[str, Any]]):
    """An object whose members have an order and may be repeated."""

    __slots__ = ()


def tree_of(document: Any) -> Any:
    """Convert decoded JSON into a tree."""
    if isinstance(document, dict):
        return Members((name, tree_of(value)) for name, value in document.items())
    if isinstance(document, list):
        return [tree_of(value) for value in document]
    if isinstance(document, str):
        return document
    return Token(json.dumps(document))


def compactly(tree: Any) -> str:
    """Return a tree as JSON text without white space or unnecessary escapes."""
    return _Writer(None).text(tree)


def loosely(tree: Any, random: Random) -> str:
    """Return a tree as JSON text with white space and escapes anywhere, and members in any order."""
    return _Writer(random).text(tree)


writers = st.just(compactly) | st.integers(0, 2**64).map(
    lambda seed: lambda tree: loosely(tree, Random(seed))
)
"""Ways to write a tree. How a text is escaped is left to a seed: there is nothing in it to make smaller."""


class _Writer:
    def __init__(self, random: Random | None) -> None:
        self._random = random

    def text(self, tree: Any) -> str:
        if isinstance(tree, Members):
            members = [
                f"{self._space()}{self._quoted(name)}{self._space()}:{self.text(value)}"
                for name, value in self._ordered(tree)
            ]
            text = "{" + ",".join(members) + self._space() + "}"
        elif isinstance(tree, list):
            text = "[" + ",".join(self.text(value) for value in tree) + self._space() + "]"
        elif isinstance(tree, Token):
            text = str(tree)
        else:
            text = self._quoted(tree)
        return self._space() + text + self._space()

    def _ordered(self, tree: Members) -> list[tuple[str, Any]]:
        if self._random is None or len({name for name, _ in tree}) < len(tree):
            return tree  # the order of repeated members decides what a decoder keeps
        return self._random.sample(tree, len(tree))

    def _space(self) -> str:
        if self._random is None:
            return ""
        return "".join(self._random.choices(" \t\r\n", k=self._random.choice((0, 0, 0, 1, 3))))

    def _quoted(self, text: str) -> str:
        return '"' + "".join(map(self._character, text)) + '"'

    def _character(self, character: str) -> str:
        if self._random is not None and self._random.random() < 0.1:
            style = self._random.choice(("\\u{:04x}", "\\u{:04X}"))
            units = character.encode("utf-16-be")
            return "".join(style.format(int.from_bytes(units[at : at + 2])) for at in range(0, len(units), 2))
        if character == "/" and self._random is not None:
            return self._random.choice(("/", "\\/"))
        if character < " ":
            return _ESCAPED.get(character, f"\\u{ord(character):04x}")
        return _ESCAPED.get(character, character)
