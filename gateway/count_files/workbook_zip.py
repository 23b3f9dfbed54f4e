"""PURE: unpack the parts of a workbook from its zip file, within bounds.

The sizes in the directory are checked first, and then the bytes actually unpacked, since the directory may be wrong.
"""

import zipfile
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from xml.parsers import expat

import msgspec

ZIP_MARK = b"PK\x03\x04"
"""How a workbook begins, as every zip file with content does."""
ENTRIES_MAX = 2000
"""Entries of the zip file; a workbook has a few per sheet."""
_CHUNK = 1 << 16
_TOKEN_MAX = 1 << 18
"""Bytes of one tag or comment; some versions of expat parse an incomplete one again with every piece that arrives."""
_NAMES_MAX = 1000
"""Different elements, or attributes, of one part; ECMA-376 has about a hundred for a sheet."""
_DEPTH_MAX = 64
"""Elements within one another."""
_ENTRY_MARK = b"PK\x01\x02"
_ENCRYPTED = 0x1
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class Bounds(msgspec.Struct, frozen=True):
    """How much is read of one workbook, in all its parts together."""

    unpacked_max: int = 128 << 20
    """Bytes; a sheet with a million rows that have a format and no content takes 80 MB."""
    elements_max: int = 4_000_000
    """XML elements; a cell takes two."""


class BadWorkbook(Exception):
    """A file that is not a workbook that can be read; the message is a clause without the name of the file."""


class WorkbookParts:
    """The parts of a workbook. Invariant: no more is unpacked in all than the bounds allow."""

    def __init__(self, content: bytes, bounds: Bounds) -> None:
        """Raise BadWorkbook if this is no zip file, or its directory exceeds the bounds."""
        self._left = bounds.unpacked_max
        self._elements_left = bounds.elements_max
        self._bounds = bounds
        if content.count(_ENTRY_MARK) > ENTRIES_MAX:
            raise BadWorkbook(f"contains more than {ENTRIES_MAX} files")
        try:
            self._archive = zipfile.ZipFile(BytesIO(content))
        except (zipfile.BadZipFile, ValueError, OverflowError, NotImplementedError):
            raise BadWorkbook("damaged, or not an Excel workbook (.xlsx)") from None
        entries = self._archive.infolist()
        self._entries = {entry.filename.lower(): entry for entry in entries}
        if len(self._entries) < len(entries):
            raise BadWorkbook("damaged: two of its parts have the same name")
        if any(entry.flag_bits & _ENCRYPTED or entry.compress_type not in _METHODS for entry in entries):
            raise BadWorkbook("protected with a password, or packed in an unknown way")
        if sum(entry.file_size for entry in entries) > bounds.unpacked_max:
            raise self._too_large()

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._entries

    def parse(
        self,
        name: str,
        start: Callable[[str, dict[str, str]], None],
        end: Callable[[str], None] | None = None,
        text: Callable[[str], None] | None = None,
    ) -> None:
        """Call functions for the elements of a part, by their local names. Raises BadWorkbook.

        Elements outside the namespaces of workbooks are left out. A part with a document type is refused, so that no
        entity is ever expanded.
        """
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        names = _LocalNames()
        attribute_names: set[str] = set()
        depth = 0

        def started(qualified: str, attributes: dict[str, str]) -> None:
            nonlocal depth
            depth += 1
            self._count_element()
            if not attributes.keys() <= attribute_names:
                attribute_names.update(attributes)
            if depth > _DEPTH_MAX or len(attribute_names) > _NAMES_MAX:
                raise BadWorkbook("not as a spreadsheet writes it: too many different or nested elements")
            if name := names[qualified]:
                start(name, attributes)

        def ended(qualified: str) -> None:
            nonlocal depth
            depth -= 1
            if end is not None and (name := names[qualified]):
                end(name)

        parser.StartElementHandler, parser.EndElementHandler = started, ended
        parser.CharacterDataHandler = text
        parser.StartDoctypeDeclHandler = _refuse_document_type
        try:
            fed = 0
            for chunk in self._chunks(name):
                parser.Parse(chunk, False)
                fed += len(chunk)
                if fed - parser.CurrentByteIndex > _TOKEN_MAX:
                    raise BadWorkbook(f"damaged: a tag in {name} is too long")
            parser.Parse(b"", True)
        except expat.ExpatError as error:
            raise BadWorkbook(f"damaged: {name} cannot be read ({expat.ErrorString(error.code)})") from None

    def _count_element(self) -> None:
        self._elements_left -= 1
        if self._elements_left < 0:
            raise BadWorkbook(
                f"contains more than {self._bounds.elements_max} cells and other elements; delete what is not needed,"
                " or save the table as CSV UTF-8"
            )

    def _chunks(self, name: str) -> Iterator[bytes]:
        entry = self._entries.get(name.lower())
        if entry is None:
            raise BadWorkbook(f"damaged: it has no part {name}")
        try:
            with self._archive.open(entry) as part:
                while chunk := part.read(min(_CHUNK, self._left + 1)):
                    self._left -= len(chunk)
                    if self._left < 0:
                        raise self._too_large()
                    yield chunk
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError):
            raise BadWorkbook(f"damaged: {name} cannot be unpacked") from None

    def _too_large(self) -> BadWorkbook:
        return BadWorkbook(
            f"larger than {self._bounds.unpacked_max >> 20} MiB when it is unpacked; delete what is not needed, or save"
            " the table as CSV UTF-8"
        )


_MAIN = (
    "http://schemas.openxmlformats.org/spreadsheetml/2006/main",
    "http://purl.oclc.org/ooxml/spreadsheetml/main",
)
_PACKAGE = ("http://schemas.openxmlformats.org/package/2006/relationships",)
_NAMESPACES = frozenset({*_MAIN, *_PACKAGE})


class _LocalNames(dict[str, str]):
    """The local names of elements by their qualified ones; empty outside the namespaces of workbooks."""

    def __missing__(self, qualified: str) -> str:
        namespace, _, name = qualified.rpartition(" ")
        if len(self) > _NAMES_MAX:
            raise BadWorkbook("not as a spreadsheet writes it: too many different or nested elements")
        self[qualified] = found = name if namespace in _NAMESPACES else ""
        return found


def _refuse_document_type(*_: object) -> None:
    raise BadWorkbook("contains a document type, which no spreadsheet writes")
