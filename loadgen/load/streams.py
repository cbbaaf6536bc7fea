"""How many connections a load point opens before t = 0. Pure."""

from loadgen.load.spec import ClosedLoop, LoadShape, OpenLoop, Wave

_FEWEST_OPEN_LOOP_STREAMS = 16


def streams(shape: LoadShape, requests: int | None = None) -> int:
    """Connections opened before the first request; never more than `requests`, where their number is known.

    The open loop opens two seconds' worth of arrivals, or as many as may be in flight at once. A stream beyond them connects when it is needed, and that is recorded.
    """
    match shape:
        case ClosedLoop(concurrency=concurrency):
            wanted = concurrency
        case Wave(size=size):
            wanted = size
        case OpenLoop(rate_per_s=rate_per_s, max_in_flight=places):
            wanted = max(_FEWEST_OPEN_LOOP_STREAMS, round(2 * rate_per_s))
            wanted = wanted if places is None else min(wanted, places)
    return wanted if requests is None else min(wanted, requests)
