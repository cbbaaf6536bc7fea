"""Connections of a job go to the addresses that were checked, whatever the name has come to stand for since."""

import socket
from typing import Any

import httpx2
import pytest

from loadgen.engine.wire.address import ConnectFailedError, resolve
from loadgen.engine.wire.route import Proxy, Route
from loadgen.servers.endpoint import probe
from loadgen.servers.http_client import PinnedTransport, open_client
from loadgen.servers.simulator import SimulatorOptions, SimulatorProcess
from loadgen.spec.sweep_spec import SweepSpec

NAME = "rebound.example"


@pytest.fixture
def nobody_looks_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any name that is looked up now would lead to a cloud's metadata."""
    asked = socket.getaddrinfo

    def look_up(host: Any, *arguments: Any, **keys: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        assert name != NAME, "a name was looked up again"
        return asked(host, *arguments, **keys)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


def test_the_measured_requests_go_to_the_addresses(nobody_looks_up: None) -> None:
    found = resolve("http", NAME, 8000, Route(addresses=("127.0.0.1", "::1")))
    assert [(each.family, each.sockaddr[:2], each.server_name) for each in found] == [
        (socket.AF_INET, ("127.0.0.1", 8000), NAME),
        (socket.AF_INET6, ("::1", 8000), NAME),
    ]
    with pytest.raises(ConnectFailedError):
        resolve("http", NAME, 8000, Route(addresses=("localhost",)))  # which is no address


@pytest.mark.loopback
def test_the_questions_beside_them_do_too(nobody_looks_up: None) -> None:
    with SimulatorProcess(SimulatorOptions()) as simulator:
        port = httpx2.URL(simulator.url).port
        route = Route(addresses=("127.0.0.2", "127.0.0.1"))  # the first of which refuses
        facts = probe(f"http://{NAME}:{port}", "simulated-moe", (), route=route)
        assert facts.simulated
        with open_client((), 5.0, Route(addresses=("127.0.0.2",))) as client, pytest.raises(httpx2.ConnectError):
            client.get(f"http://127.0.0.1:{port}/version")


def test_a_pinned_client_follows_no_redirect_and_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with open_client((), 5.0, Route(addresses=("127.0.0.1",))) as client:
        assert isinstance(client._transport, PinnedTransport)
        assert client.follow_redirects is False
        assert client._mounts == {}


def test_addresses_leave_no_room_for_a_proxy() -> None:
    spec = SweepSpec.model_validate({"url": f"http://{NAME}", "model": "m"})
    environ = {"HTTP_PROXY": "http://proxy.example:3128"}
    assert spec.route_to(spec.url, environ).proxy is not None
    assert spec.route_to(spec.url, environ, ("192.0.2.1",)) == Route(addresses=("192.0.2.1",))
    with pytest.raises(ValueError, match="proxy"):
        Route(proxy=Proxy("proxy.example", 3128), addresses=("192.0.2.1",))


def test_the_certificate_is_that_of_the_name(nobody_looks_up: None) -> None:
    """Addresses say where to connect, and the name whom to believe."""
    (address,) = resolve("https", NAME, 443, Route(addresses=("127.0.0.1",)))
    assert address.server_name == NAME
    assert address.tls is not None
    assert address.tls.check_hostname
