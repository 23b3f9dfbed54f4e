"""Scenarios: loads and faults that a gateway has to withstand. Each is a small file to read, copy and change.

Each module is a scenario, named like its file, with dashes. Its docstring describes it, and `play(stage)` runs it. With
`publish_in_s(options)` the embargo ends that many seconds after the start; without it, the embargo has passed. With
`beside_a_mirror(options)`, which returns options of the gateway, it names a mirror that the stage can run.
"""

import importlib
import pkgutil
from types import ModuleType


def names() -> list[str]:
    """Return the names of all scenarios."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__))


def scenario(name: str) -> ModuleType:
    """Return the module of a scenario. Raises KeyError."""
    if name not in names():
        raise KeyError(name)
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
