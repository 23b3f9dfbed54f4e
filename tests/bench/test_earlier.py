"""Results of earlier runs are kept."""

from pathlib import Path

from bench.earlier import keep_earlier


def test_results_of_earlier_runs_are_kept_together(tmp_path: Path) -> None:
    """Files of one run have the same number, also where one of them is missing; without any, nothing happens."""
    page, data = tmp_path / "steady.html", tmp_path / "steady.json"
    keep_earlier(page, data)
    for content in ("first", "second", "third"):
        keep_earlier(page, data)
        data.write_text(content)
        if content != "second":
            page.write_text(content)
    found = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert found == {
        "steady.html": "third",
        "steady.json": "third",
        "steady.1.html": "first",
        "steady.1.json": "first",
        "steady.2.json": "second",
    }
