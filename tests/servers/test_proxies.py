"""Which proxy the environment names for which server, and what a proxy variable that cannot be followed is told."""

import pytest

from loadgen.engine.wire.route import Proxy
from loadgen.errors import UsageError
from loadgen.servers.proxies import proxy_for

URL = "https://api.example.com/v1"
ANY = {"http_proxy": "http://plain:1", "https_proxy": "http://secure:2"}


@pytest.mark.parametrize(
    ("url", "environ", "name"),
    [
        (URL, {}, None),
        (URL, ANY, "secure:2"),
        ("http://api.example.com", ANY, "plain:1"),
        (URL, {"HTTPS_PROXY": "http://upper:3"}, "upper:3"),
        (URL, {"HTTPS_PROXY": "http://upper:3", "https_proxy": "http://lower:4"}, "lower:4"),
        (URL, {"HTTPS_PROXY": "http://upper:3", "https_proxy": " "}, "upper:3"),
        (URL, {"ALL_PROXY": "http://all:5"}, "all:5"),
        (URL, {"HTTP_PROXY": "http://plain:1"}, None),
        (URL, {"https_proxy": "proxy.example:8080"}, "proxy.example:8080"),
        (URL, {"https_proxy": "http://proxy.example"}, "proxy.example:80"),
        (URL, {"https_proxy": "http://[fd00::1]:3128/"}, "[fd00::1]:3128"),
        ("http://127.0.0.1:8000", ANY, None),
        ("http://[::1]:8000", ANY, None),
        ("http://LOCALHOST:8000", ANY, None),
        ("http://10.0.0.7:8000", ANY, "plain:1"),
    ],
)
def test_the_proxy_goes_by_the_scheme(url: str, environ: dict[str, str], name: str | None) -> None:
    proxy = proxy_for(url, environ)
    assert (None if proxy is None else proxy.name) == name


@pytest.mark.parametrize(
    ("url", "no_proxy", "direct"),
    [
        (URL, "*", True),
        (URL, "example.com", True),
        (URL, ".example.com", True),
        (URL, "*.example.com", True),
        (URL, "API.Example.COM", True),
        (URL, "ample.com", False),
        (URL, "other.org, example.com", True),
        (URL, "other.org example.com", True),
        (URL, "example.com:443", True),
        (URL, "example.com:8443", False),
        ("https://example.com.", ".example.com", True),
        ("https://10.1.2.3:8000", "10.0.0.0/8", True),
        ("https://10.1.2.3:8000", "10.1.2.3", True),
        ("https://10.1.2.3:8000", "10.1.2.3:9000", False),
        ("https://11.1.2.3", "10.0.0.0/8", False),
        ("https://10.1.2.3", "2.3", False),
        ("https://[fd00::7]:80", "fd00::/8", True),
        ("https://[fd00::7]:80", "[fd00::7]:80", True),
        (URL, "10.0.0.0/8", False),
        (URL, "", False),
    ],
)
def test_what_no_proxy_means(url: str, no_proxy: str, direct: bool) -> None:
    assert (proxy_for(url, ANY | {"NO_PROXY": no_proxy}) is None) == direct


def test_the_lower_case_of_no_proxy_goes_first() -> None:
    assert proxy_for(URL, ANY | {"no_proxy": "example.org", "NO_PROXY": "*"}) is not None


def test_a_password_is_decoded_and_in_no_repr() -> None:
    proxy = proxy_for(URL, {"https_proxy": "http://me:p%40ss-s3cret@proxy.example:3128"})
    assert proxy == Proxy("proxy.example", 3128, "me", "p@ss-s3cret")
    assert proxy.name == "proxy.example:3128"
    assert proxy.headers == (("Proxy-Authorization", "Basic bWU6cEBzcy1zM2NyZXQ="),)
    assert "s3cret" not in repr(proxy)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("socks5://me:s3cret@proxy:1080", "HTTPS_PROXY names a proxy of the kind socks5"),
        ("https://me:s3cret@proxy", "of the kind https"),
        ("http://me:s3cret@", "HTTPS_PROXY does not hold the URL of a proxy"),
        ("http://me:s3cret@proxy:port", "does not hold the URL of a proxy"),
        ("http://me:s3cret%0d%0a@proxy", "holds characters that cannot be sent"),
    ],
)
def test_a_proxy_that_we_cannot_speak_to_is_named_without_its_password(value: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem) as caught:
        proxy_for(URL, {"HTTPS_PROXY": value})
    assert "s3cret" not in str(caught.value)
