"""What readers of a mirror have: each file, route and copy is kept once, however many readers share it."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from bench.load.polling_messages import Copies
from gateway.client.mirror_files import take_file
from gateway.client.updates import Areas
from gateway.mirror.encoding import uncompressed
from gateway.wire.mirror import LIVE_READ_MAX, Live, MalformedMirror, Position, decode_live, route

FILE_MAX = 64 << 20
FAULTS_MAX = 20

Copy = Mapping[str, bytes]


class CopyStore:
    """Copies by profile and sequence. Invariant: readers that have the same sequence have the same copy."""

    def __init__(self) -> None:
        self._lives: dict[bytes, Live] = {}
        self._routes: dict[tuple[int, str, Position | None], Sequence[str]] = {}
        self._files: dict[str, bytes] = {}
        self._copies: dict[tuple[str, int], Copy] = {}
        self._moves: set[tuple[str, int, int, Sequence[str]]] = set()
        self.published_s: dict[int, float] = {}
        """When the newest publication of each sequence was published, in seconds since 1970."""
        self.faults: dict[str, None] = {}

    def live(self, body: bytes) -> Live:
        """Return a `live.json`, which is decoded once."""
        live = self._lives.get(body)
        if live is None:
            live = self._lives[body] = decode_live(uncompressed(body, LIVE_READ_MAX) or b"")
            if live.published_at is not None:
                self.published_s[live.sequence] = live.published_at.timestamp()
        return live

    def route(self, live: Live, profile: str, position: Position | None) -> Sequence[str]:
        """Return the files that a reader applies; none if it has everything, or has to wait."""
        key = id(live), profile, position  # each is kept, so none has the identity of another
        found = self._routes.get(key)
        if found is None:
            way = route(live, profile, position)
            assert way is not None  # readers ignore a `live.json` that is older than what they have
            found = self._routes[key] = way.files
        return found

    def add_file(self, path: str, body: bytes) -> None:
        """Take a file as it was received; each reader has to be sent the same bytes."""
        known = self._files.setdefault(path, body)
        if known is not body and known != body:
            self._fault(f"{path}: two readers were sent different bytes")

    def move(self, profile: str, position: Position | None, target: Position, files: Sequence[str]) -> None:
        """Apply files to the copy at a position; the result has to be that of all other readers."""
        began = position.sequence if position is not None else -1
        key = profile, began, target.sequence, files
        if key in self._moves:
            return
        self._moves.add(key)
        copy = dict(self._copies.get((profile, began), {}))
        try:
            for number, path in enumerate(files):
                snapshot = path.rpartition("/")[2].startswith("at_")
                areas = Areas(False, True, None)
                content = uncompressed(self._files[path], FILE_MAX)
                assert content is not None
                take_file(content, path, snapshot=snapshot, areas=areas)
                if snapshot and not number:
                    copy = {}
                copy |= areas.raw
        except MalformedMirror as error:
            self._fault(f"{path}: {error}")
            return
        self._keep(profile, target.sequence, copy)

    def stay(self, profile: str, position: Position, target: Position) -> None:
        """Note that nothing of a profile has changed up to another sequence."""
        self._keep(profile, target.sequence, self._copies.get((profile, position.sequence), {}))

    def _keep(self, profile: str, sequence: int, copy: Copy) -> None:
        known = self._copies.setdefault((profile, sequence), copy)
        if known is not copy and known != copy:
            self._fault(f"{profile}: readers have different copies at sequence {sequence}")

    def _fault(self, text: str) -> None:
        if len(self.faults) < FAULTS_MAX:
            self.faults[text] = None

    def all(self) -> list[Copies]:
        """Return every state that readers had."""
        return [
            Copies(profile, sequence, digest_of(copy.values()))
            for (profile, sequence), copy in self._copies.items()
        ]


def digest_of(documents: Iterable[bytes]) -> str:
    """Return the digest of the documents of a profile, in its order."""
    digest = hashlib.sha256()
    for each in documents:
        digest.update(each + b"\n")
    return digest.hexdigest()
