"""Before a sweep begins: has this host files and ports enough for the most streams of any of its runs?"""

from collections.abc import Sequence
from urllib.parse import urlsplit

from loadgen.engine.eventloop.limits import check_before_start
from loadgen.engine.wire.route import DIRECT, Route
from loadgen.experiments.parallel import workers_for
from loadgen.load.schedule import planned_requests
from loadgen.load.spec import RunSpec
from loadgen.load.streams import streams
from loadgen.servers.endpoint import EndpointFacts


def check_limits(facts: EndpointFacts, runs: Sequence[RunSpec], route: Route = DIRECT) -> None:
    """Raises HostLimitError, with the remedy, when some run of `runs` asks for more connections than the host allows."""
    parts = urlsplit(facts.base_url)
    assert parts.hostname is not None
    host, port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
    if route.addresses:
        host = route.addresses[0]
    if route.proxy is not None:
        host, port = route.proxy.host, route.proxy.port
    for wanted, processes in {(streams(run.shape, planned_requests(run)), workers_for(run)) for run in runs}:
        check_before_start(wanted, processes, host, port)
