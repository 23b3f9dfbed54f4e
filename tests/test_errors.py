"""The list of errors: complete, with the right code for each."""

import importlib
import pkgutil
import re
from collections.abc import Iterator

import gateway
from gateway import errors
from gateway.errors import GatewayError

_LINE = re.compile(r" {4}[│├└─ ]*([A-Z]\w+) +([a-z_]+) .*?(retryable)?")


def subclasses(kind: type[GatewayError]) -> Iterator[type[GatewayError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from subclasses(each)


def test_all_errors_are_listed_with_their_codes() -> None:
    """In the docstring of errors.py, and none that no longer exists."""
    for module in pkgutil.walk_packages(gateway.__path__, "gateway."):
        if module.name != "gateway.__main__":
            importlib.import_module(module.name)
    defined = [kind for kind in subclasses(GatewayError) if kind.__module__.startswith("gateway.")]
    names = [kind.__name__ for kind in defined]
    assert len(names) == len(set(names))
    listed = [
        found.groups() for line in (errors.__doc__ or "").split("\n") if (found := _LINE.fullmatch(line))
    ]
    assert sorted((name, code, retryable is not None) for name, code, retryable in listed) == sorted(
        (kind.__name__, kind.code, kind.retryable) for kind in defined
    )
