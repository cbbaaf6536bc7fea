"""The keys of a sweep that say whose certificates to believe, and the way to the server that they and the environment make.

Imports `engine`'s route, `servers` (the proxy variables), `errors` and its neighbours.
"""

import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, Field

from loadgen.engine.wire.route import Route
from loadgen.errors import UsageError
from loadgen.inputs.origin import Origin
from loadgen.servers.proxies import proxy_for
from loadgen.servers.server_url import query_secrets

if TYPE_CHECKING:
    from loadgen.spec.sweep_spec import SweepSpec


class RouteKeys(BaseModel):
    """Whom to believe, as flags and files say it."""

    ca_file: Annotated[str, Field(min_length=1)] | None = None
    insecure: bool | None = None

    def route_to(self, url: str, environ: Mapping[str, str], addresses: tuple[str, ...] = ()) -> Route:
        """The way to the server at `url`; with `addresses`, straight to these alone, whatever proxy the environment names.

        Raises UsageError for a proxy variable that we cannot follow.
        """
        proxy = None if addresses else proxy_for(url, environ)
        query = urlsplit(url).query
        return Route(proxy, self.ca_file, bool(self.insecure), addresses, query, query_secrets(query))


def check_route(spec: "SweepSpec", origin: Origin) -> None:
    """Combinations that no single value shows to be wrong, and a file without certificates. Raises UsageError."""
    name = origin.name
    given = [key for key in RouteKeys.model_fields if getattr(spec, key)]
    if len(given) > 1:
        raise UsageError(f"{name('ca_file')} and {name('insecure')} exclude each other; give one of them")
    if given and not spec.url.strip().startswith("https://"):
        raise UsageError(f"{name(given[0])} needs a URL with https://; over plain http nobody shows a certificate")
    if spec.ca_file is not None:
        try:
            Route(ca_file=spec.ca_file).tls_context()
        except OSError as error:  # of a file that is no PEM too
            reason = "it holds no certificate in PEM" if isinstance(error, ssl.SSLError) else error.strerror
            raise UsageError(f"{name('ca_file')} {spec.ca_file} cannot be read: {reason}") from error
