"""The tools that check the sources of the pages are pinned, and come from the registry that npm is configured for."""

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def document(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / name).read_text(encoding="utf-8"))
    return found


def test_the_lock_file_agrees_with_the_package_and_pins_every_version() -> None:
    """So `npm ci` fails only where no registry can be reached, which CI does not take for a finding."""
    package, lock = document("package.json"), document("package-lock.json")
    assert package["private"] is True
    assert lock["packages"][""]["devDependencies"] == package["devDependencies"]
    for name, version in package["devDependencies"].items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)
        assert lock["packages"][f"node_modules/{name}"]["version"] == version


def test_the_lock_file_has_checksums_but_no_addresses() -> None:
    """After an upgrade too: `.npmrc` makes npm omit those of the registry; remove `funding` by hand."""
    packages = [each for path, each in document("package-lock.json")["packages"].items() if path]
    assert packages
    assert all(each["integrity"] for each in packages)
    assert not [each for each in packages if {"resolved", "funding"} & each.keys()]
    assert "://" not in (ROOT / "package-lock.json").read_text(encoding="utf-8")
    assert "omit-lockfile-registry-resolved=true" in (ROOT / ".npmrc").read_text(encoding="utf-8")
