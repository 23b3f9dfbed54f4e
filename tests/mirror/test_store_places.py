"""How buckets are named, and what errors of object stores say. Pure."""

import pytest

from gateway.config import ConfigError
from gateway.mirror.store_errors import explain, is_bucket_missing
from gateway.mirror.store_places import PROVIDERS, Place, parse_place
from gateway.mirror.targets import open_target


@pytest.mark.parametrize(
    ("url", "environ", "where"),
    [
        ("s3://results", {}, "s3://results"),
        ("s3://results/night/2026/", {}, "s3://results/night/2026"),
        ("gs://results/night", {"GOOGLE_BASE_URL": ""}, "gs://results/night"),
        ("az://results/night", {}, "az://results/night"),
        (
            "s3://results/x",
            {"AWS_ENDPOINT_URL": "https://user:geheim@minio.example:9000/x?y=geheim"},
            "s3://results/x at https://minio.example:9000",
        ),
        (
            "s3://results/x",
            {
                "AWS_ENDPOINT_URL_S3": "http://[::1]:9000",
                "AWS_ENDPOINT_URL": "https://z",
                "AWS_ALLOW_HTTP": "true",
            },
            "s3://results/x at http://::1:9000",
        ),
    ],
)
def test_a_place_is_named_with_its_endpoint_and_without_credentials(
    url: str, environ: dict[str, str], where: str
) -> None:
    """As messages show it."""
    assert parse_place(url, environ).where == where


@pytest.mark.parametrize(
    ("url", "environ", "said"),
    [
        ("s3://", {}, "'' is not the name of a bucket of S3: write s3://bucket/prefix"),
        ("s3:///prefix", {}, "is not the name of a bucket"),
        ("s3://Results", {}, "'Results' is not the name of a bucket"),
        ("s3://key:geheim@results/x", {}, "without credentials: set AWS_ACCESS_KEY_ID"),
        ("az://results?sig=geheim", {}, "without credentials: set AZURE_STORAGE_ACCOUNT_NAME"),
        ("gs://results/a b", {}, "the prefix 'a b' has characters other than"),
        ("gs://results/a/../b", {}, "the prefix 'a/../b' has characters other than"),
        (
            "s3://results",
            {"AWS_ENDPOINT_URL": "http://x:9"},
            "http://x:9, without TLS: set AWS_ALLOW_HTTP=true",
        ),
        ("s3://results", {"AWS_ENDPOINT_URL": "geheim"}, "AWS_ENDPOINT_URL is not the URL of a service"),
        ("s3://results", {"AWS_ENDPOINT_URL": "http://x:y"}, "AWS_ENDPOINT_URL is not a URL"),
    ],
)
def test_what_is_no_place_is_named_without_credentials(url: str, environ: dict[str, str], said: str) -> None:
    """With how to write it."""
    with pytest.raises(ConfigError) as error:
        parse_place(url, environ)
    assert said in str(error.value)
    assert "geheim" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the target of a mirror is empty"),
        ("  ", "the target of a mirror is empty"),
        ("https://user:geheim@cdn.example/", "cannot be written to 'https:'; name a directory, or a bucket"),
        ("ftp://x", "cannot be written to 'ftp:'"),
        ("s3:bucket", "cannot be written to 's3:'"),
        ("file://host/x", "file:// with another host"),
        ("file:", "without a path"),
    ],
)
def test_what_is_no_target_is_named(text: str, said: str) -> None:
    """With what can be one."""
    with pytest.raises(ConfigError) as error:
        open_target(text)
    assert said in str(error.value)
    assert "geheim" not in str(error.value)


def _answer(status: int, code: str) -> str:
    return (
        f"Error performing PUT https://x/?sig=geheim in 1ms - Server returned non-2xx status code: {status} X:"
        f" <Error><Code>{code}</Code><Message>geheim</Message></Error>\n\nDebug source:\nretry_timeout: 2s"
    )


@pytest.mark.parametrize(
    ("scheme", "text", "said", "permanent"),
    [
        ("s3", _answer(404, "NoSuchBucket"), "there is no bucket 'b' (NoSuchBucket); create it", True),
        ("az", _answer(404, "ContainerNotFound"), "there is no container 'b' (ContainerNotFound)", True),
        ("s3", _answer(400, "ExpiredToken"), "credentials are not valid (ExpiredToken); check AWS_", True),
        ("gs", _answer(401, ""), "credentials are not valid (status 401); check GOOGLE_", True),
        (
            "az",
            _answer(403, "AuthenticationFailed"),
            "credentials are not valid (AuthenticationFailed)",
            True,
        ),
        ("s3", _answer(403, "RequestTimeTooSkewed"), "the clock of this machine is wrong", True),
        ("s3", _answer(400, "AuthorizationHeaderMalformed"), "in another region", True),
        (
            "s3",
            _answer(301, "PermanentRedirect"),
            "in another region (PermanentRedirect); set AWS_REGION",
            True,
        ),
        ("s3", _answer(403, "AccessDenied"), "do not allow what a mirror does (AccessDenied)", True),
        (
            "s3",
            "DeleteObjects failed for key x: Denied (code: AccessDenied)",
            "do not allow what a mirror",
            True,
        ),
        ("s3", _answer(503, "SlowDown"), "the store limits requests (SlowDown)", False),
        ("gs", _answer(429, ""), "the store limits requests (status 429)", False),
        ("s3", _answer(501, "NotImplemented"), "does not support conditional writes", True),
        ("s3", _answer(500, "InternalError"), "refused a request (InternalError)", False),
        (
            "s3",
            "PUT http://169.254.169.254/latest/api/token - HTTP error",
            "there are no credentials; set AWS",
            True,
        ),
        (
            "gs",
            "GET http://metadata/computeMetadata/v1 - HTTP error",
            "there are no credentials; set GOOGLE",
            True,
        ),
        ("s3", "HTTP error: error sending request\n\ndns error: x", "cannot be resolved", False),
        (
            "s3",
            "HTTP error\n\nConnect, invalid peer certificate: UnknownIssuer",
            "TLS certificate is not",
            False,
        ),
        ("s3", "HTTP error\n\nkind: Timeout, source: operation timed out", "does not answer in time", False),
        ("s3", "HTTP error\n\nretry_timeout: 2s, kind: ConnectionRefused", "connection was refused", False),
        (
            "s3",
            "HTTP error\n\nretry_timeout: 2s",
            "it cannot be reached; check the endpoint, the network",
            False,
        ),
    ],
)
def test_errors_say_what_to_do_and_nothing_that_the_store_said(
    scheme: str, text: str, said: str, permanent: bool
) -> None:
    """And whether waiting helps."""
    sentence, is_permanent = explain(text, Place(PROVIDERS[scheme], "b", "p"))
    assert sentence.startswith(f"{scheme}://b/p: ")
    assert said in sentence
    assert "geheim" not in sentence
    assert is_permanent is permanent


def test_a_missing_bucket_is_not_a_missing_object() -> None:
    """Both are answered with 404."""
    assert is_bucket_missing(_answer(404, "NoSuchBucket"))
    assert not is_bucket_missing(_answer(404, "NoSuchKey"))
    assert not is_bucket_missing("Object at location x not found")
