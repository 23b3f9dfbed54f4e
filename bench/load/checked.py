"""Reports as they are after the gateway has checked them, for what starts behind the push port."""

from collections.abc import Sequence
from typing import Any

from gateway.election.registry_reading import read_registry
from gateway.election.validation import Scope, Validator, ValidReport


class Checker:
    """Checks reports of a whole election."""

    def __init__(self, document: dict[str, Any]) -> None:
        registry = read_registry(document)
        self._validator = Validator(registry)
        self._scope = Scope(registry, frozenset({registry.root.id}))

    def check(self, body: bytes) -> ValidReport:
        """Check one report, which must be valid."""
        valid = self._validator.check(body, self._scope)
        assert isinstance(valid, ValidReport), f"the data set contains a report that is refused: {valid}"
        return valid

    def check_all(self, bodies: Sequence[bytes]) -> list[ValidReport]:
        """Check reports, which must be valid."""
        return [self.check(body) for body in bodies]

    def count_valid(self, bodies: Sequence[bytes]) -> int:
        """Return how many reports are valid."""
        check, scope = self._validator.check, self._scope
        return sum(isinstance(check(body, scope), ValidReport) for body in bodies)
