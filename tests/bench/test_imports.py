"""The direction of imports inside `bench`: the shared load knows nothing of what uses it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"
MAY_IMPORT = {
    "figures": set(),
    "earlier": set(),
    "load": {"figures"},
    "peers": {"figures", "load"},
    "rehearse": {"earlier", "figures", "load"},
    "soak": {"earlier", "figures", "load", "rehearse"},
    "measure": {"figures", "load", "peers"},
    "__main__": {"earlier", "figures", "load", "measure", "rehearse", "soak"},
    "__init__": set(),
}
"""Each part of `bench`, and the other parts that its modules may import."""


def modules() -> list[Path]:
    return sorted(BENCH.rglob("*.py"))


def part_of(path: Path) -> str:
    return path.relative_to(BENCH).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    """Yield the modules of `bench` that a module imports, at its head or inside a function, or runs by name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and " " not in node.value:
            yield node.value


def bench_imports(path: Path) -> set[str]:
    return {name for name in imported(path) if name.startswith("bench.")}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(BENCH)))
def test_imports_inside_bench_point_downwards(path: Path) -> None:
    """`load` and `figures` are shared; `peers`, `rehearse` and `measure` build on them."""
    own = part_of(path)
    others = {name.split(".")[1] for name in bench_imports(path)} - {own}
    assert others <= MAY_IMPORT[own]


def test_every_part_of_bench_is_known() -> None:
    assert {part_of(path) for path in modules()} == set(MAY_IMPORT)


CEILINGS = ("bench.peers.socket_loop", "bench.peers.record_reader")


def test_peers_are_imported_only_where_they_are_compared() -> None:
    """A measurement of the gateway alone needs no other system, and takes its load from `load`.

    A loop of `socket.send`, and a process that only reads rows, are ceilings and not other systems.
    """
    for path in modules():
        if part_of(path) == "measure" and path.parent.name != "pairs":
            found = [name for name in bench_imports(path) if name.startswith("bench.peers.")]
            assert all(name.startswith(CEILINGS) for name in found), path
