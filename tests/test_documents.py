"""Documents name what there is: tests, modules, scenarios and commands that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_a_document_names_is_there(document: Path) -> None:
    """As a link, or in code as a path below a folder of this project."""
    text = document.read_text()
    links = [link for link in re.findall(r"\]\(([^)#:]+)\)", text) if not link.startswith("http")]
    missing = [link for link in links if not (document.parent / link).exists()]
    paths = re.findall(r"`((?:tests|gateway|bench|docs|deploy|examples)/[\w/.-]+\.\w+)", text)
    missing += [path for path in paths if not (ROOT / path).exists()]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_scenario_that_a_document_plays_is_there(document: Path) -> None:
    from bench.scenarios import names

    for line in re.findall(r"bench run ([a-z -]+)", document.read_text()):
        scenarios = [word for word in line.split(" --")[0].split() if not word.startswith("-")]
        assert scenarios
        assert set(scenarios) <= {*names(), "all"}, line
