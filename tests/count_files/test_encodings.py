"""The encodings of tables that spreadsheets save, and those that cannot be decided."""

import pytest

from gateway.count_files.encodings import decode_table
from gateway.count_files.parts import BadCountFile
from tests.count_files.tables import documents, grid, mistakes, notes, row, text_of

TEXT = text_of(grid(row(RØD=0), row("0301-0002")))
CODECS = {
    "utf-8": None,
    "utf-8-sig": None,
    "cp1252": "t.csv: read as Windows-1252",
    "utf-16": "t.csv: read as UTF-16",
    "utf-16-le": "t.csv: read as UTF-16",
    "utf-16-be": "t.csv: read as UTF-16",
}


@pytest.mark.parametrize("codec", CODECS)
def test_a_table_is_read_in_the_encodings_of_spreadsheets_and_the_note_says_which(codec: str) -> None:
    content = TEXT.encode(codec)
    assert documents("t.csv", content) == documents("t.csv", TEXT.encode())
    assert notes("t.csv", content) == ((CODECS[codec],) if CODECS[codec] else ())
    if codec.startswith("utf-16-"):
        marked = ("\ufeff" + TEXT).encode(codec)
        assert documents("t.csv", marked) == documents("t.csv", content)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("text", ["unit;RØD\r\n", "RØD", "unit", "krets\n0301\n", "Å\tÆØ"])
def test_short_texts_are_decoded_too(codec: str, text: str) -> None:
    """Such as a header alone, or one column."""
    assert decode_table("t.csv", text.encode(codec))[0] == text


@pytest.mark.parametrize(
    "content",
    [
        "forhånd;RØD".encode("mac_roman"),
        "RØST;Værøy".encode("cp865"),
        "Værøy".encode("cp850"),
        "čáhppes".encode("iso8859_4") + "å".encode("mac_roman"),
        "Høyre;".encode() + "Rødt".encode("cp1252"),
        "Rødt".encode()[:-3],
        b"\xef\xbb\xbfR\xd8D",
        b"unit\x81",
    ],
)
def test_an_encoding_that_cannot_be_decided_is_refused_by_line(content: bytes) -> None:
    (text,) = mistakes("t.csv", b"unit\n" + content if not content.startswith(b"\xef") else content)
    assert text.startswith("t.csv, line 1: " if content.startswith(b"\xef") else "t.csv, line 2: ")
    assert "not UTF-8; save the file as UTF-8" in text


def test_signs_of_windows_1252_are_read_where_they_cannot_be_letters() -> None:
    """An apostrophe between digits, a no-break space, Sámi letters beside letters of Windows-1252."""
    for text in ("1’234;Å", "1\xa0234", "Kárášjohka", "«Rødt»", "valg – 2025; é"):
        assert decode_table("t.csv", text.encode("cp1252"))[0] == text


@pytest.mark.parametrize(
    "content", [b"\xff\xfea", b"\xff\xfe\x00\xd8a\x00", b"\xff\xfe\x00\x00u\x00\x00\x00"]
)
def test_damaged_utf_16_and_utf_32_are_refused(content: bytes) -> None:
    (text,) = mistakes("t.csv", content)
    assert "UTF-16" in text or "UTF-32" in text


def test_a_text_with_zero_bytes_is_not_taken_for_utf_16() -> None:
    """UTF-16 without a byte order mark is recognised only if all of it is Latin."""
    for content in (b"unit\x00", b"a\x00\x00b", "уник".encode("utf-16-le") + b"a\x00"):
        with pytest.raises(BadCountFile):
            documents("t.csv", content)
