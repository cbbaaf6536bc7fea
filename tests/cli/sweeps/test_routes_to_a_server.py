"""TLS and proxies, from the flags and the environment to the figures: who is believed, what is gone through, and what is said of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from loadgen.servers.simulator import SimulatorProcess
from tests.cli.conftest import Cli, codes
from tests.servers.relays import NAME, Authority, Proxy, proxying, terminating

pytestmark = pytest.mark.loopback

LOAD = (
    "--model",
    "simulated-moe",
    "--concurrency",
    "2",
    "--input-tokens",
    "8",
    "--output-tokens",
    "4",
    "--requests",
    "12",
)


@pytest.fixture
def tls_port(authority: Authority, simulator: SimulatorProcess) -> Iterator[int]:
    with terminating(authority, simulator.port) as port:
        yield port


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_an_unknown_authority_is_refused_with_the_flag_that_names_it(cli: Cli, tls_port: int) -> None:
    said = cli("run", "--url", f"https://127.0.0.1:{tls_port}", *LOAD)
    assert said.code == 5
    assert "certificate verify failed" in said.err
    assert "name its authority with --ca-file FILE" in said.err


def test_a_named_authority_is_believed_on_both_ways(cli: Cli, tls_port: int, authority: Authority) -> None:
    said = cli(
        "run", "--url", f"https://127.0.0.1:{tls_port}/v1", *LOAD, "--ca-file", str(authority.certificate), "--json"
    )
    document = said.json
    assert document["outcomes"]["ok"] == 12
    assert (document["client"]["tls"], document["client"]["proxy"]) == ("verified", False)
    assert document["client"]["network_rtt_s"]["n"] == 2
    assert 0 < document["client"]["network_rtt_s"]["max"] < 0.01
    assert not {"proxied", "tls_not_verified"} & codes(document)
    shown = cli("show", document["run_id"]).out
    assert "TLS" in shown
    assert "round trip p50" in shown


def test_insecure_works_and_is_said_everywhere(cli: Cli, tls_port: int, tmp_path: Path) -> None:
    said = cli("run", "-q", "--url", f"https://127.0.0.1:{tls_port}", *LOAD, "--insecure")
    assert f"WARNING: --insecure: whoever answers at https://127.0.0.1:{tls_port} is believed" in said.err
    assert "CERTIFICATE NOT VERIFIED" in said.out
    assert "certificate was not verified" in " ".join(said.out.split())
    document = cli("show", "latest", "--json").json
    assert document["spec"]["insecure"] is True
    (run,) = document["runs"]
    assert run["client"]["tls"] == "unverified"
    assert "tls_not_verified" in codes(run)
    cli("report", "latest", "-o", "page.html")
    assert "CERTIFICATE NOT VERIFIED" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY"])
def test_plain_http_goes_through_the_proxy_of_the_environment(
    cli: Cli, simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    with proxying("Basic bWU6czNjcmV0LXB3") as proxy:
        monkeypatch.setenv(variable, f"http://me:s3cret-pw@127.0.0.1:{proxy.port}")
        url = f"http://{NAME}:{simulator.port}"
        said = cli("run", "--url", url, *LOAD, "--json", "-v")
    document = said.json
    assert document["outcomes"]["ok"] == 12
    assert sum(line.startswith(f"POST {url}/v1/completions HTTP/1.1") for line in proxy.asked) >= 12
    assert f"GET {url}/v1/models HTTP/1.1" in proxy.asked
    assert f"through the proxy 127.0.0.1:{proxy.port}" in said.err
    assert document["client"]["proxy"] is True
    assert "proxied" in codes(document)
    cli("report", "latest", "-o", "page.html")
    assert "through a proxy" in (tmp_path / "page.html").read_text()
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir()) + f"{said.out}{said.err}".encode()
    assert b"s3cret" not in kept
    assert b"czNjcmV0" not in kept


def test_https_goes_through_a_tunnel(
    cli: Cli, tls_port: int, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proxying() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{proxy.port}")
        url = f"https://{NAME}:{tls_port}"
        document = cli("run", "--url", url, *LOAD, "--ca-file", str(authority.certificate), "--json").json
    assert document["outcomes"]["ok"] == 12
    assert set(proxy.asked) == {f"CONNECT {NAME}:{tls_port} HTTP/1.1"}
    assert (document["client"]["tls"], document["client"]["proxy"]) == ("verified", True)


@pytest.mark.parametrize("exception", [NAME, "*", None])
def test_what_is_excepted_is_reached_directly(
    cli: Cli, simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch, exception: str | None
) -> None:
    """A name that only the proxy knows is then not found; the loopback address needs no exception."""
    with proxying() as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        if exception is None:
            said = cli("run", "--url", simulator.url, *LOAD, "--json")
            assert said.json["client"]["proxy"] is False
        else:
            monkeypatch.setenv("NO_PROXY", exception)
            said = cli("run", "--url", f"http://{NAME}:{simulator.port}", *LOAD)
            assert said.code == 5
        assert proxy.asked == []


@pytest.fixture
def guarded() -> Iterator[Proxy]:
    with proxying("Basic somebody-else") as proxy:
        yield proxy


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_wants_to_know_who_asks(
    cli: Cli, guarded: Proxy, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setenv(f"{scheme}_proxy", f"http://me:s3cret-pw@127.0.0.1:{guarded.port}")
    said = cli("run", "--url", f"{scheme}://{NAME}:9", *LOAD)
    assert said.code in (2, 5)
    assert f"the proxy on the way to {scheme}://{NAME}:9" in said.err
    assert "407" in said.err
    assert "s3cret" not in said.err


def test_a_proxy_that_we_cannot_speak_to_ends_the_command(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://me:s3cret@127.0.0.1:1080")
    said = cli("run", "--url", f"http://{NAME}", *LOAD)
    assert said.code == 2
    assert "ALL_PROXY names a proxy of the kind socks5" in said.err
    assert "s3cret" not in said.err


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (("--url", "http://h", "--insecure"), "--insecure needs a URL with https://"),
        (("--url", "http://h", "--ca-file", "x.pem"), "--ca-file needs a URL with https://"),
        (("--url", "https://h", "--ca-file", "gone.pem"), "--ca-file gone.pem cannot be read: No such file"),
        (("--url", "https://h", "--ca-file", "."), "--ca-file . cannot be read"),
        (("--url", "https://h", "--ca-file", "x.pem", "--insecure"), "--ca-file and --insecure exclude each other"),
    ],
)
def test_what_cannot_be_believed(cli: Cli, flags: tuple[str, ...], problem: str) -> None:
    said = cli("run", *flags, *LOAD)
    assert said.code == 2
    assert problem in said.err


def test_a_file_that_holds_no_certificate(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_text("no certificate\n")
    said = cli("run", "--url", "https://h", *LOAD, "--ca-file", "x.pem")
    assert said.code == 2
    assert "--ca-file x.pem cannot be read: it holds no certificate in PEM" in said.err
