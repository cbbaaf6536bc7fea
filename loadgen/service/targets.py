"""Where a service may send requests: what its owner has listed, at addresses that are public or listed too.

A name that is listed says
which server is meant, and its owner may be somebody else: what it resolves to is looked at as well, so that no name can lead
to this machine, to its neighbours or to a cloud's metadata. The addresses found are the ones to connect to.
"""

import ipaddress
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from loadgen.errors import ExitCode, LoadgenError, ServerError, UsageError
from loadgen.servers.proxies import DEFAULT_PORTS
from loadgen.servers.server_url import normalise_url
from loadgen.spec.sweep_spec import SIMULATOR

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
LookUp = Callable[[str, int], list[str]]
"""The addresses of a host. Raises OSError."""

_LOOPBACK_NAMES = ("localhost", "ip6-localhost")
_LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
_LINK_LOCAL = (ipaddress.ip_network("169.254.0.0/16"), ipaddress.ip_network("fe80::/10"))
# Where clouds tell a machine its own secrets.
_METADATA = tuple(
    ipaddress.ip_address(each)
    for each in ("169.254.169.254", "168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254")
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class ForbiddenTargetError(LoadgenError):
    """The service may not send requests there."""

    exit_code = ExitCode.USAGE


@dataclass(frozen=True, slots=True)
class JobTarget:
    """A server that jobs may measure. `name` is what its queue is called by; without `addresses` it is the simulator."""

    name: str
    addresses: tuple[str, ...]
    key_env: str | None = None  # the environment variable of the service that holds its API key


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of the list. What is None is not asked for; `networks` are the addresses that it lists by themselves."""

    scheme: str | None
    host: str | None  # None: any address in `networks`
    port: int | None
    path: str
    networks: tuple[Network, ...]
    key_env: str | None = None

    @classmethod
    def of(cls, text: str) -> "Rule":
        """`http://host:8000`, `host`, `host:8000`, an address or a network, each with `=NAME` of a key's variable behind it.

        Raises UsageError.
        """
        if "?" in text:
            raise UsageError(f"--allow-target {text.partition('?')[0]} must not have a query; it lists a server")
        text, equals, key_env = text.strip().partition("=")
        has_scheme = "://" in text
        if equals and not (has_scheme and key_env.isidentifier()):
            raise UsageError(
                f"--allow-target {text}=… names a key: write URL=NAME, with http:// or https:// and an environment variable"
            )
        try:
            network = ipaddress.ip_network(text.strip("[]"))
        except ValueError:
            pass
        else:
            single = str(network.network_address) if network.num_addresses == 1 else None
            return cls(None, single, None, "", (network,))
        if "*" in text or (not has_scheme and "/" in text):
            raise UsageError(f"--allow-target {text} is no host: write a URL, HOST, HOST:PORT, an address or a network")
        parts = urlsplit(normalise_url(text if has_scheme else f"http://{text}"))
        scheme, host = parts.scheme if has_scheme else None, _canonical(parts.hostname or "")
        port = parts.port or (None if scheme is None else DEFAULT_PORTS[scheme])
        return cls(scheme, host, port, parts.path, _networks_of(host), key_env or None)

    def means(self, scheme: str, host: str, port: int, path: str) -> bool:
        """Whether this rule lists the server at that URL."""
        if self.host is None:
            address = _address(host)
            is_host = address is not None and any(address in network for network in self.networks)
        else:
            is_host = self.host == host
        same = (self.scheme in (None, scheme), self.port in (None, port), self.path in ("", path))
        return is_host and all(same)


@dataclass(frozen=True, slots=True)
class Targets:
    rules: tuple[Rule, ...]

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Targets":
        """From what was given with --allow-target. Raises UsageError."""
        return cls(tuple(Rule.of(text) for text in texts))

    def named(self, url: str) -> JobTarget:
        """The target at `url`, not looked up yet. Raises ForbiddenTargetError when it is not listed."""
        if url == SIMULATOR:
            return JobTarget(SIMULATOR, ())
        return self._listed(url)[0]

    def checked(self, url: str, look_up: LookUp | None = None) -> JobTarget:
        """The target at `url` with the addresses to connect to. Raises ForbiddenTargetError for any that must not be reached, ServerError when there is none."""
        if url == SIMULATOR:
            return JobTarget(SIMULATOR, ())
        target, host, port = self._listed(url)
        try:
            found = list(dict.fromkeys((look_up or _look_up)(host, port)))
        except OSError as error:
            raise ServerError(f"{target.name} cannot be resolved: {error.strerror or error}") from error
        for text in found:
            address = _innermost(ipaddress.ip_address(text.partition("%")[0]))
            if (kind := _kind(address)) is not None and not self._lists(address, host, port):
                raise ForbiddenTargetError(
                    f"{target.name} stands for {address}, {kind}, which is not on this service's list: whoever runs it can "
                    f"list it with --allow-target {address}"
                )
        if not found:
            raise ServerError(f"{target.name} has no address")
        return JobTarget(target.name, tuple(found), target.key_env)

    def _listed(self, url: str) -> tuple[JobTarget, str, int]:
        parts = urlsplit(url)
        host, port = _canonical(parts.hostname or ""), parts.port or DEFAULT_PORTS[parts.scheme]
        fitting = [rule for rule in self.rules if rule.means(parts.scheme, host, port, parts.path)]
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if not fitting:
            raise ForbiddenTargetError(
                f"{shown} is not on this service's list of servers: whoever runs it can list it with --allow-target {shown}"
            )
        key_env = next((rule.key_env for rule in fitting if rule.key_env is not None), None)
        name = f"127.0.0.1:{port}" if host in _LOOPBACK_NAMES else shown
        return JobTarget(name, (), key_env), host, port

    def _lists(self, address: Address, host: str, port: int) -> bool:
        """Whether the address itself is listed, for that port. A whole network never means what only a mistake would ask for."""
        networks = [
            network
            for rule in self.rules
            if rule.host in (None, host, str(address)) and rule.port in (None, port)
            for network in rule.networks
        ]
        if _kind(address) in (_OF_METADATA, _OF_LINK):
            networks = [network for network in networks if network.num_addresses == 1]
        return any(address in network for network in networks)


_OF_METADATA = "where a cloud keeps a machine's secrets"
_OF_LINK = "a link-local address"


def _kind(address: Address) -> str | None:
    """Why an address is not for everybody; None for a public one."""
    if address in _METADATA:
        return _OF_METADATA
    if any(address in network for network in _LINK_LOCAL):
        return _OF_LINK
    if address.is_loopback:
        return "this machine itself"
    if address.is_multicast or address.is_unspecified:
        return "no address of a server"
    return None if address.is_global else "a private address"


def _innermost(address: Address) -> Address:
    """The IPv4 address that an IPv6 one carries inside, where it is a way of writing one; else itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64 or (int(address) >> 32 == 0 and int(address) > 1):  # the latter: ::a.b.c.d, of old
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.teredo[1] if address.teredo is not None else address


def _networks_of(host: str) -> tuple[Network, ...]:
    address = _address(host)
    if address is not None:
        return (ipaddress.ip_network(_innermost(address)),)
    return _LOOPBACK if host in _LOOPBACK_NAMES else ()


def _address(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _canonical(host: str) -> str:
    """One spelling for each host: lower case, no dot at its end, addresses as Python writes them."""
    host = host.rstrip(".").lower()
    address = _address(host)
    return host if address is None else str(_innermost(address))


def _look_up(host: str, port: int) -> list[str]:
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
