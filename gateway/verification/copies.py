"""A signed record as it is read, from a feed door or from a copy on disk, through one interface.

A copy is a directory with the paths that the feed door has below an election (section 12.2 of the contract), so any
web server can serve its `log`:

    DIR/log/checkpoint              the newest checkpoint of the copy
    DIR/log/checkpoints.ndjson      every checkpoint known: size, root, signed_at, note
    DIR/log/registry                the registry, byte for byte
    DIR/log/tile/0/000              tiles of hashes; DIR/log/tile/0/001.p/7 while a tile is partial
    DIR/log/tile/entries/000        entry bundles; DIR/log/tile/entries/001.p/7 while a bundle is partial
    DIR/publications.ndjson         sequence, published_at, digest and chain of every publication, and `held`

Files are replaced as a whole, and lines are appended, so a copy can be continued after any interruption. Reading
verifies nothing: `record_checks.py` does. Knows nothing of HTTP (`feed_record.py`).
"""

import os
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec

from gateway.durable_files import sync_directory
from gateway.errors import text_of
from gateway.transparency.merkle import HASH_SIZE, SIZE_MAX
from gateway.transparency.note import NOTE_MAX
from gateway.transparency.tiles import BUNDLE_MAX, FULL, MalformedTile, Tile, bundles_of, decode_bundle
from gateway.verification.failures import NotThere, VerificationFailed
from gateway.wire.transfers import Moment

CHECKPOINT = "log/checkpoint"
CHECKPOINTS = "log/checkpoints.ndjson"
REGISTRY = "log/registry"
PUBLICATIONS = "publications.ndjson"

REGISTRY_MAX = 32 << 20
"""Bytes of a registry that are read; that of an election ten times Norway's takes 10 MB."""
TILE_MAX = FULL * HASH_SIZE
"""Bytes of a tile."""
LINE_MAX = 256 << 10
"""Bytes of a line of checkpoints or publications."""


class CheckpointLine(msgspec.Struct, frozen=True):
    """A checkpoint in `checkpoints.ndjson`; `root` is in base64, as in the note."""

    size: int
    root: str
    signed_at: Moment
    note: str


class PublicationLine(msgspec.Struct, frozen=True):
    """A publication in `publications.ndjson`, or from the feed door; a copy has no `report`, as its entries have it."""

    sequence: Annotated[int, msgspec.Meta(ge=1, le=SIZE_MAX)]
    published_at: Moment
    digest: str
    chain: str
    held: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """The JSON of `held`, of a report that was held."""
    report: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class ShownAreas(NamedTuple):
    """What the feed door shows at one sequence: the document of every area, as JSON, by identifier.

    Documents are parsed one at a time where they are compared, as parsed ones take many times the memory.
    """

    cursor: str
    sequence: int
    chain: str
    areas: Mapping[str, bytes]


_checkpoint_line = msgspec.json.Decoder(CheckpointLine)
_publication_line = msgspec.json.Decoder(PublicationLine)
_encoder = msgspec.json.Encoder(order="sorted")


def read_checkpoint_line(line: bytes, where: str) -> CheckpointLine:
    """Read a line of `checkpoints.ndjson`. Raises VerificationFailed (bad_signature)."""
    try:
        found = _checkpoint_line.decode(line)
    except (ValueError, RecursionError) as error:
        raise VerificationFailed("bad_signature", f"{where}: not a list of checkpoints: {error}") from None
    if found.note.split("\n", 3)[1:3] != [str(found.size), found.root]:
        raise VerificationFailed("bad_signature", f"{where}: size and root are not those of the note")
    return found


def read_publication_line(line: bytes, where: str) -> PublicationLine:
    """Read a line of publications. Raises VerificationFailed (chain_mismatch)."""
    try:
        return _publication_line.decode(line)
    except (ValueError, RecursionError) as error:
        raise VerificationFailed("chain_mismatch", f"{where}: not a list of publications: {error}") from None


def entries_of(content: bytes, width: int, where: str) -> list[bytes]:
    """Return the first `width` entries of a bundle, which has as many, or is full.

    Raises VerificationFailed (root_mismatch).
    """
    try:
        return decode_bundle(content, width)
    except MalformedTile as error:
        if width == FULL:
            raise VerificationFailed("root_mismatch", f"{where}: {error}") from None
        partial = error
    try:
        return decode_bundle(content, FULL)[:width]
    except MalformedTile:
        raise VerificationFailed("root_mismatch", f"{where}: {partial}") from None


class SignedRecord(ABC):
    """The signed record of one election, wherever it is read. Everything raises VerificationFailed.

    What cannot be read is `unreachable`, with where and why, and NotThere if it does not exist.
    """

    where: str
    """The URL or the directory, as it is named in messages."""
    is_door: bool
    """Whether it is read from a feed door, which also shows areas and holds, and whose checkpoints are to be fresh."""
    has_publications: bool
    """Whether there are publications; a copy by others may have entries alone."""
    shows_areas: bool
    """Whether it shows areas; where this is not a feed door, NotThere says that they cannot be compared now."""

    @abstractmethod
    async def checkpoint(self) -> bytes:
        """Return the newest checkpoint, a signed note."""

    @abstractmethod
    def checkpoints(self, after: int = 0) -> AsyncIterator[CheckpointLine]:
        """Yield every checkpoint above a size, in order."""

    @abstractmethod
    async def tile(self, level: int, index: int, width: int = FULL) -> bytes:
        """Return the first `width` hashes of a tile, 32 bytes each."""

    @abstractmethod
    async def bundle(self, index: int, width: int = FULL) -> bytes:
        """Return an entry bundle with `width` entries or, if there is no such partial bundle any more, the full one."""

    @abstractmethod
    async def registry(self) -> bytes:
        """Return the registry, byte for byte."""

    @abstractmethod
    def publications(self, after: int, last: int) -> AsyncIterator[list[PublicationLine]]:
        """Yield the publications after a sequence up to and with `last`, in order, many at a time; fewer if it ends."""

    async def document(self, path: str, most: int) -> bytes:  # noqa: ARG002
        """Return a document of the feed door, `/areas/0301` for example, of at most `most` bytes."""
        raise NotThere(f"{self.where}: a copy has no {path}")

    async def areas(self, levels: Sequence[str], since: ShownAreas | None = None) -> ShownAreas:  # noqa: ARG002
        """Return every area that a feed door shows, at one sequence; `since` is what was read before."""
        raise NotThere(f"{self.where}: a copy shows no areas")

    async def entries(self, size: int, after: int = 0) -> AsyncIterator[list[bytes]]:
        """Yield the entries from index `after` up to `size`, a bundle or the rest of one at a time."""
        for bundle in bundles_of(size, after):
            content = await self.bundle(bundle.index, bundle.width)
            found = entries_of(content, bundle.width, f"{self.where}/log/{bundle.path}")
            yield found[max(0, after - bundle.start) :]


class Copy(SignedRecord):
    """A copy in a directory, which it reads and writes; it is made when something is first written."""

    is_door = False
    shows_areas = False

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.where = str(directory)
        self.has_publications = (directory / PUBLICATIONS).exists()

    async def checkpoint(self) -> bytes:
        """Return the newest checkpoint of the copy."""
        return self.read(CHECKPOINT, NOTE_MAX)

    async def checkpoints(self, after: int = 0) -> AsyncIterator[CheckpointLine]:
        """Yield every checkpoint of the copy above a size."""
        for number, line in self._lines(CHECKPOINTS):
            found = read_checkpoint_line(line, f"{self.where}/{CHECKPOINTS}:{number}")
            if found.size > after:
                yield found

    async def tile(self, level: int, index: int, width: int = FULL) -> bytes:
        """Return the first `width` hashes of a tile, from the full one if there is no such partial one."""
        return self._tile(level, index, width, TILE_MAX)[: HASH_SIZE * width]

    async def bundle(self, index: int, width: int = FULL) -> bytes:
        """Return an entry bundle with `width` entries, or the full one."""
        return self._tile(None, index, width, BUNDLE_MAX)

    async def registry(self) -> bytes:
        """Return the registry."""
        return self.read(REGISTRY, REGISTRY_MAX)

    async def publications(self, after: int, last: int) -> AsyncIterator[list[PublicationLine]]:
        """Yield the publications of the copy."""
        found: list[PublicationLine] = []
        for number, line in self._lines(PUBLICATIONS):
            publication = read_publication_line(line, f"{self.where}/{PUBLICATIONS}:{number}")
            if after < publication.sequence <= last:
                found.append(publication)
            if len(found) >= FULL:
                yield found
                found = []
        if found:
            yield found

    def read(self, path: str, most: int) -> bytes:
        """Return a file of the copy. Raises VerificationFailed (unreachable), NotThere if there is no such file."""
        try:
            with (self.directory / path).open("rb") as file:
                content = file.read(most + 1)
        except (FileNotFoundError, NotADirectoryError):
            raise NotThere(f"{self.where}/{path}: no such file") from None
        except OSError as error:
            raise VerificationFailed("unreachable", f"{self.where}/{path}: {reason_of(error)}") from None
        if len(content) > most:
            text = f"{self.where}/{path}: larger than {most} bytes"
            raise VerificationFailed("unreachable", text)
        return content

    def write(self, path: str, content: bytes) -> None:
        """Replace a file as a whole: after a crash it is the earlier one or this one. Raises OSError."""
        write_atomically(self.directory / path, content)

    def append(self, path: str, lines: Iterable[CheckpointLine | PublicationLine]) -> None:
        """Append lines to a file, after removing one that was not written completely. Raises OSError."""
        content = b"".join(_encoder.encode(line) + b"\n" for line in lines)
        target = self.directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("a+b") as file:
            end = _end_of_lines(file.fileno(), file.seek(0, os.SEEK_END))
            file.truncate(end)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def _tile(self, level: int | None, index: int, width: int, most: int) -> bytes:
        try:
            return self.read(f"log/{Tile(level, index, width).path}", most)
        except NotThere:
            if width == FULL:
                raise
            partial = f"log/{Tile(level, index, width).path}"
        try:
            return self.read(f"log/{Tile(level, index).path}", most)
        except NotThere:
            raise NotThere(f"{self.where}/{partial}: no such file") from None

    def _lines(self, path: str) -> Iterator[tuple[int, bytes]]:
        """Yield number and text of every complete line of a file, none if there is no file."""
        try:
            with (self.directory / path).open("rb") as file:
                number = 0
                while (line := file.readline(LINE_MAX)).endswith(b"\n"):
                    number += 1
                    yield number, line
        except FileNotFoundError:
            return
        except OSError as error:
            raise VerificationFailed("unreachable", f"{self.where}/{path}: {reason_of(error)}") from None
        if len(line) == LINE_MAX:
            text = f"{self.where}/{path}:{number + 1}: a line of more than {LINE_MAX} bytes"
            raise VerificationFailed("unreachable", text)


def reason_of(error: OSError) -> str:
    """Return what the system says about a file, without its name."""
    return error.strerror or text_of(error)


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file by one with this content, on disk when this returns; make its directories. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def _end_of_lines(file: int, size: int) -> int:
    """Return where the last complete line of a file ends, in bytes from its start."""
    at = max(0, size - LINE_MAX)
    tail = os.pread(file, size - at, at)
    return at + tail.rfind(b"\n") + 1
