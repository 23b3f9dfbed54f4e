"""PURE: buckets of object stores as they are named: `s3://bucket/prefix`, `gs://…`, `az://…`."""

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from gateway.config import ConfigError

_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,62}")
_PREFIX_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_TRUE = frozenset({"1", "true", "yes", "on", "y"})


class Provider(NamedTuple):
    """A kind of object store, and the words of those who use it."""

    scheme: str
    name: str
    bucket: str
    """What it calls a bucket."""
    credentials: str
    """Environment variables with credentials, as a message names them."""
    endpoints: tuple[str, ...]
    """Environment variables with the address of another service with the same interface; the first one set is used."""
    allow_http: str
    """Environment variable that allows an endpoint without TLS."""


PROVIDERS = {
    each.scheme: each
    for each in (
        Provider(
            "s3",
            "S3",
            "bucket",
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN if they are temporary)",
            ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
            "AWS_ALLOW_HTTP",
        ),
        Provider(
            "gs",
            "Google Cloud Storage",
            "bucket",
            "GOOGLE_SERVICE_ACCOUNT or GOOGLE_APPLICATION_CREDENTIALS",
            ("GOOGLE_BASE_URL",),
            "GOOGLE_ALLOW_HTTP",
        ),
        Provider(
            "az",
            "Azure Blob Storage",
            "container",
            "AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN",
            ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
            "AZURE_ALLOW_HTTP",
        ),
    )
}


class Place(NamedTuple):
    """A prefix in a bucket."""

    provider: Provider
    bucket: str
    prefix: str
    """Without slashes at its ends; empty for the whole bucket."""
    endpoint: str | None = None
    """Scheme, host and port of another service than the provider's own, without credentials."""
    allow_http: bool = False

    @property
    def where(self) -> str:
        """The place as messages name it."""
        at = f" at {self.endpoint}" if self.endpoint else ""
        return f"{self.provider.scheme}://{self.bucket}/{self.prefix}".rstrip("/") + at


def parse_place(url: str, environ: Mapping[str, str]) -> Place:
    """Return the place of a URL, with the endpoint that the environment names. Raises ConfigError.

    No message repeats what may be a credential.
    """
    scheme, _, rest = url.partition("://")
    provider = PROVIDERS[scheme]
    example = f"{scheme}://{provider.bucket}/prefix"
    if "@" in rest or "?" in rest or "#" in rest:
        raise ConfigError(
            [
                f"a target is written as {example}, without credentials: set {provider.credentials} in the environment"
            ]
        )
    bucket, _, prefix = rest.partition("/")
    prefix = prefix.strip("/")
    if not _BUCKET.fullmatch(bucket):
        raise ConfigError(
            [f"{bucket!r} is not the name of a {provider.bucket} of {provider.name}: write {example}"]
        )
    if prefix and not all(_PREFIX_PART.fullmatch(part) for part in prefix.split("/")):
        raise ConfigError(
            [f"the prefix {prefix!r} has characters other than letters, digits, '-', '_', '.' and '/'"]
        )
    return Place(provider, bucket, prefix, *_endpoint(provider, environ))


def _endpoint(provider: Provider, environ: Mapping[str, str]) -> tuple[str | None, bool]:
    variable = next((each for each in provider.endpoints if environ.get(each)), None)
    allow_http = environ.get(provider.allow_http, "").lower() in _TRUE
    if variable is None:
        return None, allow_http
    try:
        address = urlsplit(environ[variable])
        port = address.port
    except ValueError:
        raise ConfigError([f"{variable} is not a URL"]) from None
    if address.scheme not in ("http", "https") or not address.hostname:
        raise ConfigError([f"{variable} is not the URL of a service, https://HOST"])
    endpoint = f"{address.scheme}://{address.hostname}" + (f":{port}" if port else "")
    if address.scheme == "http" and not allow_http:
        raise ConfigError(
            [f"{variable} is {endpoint}, without TLS: set {provider.allow_http}=true to allow that"]
        )
    return endpoint, allow_http
