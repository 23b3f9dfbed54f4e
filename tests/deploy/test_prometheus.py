"""The alerts and the dashboard that are shipped: valid, about metrics that exist, and with instructions."""

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from gateway.rehearsal.generator import GeneratedElection
from gateway.reserved_ports import reserved_ports
from gateway.telemetry.metrics import exposition
from gateway.telemetry.mirror_metrics import MirroredElection, MirrorMetrics, MirrorTotals
from tests.counts import variants
from tests.small_night import SmallNight, a_small_night
from tests.web.doors import until

pytestmark = [pytest.mark.long, pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "valgnatt.json").read_text())
RULES = yaml.load((PROMETHEUS / "rules.yml").read_text(), Loader=yaml.CSafeLoader)
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]
DOCUMENT = (ROOT / "docs" / "monitoring.md").read_text()

_NAME = re.compile(r"\b(?:valgnatt|process)_\w+")


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory, small: GeneratedElection) -> Iterator[SmallNight]:
    with a_small_night(tmp_path_factory.mktemp("watched"), small) as night:
        yield night


def of_a_mirror() -> set[str]:
    """Return the names of all samples of a mirror, which may be a process of its own."""
    state = MirroredElection(
        age_s=1.0, sequence=1, behind=0, documents_behind=0, steps=1, histories=1, fails=frozenset()
    )
    metrics = MirrorMetrics(2, lambda: {"e": state}, lambda: MirrorTotals(1, 1, stopped=False))
    found = text_string_to_metric_families(exposition(metrics.registry).decode())
    return {sample.name for family in found for sample in family.samples}


def queries() -> list[str]:
    """Return the queries of the dashboard, as Grafana sends them with everything selected."""
    targets = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
    words = {"$__rate_interval": "1m", "$instance": ".*", "$election": ".*"}
    for word, value in words.items():
        targets = [each.replace(word, value) for each in targets]
    return targets


def program(name: str) -> str:
    """Return a program of Prometheus; skip the test if it is not installed."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def checked(*words: str | Path) -> None:
    done = subprocess.run([program("promtool"), *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_accepts_the_rules_and_the_configuration() -> None:
    checked("check", "rules", PROMETHEUS / "rules.yml")
    checked("check", "config", PROMETHEUS / "prometheus.yml")


def test_alerts_fire_when_they_should_and_are_silent_otherwise(tmp_path: Path) -> None:
    """`rules_test.yml` passes: an embargo triggers no alert, but a report that stays unpublished does.

    In `make test` without those whose samples are a minute apart, which last up to an hour.
    """
    shipped = yaml.load((PROMETHEUS / "rules_test.yml").read_text(), Loader=yaml.CSafeLoader)
    tests = shipped["tests"]
    tried_now = variants(tests, *(test for test in tests if test["interval"] != "1m"))
    copy = {**shipped, "rule_files": [str(PROMETHEUS / "rules.yml")], "tests": tried_now}
    (tmp_path / "rules_test.yml").write_text(json.dumps(copy))
    checked("test", "rules", tmp_path / "rules_test.yml")
    tried = {check["alertname"] for test in tests for check in test["alert_rule_test"] if check["exp_alerts"]}
    known = {rule["alert"] for rule in ALERTS}
    assert tried <= known
    assert {rule["alert"] for rule in ALERTS if rule["labels"]["severity"] == "page"} - tried <= {
        "ValgnattReceiptsSlow",
        "ValgnattDatabaseRestarted",
        "ValgnattWorkerDown",
        "ValgnattCertificateEnds",
    }


def test_every_query_of_the_dashboard_is_valid(tmp_path: Path) -> None:
    rules = [{"record": f"query_{number}", "expr": query} for number, query in enumerate(queries())]
    (tmp_path / "queries.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    checked("check", "rules", tmp_path / "queries.yml")


def test_alerts_and_dashboard_use_metrics_that_exist(night: SmallNight) -> None:
    """With an unknown metric an alert would never fire, and a panel would be empty."""
    exposed = {sample.name for sample in night.samples} | of_a_mirror()
    in_alerts = {name for rule in ALERTS for name in _NAME.findall(rule["expr"])}
    in_dashboard = {name for query in queries() for name in _NAME.findall(query)}
    assert not (in_alerts | in_dashboard) - exposed
    assert len(in_alerts) > 30
    assert len(in_dashboard) > 40


def test_an_alert_says_what_is_wrong_and_what_to_do() -> None:
    """Each alert has a summary, a description, an action, and a section in the document."""
    headings = {heading.lower() for heading in re.findall(r"^### (\w+)$", DOCUMENT, re.MULTILINE)}
    names = [rule["alert"] for rule in ALERTS]
    assert len(names) == len(set(names))
    for rule in ALERTS:
        assert rule["labels"] == {"severity": rule["labels"]["severity"]}
        assert rule["labels"]["severity"] in ("page", "ticket")
        notes = rule["annotations"]
        assert set(notes) == {"summary", "description", "action", "runbook_url"}
        assert notes["action"].endswith(".")
        path, _, anchor = notes["runbook_url"].partition("#")
        assert path == "docs/monitoring.md"
        assert anchor == rule["alert"].lower()
        assert anchor in headings, anchor
    assert headings & {each for each in headings if each.startswith("valgnatt")} == {
        each.lower() for each in names
    }


def test_every_alert_names_the_panel_to_look_at() -> None:
    """The document names an existing panel for every alert."""
    panels = re.findall(r"^- First look: the panel \*(.+)\*\.$", DOCUMENT, re.MULTILINE)
    assert len(panels) == len(ALERTS)
    assert set(panels) <= {panel["title"] for panel in DASHBOARD["panels"]}


def test_the_document_describes_exactly_the_metrics_that_exist(night: SmallNight) -> None:
    """Metrics are listed by the name used in queries; a histogram by the common prefix of its samples."""
    names = {sample.name for sample in night.samples} | of_a_mirror()
    exposed = {re.sub(r"_(bucket|count|sum)$", "", name) for name in names}
    described = set(re.findall(r"^\| `(\w+)`", DOCUMENT, re.MULTILINE))
    described = {
        name for name in described if not name.startswith("valgnatt_witness_")
    }  # a process of its own
    assert {name for name in exposed if name.startswith("valgnatt")} == {
        name for name in described if name.startswith("valgnatt")
    }
    assert {name for name in exposed if name.startswith("process")} >= {
        name for name in described if name.startswith("process")
    }


def test_the_layout_of_the_dashboard() -> None:
    """Six figures in the top row, then four sections; no panel overlaps another."""
    panels = DASHBOARD["panels"]
    assert DASHBOARD["uid"] == "valgnatt-night"
    assert len({panel["id"] for panel in panels}) == len(panels)
    top = [panel["title"] for panel in panels if panel["gridPos"]["y"] == 0]
    assert top == [
        "Oldest count not public",
        "Receipts per second",
        "Time to receipt, p99",
        "Push to socket, p99",
        "Readers",
        "Journal",
    ]
    assert [panel["title"] for panel in panels if panel["type"] == "row"] == [
        "Incoming",
        "Publication",
        "Outgoing",
        "Machine",
    ]
    occupied: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & occupied, panel["title"]
        assert place["x"] + place["w"] <= 24
        occupied |= cells


def test_the_dashboard_queries_the_selected_prometheus() -> None:
    """The data source is a variable, so the dashboard works in any Grafana."""
    variables = {each["name"]: each["type"] for each in DASHBOARD["templating"]["list"]}
    assert variables["datasource"] == "datasource"
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            assert set(re.findall(r"\$(\w+)", target["expr"])) <= {
                *variables,
                "__rate_interval",
            }
        if panel["type"] != "row":
            assert panel["description"]


# A real Prometheus.


@asynccontextmanager
async def a_prometheus(night: SmallNight, directory: Path) -> AsyncIterator[str]:
    """Run Prometheus as shipped against that gateway, and yield its address; skip the test if it is not installed."""
    config = (PROMETHEUS / "prometheus.yml").read_text()
    admin = night.gateway.admin_url.removeprefix("http://")
    found = re.search(r"targets: (\[.*\])\n\Z", config)
    assert found is not None
    (directory / "prometheus.yml").write_text(
        config.replace(found[1], json.dumps([admin])).replace("5s", "1s")
    )
    shutil.copy(PROMETHEUS / "rules.yml", directory)
    with reserved_ports(1) as (port,):
        address = f"127.0.0.1:{port}"
        options = [
            f"--config.file={directory}/prometheus.yml",
            f"--storage.tsdb.path={directory}/tsdb",
            f"--web.listen-address={address}",
            "--log.level=warn",
        ]
        config_text = (directory / "prometheus.yml").read_text()
        assert "scrape_timeout: 4s" in config_text
        (directory / "prometheus.yml").write_text(
            config_text.replace("scrape_timeout: 4s", "scrape_timeout: 1s")
        )
        process = await asyncio.create_subprocess_exec(
            program("prometheus"), *options, stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        output = asyncio.create_task(process.communicate())
        try:
            yield f"http://{address}"
        except BaseException as error:
            _end(process)
            error.add_note(f"output of prometheus: {(await output)[1].decode()[-3000:]}")
            raise
        finally:
            _end(process)
            await output


def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()


async def test_a_real_prometheus_scrapes_a_gateway_and_no_alert_fires_but_that_for_the_certificate(
    night: SmallNight, tmp_path: Path
) -> None:
    """Every query of the dashboard is answered, and no other alert fires on a healthy night."""
    async with a_prometheus(night, tmp_path) as url, aiohttp.ClientSession() as http:

        async def ask(path: str, **params: str) -> Any:
            async with http.get(f"{url}/api/v1/{path}", params=params) as response:
                return (await response.json())["data"]

        async def result(query: str) -> list[Any]:
            found: list[Any] = (await ask("query", query=query))["result"]
            return found

        async def scraped() -> bool:
            try:
                return len(await result("count_over_time(valgnatt_worker_up[1m]) > 3")) == 3
            except aiohttp.ClientError:
                return False

        async def evaluated() -> bool:
            groups = (await ask("rules"))["groups"]
            return all(rule["health"] == "ok" for group in groups for rule in group["rules"])

        await until(scraped, 60.0)
        await until(evaluated, 60.0)
        for query in queries():
            async with http.get(f"{url}/api/v1/query", params={"query": query}) as response:
                assert response.status == 200, (query, await response.text())
        for query in queries()[:2]:
            assert await result(query), query
        due = {alert["labels"]["alertname"] for alert in (await ask("alerts"))["alerts"]}
        assert due <= {"ValgnattCertificateEndsSoon", "ValgnattDiskLow", "ValgnattDiskNearlyFull"}
        assert "ValgnattCertificateEndsSoon" in due
