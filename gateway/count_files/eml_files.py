"""PURE: counts as EML 510 (`.xml`): each unit with votes is a report, with its revision."""

import re
from collections.abc import Iterator

import orjson

from gateway.count_files.messages import Message, Place, said
from gateway.count_files.mistakes import KnownTexts, checked
from gateway.count_files.parts import BadCountFile, MistakeList, Part
from gateway.election.registry import Registry
from gateway.errors import MalformedDocument
from gateway.wire.eml_reading import CHUNK, EmlReader
from gateway.wire.eml_units import EmlReport

_AT = re.compile(r"line (\d+), (.*)", re.DOTALL)


def read_eml_file(
    name: str, content: bytes, registry: Registry | None, mistakes: MistakeList, known: KnownTexts
) -> Iterator[Part]:
    """Yield the reports of a document, and add what is wrong with others to the mistakes.

    Raises BadCountFile if it is not EML 510 as expected, or if there is no registry, and TooManyMistakes.
    """
    if registry is None:
        raise BadCountFile([said("eml_without_registry", Place(name))])
    try:
        with EmlReader(registry) as reader:
            for start in range(0, len(content), CHUNK):
                reader.feed(content[start : start + CHUNK])
                yield from _parts(name, reader, mistakes, known)
            reader.close()
    except MalformedDocument as error:
        raise BadCountFile([_bad_eml(name, str(error))]) from None
    yield from _parts(name, reader, mistakes, known)


def _parts(name: str, reader: EmlReader, mistakes: MistakeList, known: KnownTexts) -> Iterator[Part]:
    """Yield the reports that were read since the last call."""
    for report in reader.reports:
        yield from _part(name, report, mistakes, known)
    reader.reports.clear()


def _part(name: str, report: EmlReport, mistakes: MistakeList, known: KnownTexts) -> Iterator[Part]:
    where = Place(name, report.place.line)
    for each in report.problems:
        unit = report.unit
        message = said(
            "eml_mistake", where, unit=unit, name=known.name(unit), path=each.path, reason=each.detail
        )
        mistakes.add(message)
    if not report.problems:
        places: dict[str, Place] = {}
        for (category, _, _), place in report.places.items():
            places.setdefault(category, Place(name, place.line))
        part = Part(name, where, orjson.loads(report.body), places)
        yield from checked(part, report.body, mistakes, known)


def _bad_eml(name: str, text: str) -> Message:
    """Return the message for a document that cannot be read, in the line that its text begins with."""
    found = _AT.fullmatch(text)
    if found is None:
        return said("bad_eml", Place(name), reason=text)
    return said("bad_eml", Place(name, int(found[1])), reason=found[2])
