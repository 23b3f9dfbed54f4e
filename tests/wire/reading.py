"""EML documents read to the end."""

from gateway.election.registry import Registry
from gateway.wire.eml_reading import CHUNK, EmlReader
from gateway.wire.eml_units import EmlReport


def read_eml(document: bytes, registry: Registry, chunk: int = CHUNK) -> list[EmlReport]:
    with EmlReader(registry) as reader:
        for start in range(0, len(document), chunk):
            reader.feed(document[start : start + chunk])
        reader.close()
    return reader.reports
