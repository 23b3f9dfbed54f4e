"""The directory of a mirror as readers see it, and a reader that checks every state."""

import gzip
import random
from pathlib import Path
from typing import Any

import orjson

from gateway.client.subscriber import Subscriber
from gateway.election.registry import Registry
from gateway.wire.mirror import Position
from tests.mirror.model import FileReader
from tests.night.sums import children_of, wrong_sums


class Folder:
    """The files of a mirror as a web server would send them, either of their two variants."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._random = random.Random(1)

    def read(self, path: str) -> bytes | None:
        """Return a file, from `.gz` or not at random."""
        try:
            if self._random.random() < 0.5:
                return gzip.decompress((self._root / f"{path}.gz").read_bytes())
            return (self._root / path).read_bytes()
        except FileNotFoundError:
            return None


class MirrorReader:
    """Follows one profile, and checks every state."""

    def __init__(self, folder: Folder, registry: Registry, profile: str) -> None:
        self.files = FileReader(registry.id, profile, folder.read)
        self.states = 0
        self.wrong: list[tuple[int, list[str]]] = []
        self.went_back: list[tuple[int, int]] = []
        self.sequence = 0
        self._children = children_of(registry.document)
        self._copy: dict[str, Any] = {}
        self._raw: dict[str, bytes] = {}

    @property
    def copy(self) -> dict[str, Any]:
        """The areas, with their values."""
        changed = {name: raw for name, raw in self.files.copy.items() if self._raw.get(name) is not raw}
        self._copy |= {name: orjson.loads(raw) for name, raw in changed.items()}
        self._raw |= changed
        return self._copy

    def look(self) -> bool:
        """Read what is new; return whether there was anything."""
        live = self.files.live()
        if live is None or not self.files.follow(live) or live.sequence == self.sequence:
            return False
        self.note(live.sequence)
        return True

    def note(self, sequence: int) -> None:
        """Check the copy as of a sequence."""
        if sequence < self.sequence:
            self.went_back.append((self.sequence, sequence))
        self.sequence = sequence
        self.states += 1
        copy = self.copy
        summed = [name for name in copy if all(child in copy for child in self._children.get(name, ()))]
        if wrong := wrong_sums(copy, self._children, summed):
            self.wrong.append((sequence, wrong))

    def take_over(self, subscriber: Subscriber) -> None:
        """Go on from what a reader of the stream has."""
        self.files.copy = {name: orjson.dumps(area) for name, area in subscriber.copy.items()}
        assert subscriber.cursor is not None
        self.files.position = Position(subscriber.sequence, subscriber.cursor)
        self.note(subscriber.sequence)
