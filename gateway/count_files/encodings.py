"""PURE: the text of a table, from the bytes that a spreadsheet saved.

UTF-8, UTF-16 and Windows-1252 are recognised. Where a file could be in another encoding as well, it is refused: a party
could otherwise get the figures of another one.
"""

import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE
from collections.abc import Iterable, Sequence

from gateway.count_files.messages import Message, Place, said
from gateway.count_files.parts import BadCountFile

_UTF_16, _UTF_32 = (BOM_UTF16_LE, BOM_UTF16_BE), (BOM_UTF32_LE, BOM_UTF32_BE)
_SEQUENCE = rb"[\xc3-\xdf][\x80-\xbf]|[\xe1-\xef][\x80-\xbf]{2}"
"""A letter in UTF-8 beyond ASCII; in Windows-1252 it would be a letter and a sign, such as `Ã¸`."""
_LETTERS = frozenset({*range(0xC0, 0xFF)} - {0xC2, 0xC3, 0xD7, 0xF7})
"""Letters of Windows-1252 that the old encodings of DOS and Mac OS do not have at the same place as Nordic letters.

Without Â and Ã, which begin the most frequent letters of UTF-8.
"""
_SIGNS = frozenset({0x85, *range(0x91, 0x98)})
"""Quotation marks and dashes; next to a letter they could be letters of another encoding (`æ` is 0x91 in DOS)."""
_HACEK = frozenset({0x8A, 0x8E, 0x9A, 0x9E})
"""Š, Ž, š and ž, which are other letters in Mac OS; accepted if the file also has letters only of Windows-1252."""
_DECIDED = frozenset({*range(0x80), *_LETTERS, 0xA0, 0xAB, 0xBB})


def _any_of(values: Iterable[int]) -> bytes:
    return b"[%s]" % b"".join(b"\\x%02x" % value for value in sorted(values))


def _undecided(decided: frozenset[int]) -> re.Pattern[bytes]:
    other, sign, letter = _any_of({*range(256)} - decided - _SIGNS), _any_of(_SIGNS), rb"[A-Za-z\x80-\xff]"
    return re.compile(
        b"|".join((_SEQUENCE, other, b"(?<=%s)%s" % (letter, sign), b"%s(?=%s)" % (sign, letter)))
    )


_UNDECIDED = _undecided(_DECIDED)
_UNDECIDED_BESIDE_LETTERS = _undecided(_DECIDED | _HACEK)
_LAST_LATIN = "\u024f"
_TYPOGRAPHIC = ("\u2010", "\u202f")


def decode_table(name: str, content: bytes) -> tuple[str, Sequence[Message]]:
    """Return the text of a table, and a note with its encoding if that is not UTF-8.

    Raises BadCountFile, with the line, if the encoding is not one of those above, or cannot be decided.
    """
    if content.startswith(_UTF_32):
        raise BadCountFile([said("utf_32", Place(name, 1))])
    if content.startswith(_UTF_16):
        return _utf_16(name, content, "utf-16")
    if b"\0" in content:
        for codec in ("utf-16-le", "utf-16-be"):
            if _looks_latin(content, codec):
                return _utf_16(name, content, codec)
    try:
        return content.removeprefix(BOM_UTF8).decode("utf-8"), ()
    except UnicodeDecodeError as error:
        if content.startswith(BOM_UTF8):
            raise BadCountFile([_not_utf_8(name, content, error.start)]) from None
    undecided = _first_undecided(content)
    if undecided is not None:
        raise BadCountFile([_not_utf_8(name, content, undecided)])
    return content.decode("cp1252"), (said("read_as", Place(name), encoding="Windows-1252"),)


def as_utf_8(name: str, content: bytes) -> bytes:
    """Return a file in UTF-8 without its byte order mark. Raises BadCountFile, with the line, if it is not UTF-8."""
    content = content.removeprefix(BOM_UTF8)
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadCountFile([_not_utf_8(name, content, error.start)]) from None
    return content


def _not_utf_8(name: str, content: bytes, at: int) -> Message:
    where = Place(name, content.count(b"\n", 0, at) + 1)
    return said("utf_16" if content.startswith(_UTF_16) else "not_utf_8", where)


def _utf_16(name: str, content: bytes, codec: str) -> tuple[str, Sequence[Message]]:
    try:
        return content.decode(codec), (said("read_as", Place(name), encoding="UTF-16"),)
    except UnicodeDecodeError as error:
        before = content[: error.start - error.start % 2].decode(codec, "replace")
        line = before.count("\n") + 1
        raise BadCountFile([said("damaged_utf_16", Place(name, line))]) from None


def _looks_latin(content: bytes, codec: str) -> bool:
    """Return whether a file without a byte order mark is a Latin text in this kind of UTF-16."""
    try:
        text = content.decode(codec)
    except UnicodeDecodeError:
        return False
    return all("\0" < each <= _LAST_LATIN or _TYPOGRAPHIC[0] <= each <= _TYPOGRAPHIC[1] for each in set(text))


def _first_undecided(content: bytes) -> int | None:
    """Return the offset of the first byte that might not be Windows-1252, or None if there is none."""
    found = (_UNDECIDED_BESIDE_LETTERS if _LETTERS & {*content} else _UNDECIDED).search(content)
    return found.start() if found is not None else None
