"""Which proxy the environment names for a server, by the rules that curl and httpx share. Pure: the environment is handed in.

What a variable holds is never repeated in a message: it may have a password.

- `http_proxy` and `https_proxy` go by the scheme of the server's URL, `all_proxy` stands in for either; the lower case of a
  name goes before its upper case.
- `no_proxy` lists, with commas or blanks between them, what is reached directly: `*` for all, a domain with all below it (a
  leading dot changes nothing), an address, a network as `10.0.0.0/8`, each with a port at its end if it is meant for that alone.
- A server on this very host (`localhost` and the loopback addresses) is never asked through a proxy, as Go has it and curl
  has not: for a proxy elsewhere these names mean itself, and the embedded simulator is such a server.
"""

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from loadgen.engine.wire.route import Proxy
from loadgen.errors import UsageError

DEFAULT_PORTS = {"http": 80, "https": 443}
_DEFAULT_PROXY_PORT = 80


def proxy_for(url: str, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy through which the server at `url` is to be reached, None for none. Raises UsageError for one we cannot speak to."""
    parts = urlsplit(url)
    host, port = (parts.hostname or "").rstrip("."), parts.port or DEFAULT_PORTS[parts.scheme]
    named = next((name for name in _names(f"{parts.scheme}_proxy", "all_proxy") if environ.get(name, "").strip()), None)
    if named is None or _is_loopback(host):
        return None
    exceptions = next((environ[name] for name in _names("no_proxy") if environ.get(name, "").strip()), "")
    if any(_excepts(entry, host, port) for entry in re.split(r"[\s,]+", exceptions) if entry):
        return None
    return _parse(environ[named].strip(), named)


def _names(*lower: str) -> tuple[str, ...]:
    return tuple(each for name in lower for each in (name, name.upper()))


def _parse(text: str, variable: str) -> Proxy:
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname, parts.port
        credentials = [None if each is None else unquote(each) for each in (parts.username, parts.password)]
    except ValueError:
        host, port, credentials = None, None, [None, None]
    else:
        if parts.scheme != "http":
            scheme = parts.scheme if parts.scheme.isalnum() else "another scheme"
            raise UsageError(
                f"the environment variable {variable} names a proxy of the kind {scheme}, and loadgen speaks to http:// proxies "
                "alone; name such a one, or list the server in NO_PROXY"
            )
    if not host:
        raise UsageError(
            f"the environment variable {variable} does not hold the URL of a proxy; write it like http://proxy.example:3128, "
            "or unset it"
        )
    user, password = credentials
    if any(not each.isprintable() for each in (user or "", password or "")):
        raise UsageError(
            f"the user or password in the environment variable {variable} holds characters that cannot be sent"
        )
    return Proxy(host, port or _DEFAULT_PROXY_PORT, user, password or "")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    address = _address(host)
    if address is not None:
        return address.is_loopback
    return host.lower() == "localhost" or host.lower().endswith(".localhost")


def _excepts(entry: str, host: str, port: int) -> bool:
    """Whether one entry of no_proxy means this server."""
    if entry == "*":
        return True
    name, of_port = _split_port(entry)
    if of_port is not None and of_port != port:
        return False
    address = _address(host)
    if address is not None:
        try:
            return address in ipaddress.ip_network(name, strict=False)
        except ValueError:
            return False
    name = name.removeprefix("*").strip(".").lower()
    return bool(name) and (host.lower() == name or host.lower().endswith(f".{name}"))


def _split_port(entry: str) -> tuple[str, int | None]:
    """An entry's name or address, and its port if it has one; `::1` and `[::1]:80` are both understood."""
    bracketed = re.fullmatch(r"\[(.+)\](?::(\d+))?", entry)
    if bracketed:
        return bracketed[1], int(bracketed[2]) if bracketed[2] else None
    name, colon, port = entry.rpartition(":")
    if colon and ":" not in name and port.isdigit():
        return name, int(port)
    return entry, None
