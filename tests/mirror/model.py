"""A small record as the stream of a gateway would send it, and a reader of a mirror's files: models for tests."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from gateway.client.subscriber import Block
from gateway.election.registry import Registry
from gateway.election.registry_reading import read_registry
from gateway.wire.mirror import Live, Position, Route, decode_live, live_path, route

BEGAN = datetime(2025, 9, 8, 19, tzinfo=UTC)


def a_registry(counties: Sequence[Sequence[int]] = ((2, 1), (1,), (3, 1, 2)), **election: Any) -> Registry:
    """Return a registry: for each county, for each of its municipalities, how many units it has."""
    areas: list[dict[str, Any]] = [{"id": "no", "name": "Norge", "level": "country"}]
    for number, municipalities in enumerate(counties, 1):
        county = f"{number:02}"
        areas.append({"id": county, "name": county, "level": "county", "parent": "no"})
        for place, units in enumerate(municipalities, 1):
            municipality = f"{county}{place:02}"
            areas.append(
                {"id": municipality, "name": municipality, "level": "municipality", "parent": county}
            )
            areas += [
                {
                    "id": f"{municipality}-{unit:04}",
                    "name": str(unit),
                    "level": "precinct",
                    "parent": municipality,
                    "eligible": 100,
                    "parties": ["A"],
                }
                for unit in range(1, units + 1)
            ]
    header = {
        "id": "no-test",
        "name": "Test",
        "publish_from": BEGAN.isoformat(),
        "categories": ["all"],
        **election,
    }
    document = {"format": "election-registry/1", "election": header, "areas": areas}
    return read_registry({**document, "parties": [{"code": "A", "name": "A"}]})


class RecordModel:
    """A record: publications change a unit and all areas above it."""

    def __init__(self, registry: Registry, salt: str = "", change: Mapping[str, int] | None = None) -> None:
        self.registry = registry
        self.sequence = 0
        self.holds = 0
        self.chain = bytes(32)
        self._salt = salt
        compared = {"change": dict(change)} if change is not None else {}
        self._values: dict[str, dict[str, Any]] = {
            area.id: {"area": area.id, "sequence": 0, "votes": 0, **compared} for area in registry.areas
        }
        self._at = {0: self.documents()}
        self.cursors = {self.cursor}
        """All cursors of the record."""
        self.chains = {0: self.chain.hex()}
        """The chain after each publication."""

    def publish(self, unit: str, votes: int = 1) -> None:
        """Publish a report of a unit."""
        self.sequence += 1
        self.chain = hashlib.sha256(self.chain + f"{self._salt}{unit}{votes}".encode()).digest()
        area = self.registry.by_id[unit]
        for index in (area.index, *area.path):
            value = self._values[self.registry.areas[index].id]
            self._values[self.registry.areas[index].id] = {
                **value,
                "sequence": self.sequence,
                "votes": int(value["votes"]) + votes,
            }
        self._at[self.sequence] = self.documents()
        self.cursors.add(self.cursor)
        self.chains[self.sequence] = self.chain.hex()

    def documents(self) -> dict[str, bytes]:
        """Return the documents of all areas now."""
        return {name: orjson.dumps(value) for name, value in self._values.items()}

    def documents_at(self, sequence: int) -> dict[str, bytes]:
        """Return the documents of all areas after a publication."""
        return self._at[sequence]

    @property
    def cursor(self) -> str:
        """The cursor of the end of the record."""
        return f"{self.sequence}-{self.chain.hex()[:8]}"

    def block(self, since: int | None = None) -> Block:
        """Return the block of all areas that changed after a sequence; without one, a snapshot."""
        now = self.documents()
        before = self._at[since] if since is not None else {}
        return Block(
            self.cursor,
            self.sequence,
            self.chain.hex(),
            BEGAN + timedelta(seconds=self.sequence) if self.sequence else None,
            since is None,
            BEGAN + timedelta(hours=1, seconds=self.sequence),
            holds=self.holds,
            raw={name: raw for name, raw in now.items() if before.get(name) != raw},
        )


class WrongFile(AssertionError):
    """A file of a mirror that is missing, or is not what its name and `live.json` say."""


class FileReader:
    """Follows one profile by the files of a mirror. It never goes back within a history."""

    def __init__(
        self,
        election: str,
        profile: str,
        read: Callable[[str], bytes | None],
        position: Position | None = None,
        copy: Mapping[str, bytes] | None = None,
    ) -> None:
        self.profile = profile
        self.position = position
        self.copy = dict(copy or {})
        self.chain = ""
        self.requests = 0
        """Files of the last route, and `live.json`."""
        self._election = election
        self._read = read

    def live(self) -> Live | None:
        """Read `live.json`."""
        content = self._read(live_path(self._election))
        return decode_live(content) if content is not None else None

    def follow(self, live: Live) -> bool:
        """Apply what `live` names; return whether the copy is that of its sequence now."""
        found = route(live, self.profile, self.position)
        if found is None:
            return False
        self._apply(found, live)
        self.position = Position(live.sequence, live.cursor, live.history)
        self.chain = live.chain
        return True

    def _apply(self, found: Route, live: Live) -> None:
        self.requests = 1 + len(found.files)
        for place, path in enumerate(found.files):
            content = self._read(path)
            if content is None:
                raise WrongFile(f"{path} is missing")
            areas, block = read_file(path, content)
            if block["snapshot"] != (found.snapshot and not place):
                raise WrongFile(f"{path}: snapshot is {block['snapshot']}")
            if block["snapshot"]:
                self.copy = areas
            else:
                self.copy |= areas
        if found.files and block["sequence"] != live.profiles[self.profile].at:
            raise WrongFile(f"{path} leads to {block['sequence']}")


def read_file(path: str, content: bytes) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Return the areas and the block of a snapshot or delta. Raises WrongFile."""
    *lines, last, rest = content.split(b"\n")
    block = orjson.loads(last)
    if rest or block["areas"] != len(lines):
        raise WrongFile(f"{path} is incomplete")
    areas = {orjson.loads(line)["area"]: line for line in lines}
    name = path.rpartition("/")[2].removesuffix(".ndjson").replace("at_", "")
    if block["sequence"] != int(name.rpartition("_")[2]):
        raise WrongFile(f"{path} ends at {block['sequence']}")
    return areas, block
