"""Messages about files with counts: their codes, parameters and English sentences, and those of the pages."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import gateway
from gateway.count_files.message_texts import CLAUSES, MISTAKES, NOTES, TEXTS, VIOLATIONS, parameters_of
from gateway.count_files.messages import Column, Message, Place, parameters_as_json, said
from gateway.page_composition import FILE_TEXTS
from gateway.page_composition import TEXTS as LANGUAGES

SOURCES = Path(gateway.__file__).parent / "count_files"
CONTRACT = Path(gateway.__file__).parents[1] / "docs" / "contract.md"
OF_MESSAGE = {"where", "column", "unit", "name", "category", "path", "detail"}
WHOLE_REPORTS = {"rehearsal_mismatch", "report_too_large", "unit_forbidden", "malformed"}
"""Violations that no part of a file can have: they are answers of the push door."""
MADE_ELSEWHERE = {
    "commas",
    "semicolons",
    "tabs",
    "a_null",
    "a_boolean",
    "a_number",
    "a_text",
    "a_list",
    "an_object",
}
"""Codes in tables of the reading code."""


def sentences(tag: str) -> dict[str, set[str]]:
    """Return the parameters of each sentence of a language, by code."""
    source = (FILE_TEXTS / f"{tag}.js").read_text().partition("messages: {")[2]
    found = re.findall(r"^      (\w+): \((?:\{([^}]*)\})?\) =>", source, re.MULTILINE)
    return {
        code: {each.partition(":")[0].strip() for each in names.split(",") if each.strip()}
        for code, names in found
    }


@pytest.mark.parametrize("tag", sorted(path.stem for path in LANGUAGES.glob("*.js")))
def test_every_code_has_a_sentence_with_its_parameters_in_every_language(tag: str) -> None:
    """Sentences for violations need not repeat all of what English does."""
    of = sentences(tag)
    assert of.keys() == TEXTS.keys()
    for code in MISTAKES | NOTES | CLAUSES:
        assert of[code] == parameters_of(code), code
    for code in VIOLATIONS:
        assert of[code] <= parameters_of(code), code


def calls() -> Iterator[tuple[str, set[str]]]:
    """Yield the code and the parameters of each message that the reading code makes."""
    for path in SOURCES.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in (
                "said",
                "_of_cell",
                "Message",
            ):
                members = {each.arg or "": each.value for each in node.keywords}
                given = members.pop("parameters", None)
                names = {*members} - OF_MESSAGE
                if isinstance(given, ast.Dict):
                    names |= {each.value for each in given.keys if isinstance(each, ast.Constant)}
                for code in ast.walk(node.args[0]):
                    if isinstance(code, ast.Constant) and isinstance(code.value, str):
                        yield code.value, names


def test_the_reading_code_makes_messages_with_known_codes_and_all_their_parameters() -> None:
    made = list(calls())
    for code, parameters in made:
        assert code in TEXTS, code
        assert parameters == parameters_of(code), code
    by_constant = {code for code, _ in made}
    others = "".join(path.read_text() for path in SOURCES.glob("*.py") if path.name != "message_texts.py")
    named = {code for code in TEXTS if f'"{code}"' in others}
    assert by_constant | named | MADE_ELSEWHERE | VIOLATIONS.keys() == TEXTS.keys()


def test_every_violation_of_the_contract_that_a_file_can_have_is_known() -> None:
    (line,) = re.findall(r"Codes of violations: (.*?)\. Of refusals", CONTRACT.read_text())
    assert {*re.findall(r"`(\w+)`", line)} - WHOLE_REPORTS <= VIOLATIONS.keys()


def test_a_violation_of_a_newer_version_is_said_in_its_own_words() -> None:
    newer = said("rounded", Place("a.json", 3), path="$.counts", shown="x", closest=[], detail="not round")
    assert str(newer) == "a.json, line 3: $.counts: not round"
    assert parameters_as_json(newer) == {"shown": "x", "closest": []}


def test_parameters_become_json_with_clauses_and_places() -> None:
    message = Message(
        "figures_differ",
        Place("t.csv", 7),
        Column("A", "H"),
        parameters={"other": Place("t.csv", 2), "clauses": [said("contains", character="x")], "none": None},
    )
    assert parameters_as_json(message) == {
        "other": {"line": 2, "element": None},
        "clauses": [{"code": "contains", "parameters": {"character": "x"}}],
        "none": None,
    }


@pytest.mark.parametrize(
    ("place", "text"),
    [
        (Place("a.csv"), "a.csv"),
        (Place("a.csv", 3), "a.csv, line 3"),
        (Place("a.csv", 3, 3), "a.csv, line 3"),
        (Place("a.csv", 3, 5), "a.csv, lines 3 to 5"),
        (Place("a.json", 3, element=0), "a.json, line 3, element 0"),
    ],
)
def test_a_place_names_file_and_line(place: Place, text: str) -> None:
    assert str(place) == text
