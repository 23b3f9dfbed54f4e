"""Tokens and passwords are read as editors and shells write them, and no message quotes one."""

import codecs
from pathlib import Path

import pytest

from gateway.commands.arguments import read_token
from gateway.secret_files import SECRET_MAX, read_secret, trimmed_token

TOKEN = "vgn_Tm9ib2R5-Y2FuX3JlYWQ_dGhpcw"


@pytest.mark.parametrize(
    "content",
    [
        TOKEN.encode(),
        f"{TOKEN}\n".encode(),
        f" \t{TOKEN}\r\n\r\n".encode(),
        f"{TOKEN}\r".encode(),
        codecs.BOM_UTF8 + f"{TOKEN}\r\n".encode(),
        f"\n\ufeff{TOKEN}\ufeff\n".encode(),
        f"\u00a0{TOKEN}\u2003".encode(),
        codecs.BOM_UTF16_LE + f"{TOKEN}\r\n".encode("utf-16-le"),
        codecs.BOM_UTF16_BE + f"{TOKEN}\r\n".encode("utf-16-be"),
    ],
)
def test_white_space_and_byte_order_marks_around_a_token_are_left_out(content: bytes, tmp_path: Path) -> None:
    """From a file in UTF-8 or in PowerShell's UTF-16, and from the environment."""
    file = tmp_path / "token"
    file.write_bytes(content)
    assert trimmed_token(read_secret(file)) == TOKEN
    assert read_token(file) == (TOKEN, "")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", " ", "\ufeff"])
def test_a_token_of_the_environment_is_trimmed_likewise(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VALGNATT_TOKEN", f"{end}{TOKEN}{end}")
    assert read_token(None) == (TOKEN, "")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (f"{TOKEN[:11]}\u200b{TOKEN[11:]}", "character 12 is U+200B"),
        (f'"{TOKEN}"', "character 1 is U+0022"),
        (f" {TOKEN[:3]}\x00{TOKEN[3:]}", "character 4 is U+0000"),
        (f"{TOKEN}\udcff", f"character {len(TOKEN) + 1} is U+DCFF"),
        (f"{TOKEN[:4]}\u0421{TOKEN[5:]}", "character 5 is U+0421"),
    ],
)
def test_a_character_that_no_token_contains_is_named_without_the_token(
    text: str, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command gives this as the reason why it has no token."""
    with pytest.raises(ValueError, match=named.replace("+", r"\+")):
        trimmed_token(text)
    monkeypatch.setattr("os.environ", {"VALGNATT_TOKEN": text})
    assert read_token(None) == ("", f"VALGNATT_TOKEN: {named}, which no token contains")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"{TOKEN}\n{TOKEN}\n", "2 lines, where a token is one"),
        (f"VALGNATT_TOKEN={TOKEN}", "character 15 is =, which a token contains only at its end"),
    ],
)
def test_a_token_that_was_copied_with_more_is_described(text: str, words: str) -> None:
    """Several lines, or the line that sets the variable."""
    with pytest.raises(ValueError, match=words):
        trimmed_token(text)
    assert trimmed_token(f"{TOKEN}==") == f"{TOKEN}=="


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xfe\x00", "not UTF-16"),
        (b"vgn_\xe5", "not UTF-8"),
        (b"x" * (SECRET_MAX + 1), f"longer than {SECRET_MAX} bytes"),
    ],
)
def test_a_file_that_cannot_contain_a_secret_is_described(content: bytes, words: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=words):
        read_secret(file)
