"""Scenarios: what a night can do to a gateway. Each is a small file to read, to copy and to change.

A module here is a scenario, named as the file with dashes. Its docstring says what it is; `play(stage)` does it; and
`publish_in_s(options)`, where there is one, says how long after its beginning the embargo ends. Else it has passed.
"""

import importlib
import pkgutil
from types import ModuleType


def names() -> list[str]:
    """Return all there are."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__))


def scenario(name: str) -> ModuleType:
    """Return one. Raises KeyError."""
    if name not in names():
        raise KeyError(name)
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
