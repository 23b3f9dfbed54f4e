"""The commands of clients find the doors of this machine as `serve` opens them: by environment and configuration."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

from gateway.config import Config, ConfigError, door_url
from gateway.config_loading import load
from tests.client.commands import running_command

CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("VALGNATT_")}
NOBODY = 9
"""A port on which nobody listens."""


@pytest.mark.parametrize(
    ("options", "push", "feed"),
    [
        ({}, "http://127.0.0.1:8081", "http://127.0.0.1:8080"),
        ({"push_port": 9081, "feed_port": 9080}, "http://127.0.0.1:9081", "http://127.0.0.1:9080"),
        ({"host": "0.0.0.0"}, "http://127.0.0.1:8081", "http://127.0.0.1:8080"),
        ({"host": "::"}, "http://[::1]:8081", "http://[::1]:8080"),
        ({"host": "192.0.2.1", "push_port": 0}, None, "http://192.0.2.1:8080"),
        ({"push_tls_certificate": Path("/x")}, "https://127.0.0.1:8081", "http://127.0.0.1:8080"),
    ],
)
def test_the_url_of_a_door_follows_from_the_options(
    options: dict[str, Any], push: str | None, feed: str | None
) -> None:
    config = Config(**options)
    assert (door_url(config, "push"), door_url(config, "feed")) == (push, feed)


def test_options_that_are_not_used_are_not_checked(tmp_path: Path) -> None:
    """A client need not be able to read the passwords of `serve`; but a name that does not exist is a mistake."""
    file = tmp_path / "valgnatt.toml"
    file.write_text('push_port = 9081\ndatabase_url = "wrong"\ndatabase_password_file = "/nowhere"\n')
    environ = {"VALGNATT_CONFIG": str(file), "VALGNATT_FEED_PORT": "9080", "VALGNATT_BATCH_MAX": "wrong"}
    with pytest.raises(ConfigError):
        load(environ)
    config = load(environ, only={"push_port", "feed_port"})
    assert config == Config(push_port=9081, feed_port=9080)
    with pytest.raises(ConfigError, match="did you mean VALGNATT_PUSH_PORT"):
        load({"VALGNATT_PUSH_PROT": "1"}, only={"push_port"})


@pytest.mark.parametrize(
    ("arguments", "variable"),
    [
        (("watch", "--election", "e"), "VALGNATT_FEED_PORT"),
        (("status", "--election", "e"), "VALGNATT_FEED_PORT"),
        (("status", "--election", "e", "--token-file", "TOKEN"), "VALGNATT_PUSH_PORT"),
        (("push", "--election", "e", "--template"), "VALGNATT_FEED_PORT"),
    ],
)
def test_commands_use_the_ports_of_serve(arguments: tuple[str, ...], variable: str, tmp_path: Path) -> None:
    """Also from a configuration file; a URL that is given takes precedence; port 0 and mistakes end with status 2."""
    token = tmp_path / "token"
    token.write_text("secret")
    words = [str(token) if word == "TOKEN" else word for word in arguments]
    file = tmp_path / "valgnatt.toml"
    file.write_text(f"{variable.removeprefix('VALGNATT_').lower()} = {NOBODY}\n")

    def run(**environ: str) -> tuple[int, str]:
        with running_command(*words, environ={**CLEAN, **environ}) as process:
            _, complaint = process.communicate(timeout=30)
        return process.returncode, complaint

    for environ in ({variable: str(NOBODY)}, {"VALGNATT_CONFIG": str(file)}):
        status, complaint = run(**environ)
        assert status == 1
        assert f"http://127.0.0.1:{NOBODY}" in complaint
    url = variable.replace("PORT", "URL")
    status, complaint = run(**{variable: "nonsense", url: f"http://localhost:{NOBODY}"})
    assert (status, "localhost:9" in complaint) == (1, True)
    for value, words_of in (("0", "any free port"), ("nonsense", variable)):
        status, complaint = run(**{variable: value})
        assert status == 2
        assert re.search(words_of, complaint)
        assert len(complaint.splitlines()) == 1
