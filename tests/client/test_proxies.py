"""Which proxy the environment names for a URL."""

import pytest

from gateway.client.proxies import BadProxy, is_loopback, proxy_for

PROXY = "http://proxy.example:3128"
GATEWAY = "http://gateway.example:8081"


@pytest.mark.parametrize(
    ("url", "environ", "proxy", "variable"),
    [
        (GATEWAY, {}, None, None),
        (GATEWAY, {"HTTP_PROXY": PROXY}, PROXY, "HTTP_PROXY"),
        (GATEWAY, {"http_proxy": PROXY, "HTTP_PROXY": "http://other:1"}, PROXY, "http_proxy"),
        (GATEWAY, {"http_proxy": "", "HTTP_PROXY": PROXY}, None, None),
        (GATEWAY, {"HTTPS_PROXY": PROXY}, None, None),
        (GATEWAY, {"all_proxy": PROXY}, PROXY, "all_proxy"),
        (GATEWAY, {"http_proxy": "proxy.example:3128"}, PROXY, "http_proxy"),
        (GATEWAY, {"http_proxy": "https://proxy.example"}, "https://proxy.example", "http_proxy"),
        (
            "https://gateway.example",
            {"HTTPS_PROXY": PROXY, "HTTP_PROXY": "http://other:1"},
            PROXY,
            "HTTPS_PROXY",
        ),
        ("https://gateway.example", {"HTTP_PROXY": PROXY}, None, None),
        ("http://127.0.0.1:8081", {"HTTP_PROXY": PROXY}, PROXY, "HTTP_PROXY"),
    ],
)
def test_the_proxy_follows_from_the_scheme(
    url: str, environ: dict[str, str], proxy: str | None, variable: str | None
) -> None:
    """The name in small letters comes first; an empty value means none."""
    found = proxy_for(url, environ)
    assert (found and found.url, found and found.variable) == (proxy, variable)


@pytest.mark.parametrize(
    ("url", "exceptions", "direct"),
    [
        (GATEWAY, "", False),
        (GATEWAY, "*", True),
        (GATEWAY, "gateway.example", True),
        (GATEWAY, "GATEWAY.example.", True),
        (GATEWAY, "example", True),
        (GATEWAY, ".example", True),
        (GATEWAY, "*.example", True),
        (GATEWAY, "way.example", False),
        (GATEWAY, "a, b ,gateway.example", True),
        (GATEWAY, "a b gateway.example", True),
        (GATEWAY, "gateway.example:8081", True),
        (GATEWAY, "gateway.example:8080", False),
        ("https://gateway.example", "gateway.example:443", True),
        ("http://127.0.0.1:8081", "127.0.0.1", True),
        ("http://127.0.0.1:8081", "127.0.0.0/8", True),
        ("http://127.0.0.1:8081", "10.0.0.0/8,localhost", False),
        ("http://10.1.2.3", "1.2.3", False),
        ("http://10.1.2.3:80", "10.1.2.3:80", True),
        ("http://[::1]:8081", "::1", True),
        ("http://[::1]:8081", "[::1]", True),
        ("http://[::1]:8081", "[::1]:8081", True),
        ("http://[fd00::7]", "fd00::/8", True),
        ("http://[fd00::7]", "/8,/,.", False),
    ],
)
def test_no_proxy_lists_the_hosts_that_are_reached_directly(url: str, exceptions: str, direct: bool) -> None:
    """Names with everything below them, addresses, networks, with or without a port."""
    for name in ("no_proxy", "NO_PROXY"):
        assert (
            proxy_for(url, {"HTTP_PROXY": PROXY, "HTTPS_PROXY": PROXY, name: exceptions}) is None
        ) == direct


@pytest.mark.parametrize(
    "value",
    ["socks5://proxy:1080", "ftp://proxy", "http://", "http://proxy:port", "http://[::1", "http://proxy:0"],
)
def test_a_proxy_that_cannot_be_used_is_refused_and_its_password_not_shown(value: str) -> None:
    """The message names the variable."""
    with pytest.raises(BadProxy, match="HTTP_PROXY") as raised:
        proxy_for(GATEWAY, {"HTTP_PROXY": value.replace("//", "//me:secret@")})
    assert "secret" not in str(raised.value)


def test_a_proxy_is_shown_without_user_and_password() -> None:
    """But used with them."""
    found = proxy_for(GATEWAY, {"HTTP_PROXY": "http://me:se%40cret@proxy:3128"})
    assert found is not None
    assert found.url == "http://me:se%40cret@proxy:3128"
    assert str(found) == "the proxy http://proxy:3128 (HTTP_PROXY)"


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://localhost:1", True),
        ("http://127.4.0.1", True),
        ("http://[::1]:1", True),
        ("http://10.0.0.1", False),
        ("http://localhost.example", False),
    ],
)
def test_loopback_addresses_are_recognised(url: str, here: bool) -> None:
    assert is_loopback(url) == here
