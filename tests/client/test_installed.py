"""The clients as an election office installs them: `pip install valgnatt`, without what only the gateway needs.

A wheel is built and installed into an environment that has the requirements of the wheel, those of the requirements,
and nothing else. There the commands run, also without what Python lacks on Windows.
"""

import json
import os
import signal
import subprocess
import sys
import tomllib
import venv
from collections.abc import Callable, Iterator
from importlib.metadata import Distribution, distribution, distributions, packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gateway.commands.extras import MODULES_OF_GATEWAY
from tests.counts import variants
from tests.running import Gateway, Sender
from tests.web.doors import UNIT, a_report

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 60.0
WITHOUT = """
import asyncio, builtins, os, signal

def block(name, *rest, real=builtins.__import__):
    if name in ("fcntl", "grp", "pwd", "resource", "termios", "tty"):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return real(name, *rest)

builtins.__import__ = block
for module, names in (
    (os, "O_NONBLOCK O_NOCTTY O_CLOEXEC O_DIRECTORY O_NOFOLLOW fchmod getuid geteuid fork uname"),
    (signal, "SIGURG SIGIO SIGHUP SIGUSR1 SIGQUIT SIGWINCH SIGALRM SIGCHLD SIGKILL"),
):
    for name in names.split():
        delattr(module, name)

def refuse(*_):
    raise NotImplementedError

asyncio.SelectorEventLoop.add_signal_handler = asyncio.SelectorEventLoop.remove_signal_handler = refuse
"""
"""Removes from Python what it lacks on Windows. Source: the documentation of these modules, "Availability"."""

Command = Callable[..., subprocess.Popen[str]]

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]  # installs, and starts a dozen processes


def closure(needed: list[str]) -> dict[str, Distribution]:
    """Return the distributions that are installed here and required by these requirements, by name."""
    found: dict[str, Distribution] = {}
    waiting = [(Requirement(each), "") for each in needed]
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        if name not in found:
            found[name] = distribution(requirement.name)
            extras = requirement.extras or {""}
            waiting += [(Requirement(each), one) for each in found[name].requires or [] for one in extras]
    return found


def link(one: Distribution, site_packages: Path) -> None:
    """Link what belongs to a distribution into another environment."""
    for name in {file.parts[0] for file in one.files or []} - {"..", "__pycache__"}:
        (site_packages / name).symlink_to(Path(str(one.locate_file(name))))


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment as after `pip install valgnatt`: its directory."""
    directory = tmp_path_factory.mktemp("office")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=TIMEOUT_S)
    venv.create(directory / "venv", symlinks=True)
    python = directory / "venv" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python)]
    wheel = next(directory.glob("*.whl"))
    options = ("--no-index", "--no-deps", "--no-compile", "--quiet")
    subprocess.run([*pip, "install", *options, str(wheel)], check=True, timeout=TIMEOUT_S)
    site_packages = next(directory.glob("venv/lib/python*/site-packages"))
    (installed,) = distributions(path=[str(site_packages)])
    for one in closure(installed.requires or []).values():
        link(one, site_packages)
    (directory / "without").mkdir()
    (directory / "without" / "sitecustomize.py").write_text(WITHOUT)
    return directory


@pytest.fixture
def command(office: Path, gateway: Gateway, sender: Sender, tmp_path: Path) -> Iterator[Command]:
    """Starts `valgnatt` in that environment, with a token for an election."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, name: str = "valgnatt", **environ: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [str(office / "venv" / "bin" / name), *arguments],
            env={
                "PATH": os.defpath,
                "HOME": str(tmp_path),
                "VALGNATT_PUSH_URL": gateway.push_url,
                "VALGNATT_FEED_URL": gateway.feed_url,
                "VALGNATT_TOKEN": sender.secret,
                **environ,
            },
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Return the exit status of a command, its output and its errors."""
    output, errors = process.communicate(timeout=TIMEOUT_S)
    assert "Traceback" not in output + errors
    return process.returncode, output, errors


@pytest.mark.parametrize(
    "without",
    variants([False, True], True),
    ids=lambda each: "without-what-windows-lacks" if each else "linux",
)
def test_clients_run_without_the_packages_of_the_gateway(
    command: Command, office: Path, sender: Sender, tmp_path: Path, without: bool
) -> None:
    """A count is sent and seen: `push`, `watch` and `status`, from a wheel and its requirements alone."""
    environ = {"PYTHONPATH": str(office / "without")} if without else {}
    count = tmp_path / "count.json"
    count.write_text(json.dumps(a_report(votes=50)))
    status, output, errors = ended(
        command("push", "--election", sender.election, str(count), "--yes", **environ)
    )
    assert status == 0, errors
    assert "1 report" in output + errors

    watch = command("watch", "--election", sender.election, UNIT, "--json", **environ)
    assert watch.stdout is not None
    shown = (json.loads(line) for line in watch.stdout)
    assert next(area for area in shown if area["sequence"])["counts"]["election_day"]["votes"]["FL"] == 50
    watch.send_signal(signal.SIGINT)
    assert ended(watch)[0] == 130

    status, output, errors = ended(command("status", "--election", sender.election, "--json", **environ))
    assert status == 0, errors
    assert sum(each["published"] for each in json.loads(output)["transfers"]) == 1


def test_commands_of_the_gateway_say_what_to_install(command: Command) -> None:
    """In one line. The help of all commands needs nothing more."""
    started = [command("serve"), command("election", "list")]
    helped = command("--help")
    for process in started:
        status, output, errors = ended(process)
        assert (status, output) == (1, "")
        assert errors.count("\n") == 1
        assert "is part of the gateway" in errors
        assert "pip install 'valgnatt[gateway]'" in errors
    assert ended(helped)[0] == 0
    status, _, errors = ended(command("measure", "night", name="valgnatt-bench"))
    assert status == 1
    assert errors.endswith(" is not installed: pip install 'valgnatt[bench]'\n")


def test_the_extra_names_all_packages_that_only_the_gateway_imports() -> None:
    """So that the message names the extra for each that is missing."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = {Requirement(each).name for each in project["optional-dependencies"]["gateway"]}
    of_module = packages_distributions()
    assert {canonicalize_name(name) for each in MODULES_OF_GATEWAY for name in of_module[each]} == extra
    assert not extra & closure(project["dependencies"]).keys()
