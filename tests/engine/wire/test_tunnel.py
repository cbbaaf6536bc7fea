"""The way through a proxy, over real sockets: asked for, opened, refused; and what a proxy of plain HTTP is sent."""

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from loadgen.engine.capture.reply import read_reply
from loadgen.engine.eventloop.loop import make_loop
from loadgen.engine.records.exchange import Exchange, unpack_stamps
from loadgen.engine.records.record import Outcome
from loadgen.engine.wire.address import ConnectFailedError, resolve, tunnel_request
from loadgen.engine.wire.route import Proxy, Route
from loadgen.engine.wire.sockets import ask_for_kernel_stamps
from loadgen.engine.wire.target import Target, request_head
from loadgen.engine.wire.transport import StampingTransport
from tests.engine.fake_wire import CHUNKED_HEAD, EVENTS, LAST_CHUNK, Peer, Script, chunk, serving
from tests.servers.relays import NAME, Authority, proxying

PROXY = Proxy("proxy.example", 3128, "me", "s3cret-pw")


def run(main: Coroutine[Any, Any, Any]) -> Any:
    with asyncio.Runner(loop_factory=make_loop) as runner:
        return runner.run(main)


def test_what_asks_for_a_way_through() -> None:
    lines = tunnel_request("fd00::1", 443, PROXY).split(b"\r\n")
    assert lines[0] == b"CONNECT [fd00::1]:443 HTTP/1.1"
    assert b"Proxy-Authorization: Basic bWU6czNjcmV0LXB3" in lines
    assert not any(b"Authorization" in line for line in tunnel_request("h", 1, Proxy("p", 2)).split(b"\r\n"))


def test_a_proxy_of_plain_http_is_told_the_whole_url_and_who_asks() -> None:
    route = Route(PROXY)
    plain = request_head(Target("http", "server", 8000, "/v1/completions", route=route))
    assert plain.startswith(b"POST http://server:8000/v1/completions HTTP/1.1\r\nHost: server:8000\r\n")
    assert b"Proxy-Authorization: Basic" in plain
    through_tls = request_head(Target("https", "server", 443, "/v1/completions", route=route))
    assert through_tls.startswith(b"POST /v1/completions HTTP/1.1\r\n")
    assert b"Proxy-Authorization" not in through_tls


def test_the_proxys_password_is_a_secret_of_the_target() -> None:
    target = Target("http", "server", 80, "/", (("X-Team", "blue"),), Route(PROXY))
    assert {"s3cret-pw", "Basic bWU6czNjcmV0LXB3", "bWU6czNjcmV0LXB3"} <= set(target.secrets)
    assert "s3cret" not in repr(target)
    (address, *_) = resolve("https", "server", 443, Route(Proxy("127.0.0.1", 9, "me", "s3cret-pw")))
    assert "czNjcmV0" not in repr(address)
    assert address.name == "server through the proxy 127.0.0.1:9"


@pytest.mark.loopback
def test_stamps_of_the_kernel_survive_proxy_and_encryption(authority: Authority) -> None:
    async def answer(peer: Peer) -> None:
        while True:
            assert (await peer.request()).startswith(b"POST /v1/completions HTTP/1.1\r\n")
            await peer.send(CHUNKED_HEAD, *map(chunk, EVENTS), LAST_CHUNK)

    async def main(proxy_port: int) -> list[Exchange]:
        exchanges = [Exchange(), Exchange()]
        async with serving(answer, authority.context) as wire:
            route = Route(Proxy("127.0.0.1", proxy_port), str(authority.certificate))
            target = Target("https", NAME, wire.port, "/v1/completions", route=route)
            transport = StampingTransport(resolve("https", NAME, wire.port, route)[0])
            for index, exchange in enumerate(exchanges):
                ended = asyncio.Event()
                wire_bytes = request_head(target) % (index, 2, b"{}")
                transport.start(wire_bytes, exchange, ended_with(ended))
                async with asyncio.timeout(5):
                    await ended.wait()
            assert (transport.min_round_trip_ns() or 1) < 10_000_000
            transport.close()
            assert transport.min_round_trip_ns() is None
        return exchanges

    with proxying() as proxy, _keeper():
        exchanges = run(main(proxy.port))
    assert len(proxy.asked) == 1
    for exchange in exchanges:
        reply = read_reply(exchange)
        assert (reply.outcome, len(reply.arrival_reads)) == (Outcome.OK, 3), reply.detail
        assert unpack_stamps(exchange.stamps)[1] == 0, "the kernel stamps what comes from the proxy as it does all else"


def ended_with(ended: asyncio.Event) -> Callable[[Exchange], None]:
    return lambda _: ended.set()


def _keeper() -> socket.socket:
    """The kernel begins to stamp a little after the first socket asked for it."""
    keeper = socket.socket()
    ask_for_kernel_stamps(keeper)
    time.sleep(0.05)
    return keeper


async def _says(reply: bytes, peer: Peer) -> None:
    await peer.reader.readuntil(b"\r\n\r\n")
    await peer.send(reply)


@pytest.mark.loopback
@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (b"HTTP/1.1 407 Basic realm=s3cret-pw\r\n\r\n", r"refused the way through: 407 \(it wants a user and password"),
        (b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", "refused the way through: 403 Forbidden"),
        (b"HTTP/1.1 299 So so\r\n\r\nhello", "sent more than its answer to CONNECT"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "is no HTTP proxy"),
        (b"", "closed the connection before it opened a way through"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000, "has no end"),
    ],
)
def test_a_proxy_that_lets_nobody_through_is_told(reply: bytes, problem: str) -> None:
    script: Script = lambda peer: _says(reply, peer)  # noqa: E731

    async def main() -> None:
        async with serving(script) as wire:
            route = Route(Proxy("127.0.0.1", wire.port, "me", "s3cret-pw"))
            transport = StampingTransport(resolve("https", NAME, 443, route)[0])
            with pytest.raises(ConnectFailedError, match=problem) as caught:
                await transport.open()
            assert "s3cret" not in str(caught.value)
            assert f"{NAME} through the proxy 127.0.0.1:{wire.port}" in str(caught.value)

    run(main())


@pytest.mark.loopback
class TestWhoIsBelieved:
    """Certificates of an authority made for the test."""

    def open(self, authority: Authority, route: Route, host: str = "127.0.0.1") -> bool:
        """Whether a connection stands."""

        async def silent(peer: Peer) -> None:
            await peer.reader.read()

        async def main() -> bool:
            async with serving(silent, authority.context) as wire:
                found = resolve("https", host, wire.port, route)
                transport = StampingTransport(next(each for each in found if each.family is socket.AF_INET))
                await transport.open()
                stands = transport.min_round_trip_ns() is not None
                transport.close()
                return stands

        stood: bool = run(main())
        return stood

    def test_nobody_unknown(self, authority: Authority) -> None:
        with pytest.raises(ConnectFailedError, match="certificate verify failed"):
            self.open(authority, Route())

    def test_whom_the_file_names(self, authority: Authority) -> None:
        assert self.open(authority, Route(ca_file=str(authority.certificate)))

    def test_not_under_another_name(self, authority: Authority) -> None:
        with pytest.raises(ConnectFailedError, match="Hostname mismatch"):
            self.open(authority, Route(ca_file=str(authority.certificate)), "localhost")

    def test_anybody_when_insecure(self, authority: Authority) -> None:
        assert self.open(authority, Route(insecure=True), "localhost")

    def test_a_file_that_went_away_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ConnectFailedError, match=r"gone\.pem cannot be read"):
            resolve("https", "127.0.0.1", 443, Route(ca_file=str(tmp_path / "gone.pem")))
