"""What the client knows of itself, as the `client` part of a run document: the material of half the checks.

Imports engine and its own room.
"""

from typing import Any

import numpy as np

from loadgen.analysis.measured import Measured
from loadgen.analysis.stats import FloatArray, distribution
from loadgen.engine.record import MISSING, Bool, ClientFacts


def client_facts(measured: Measured, client: ClientFacts) -> dict[str, Any]:
    """Plain JSON values. Delays and lags in seconds; `cpu_ratio` is the share of one core that the busiest worker used."""
    records = measured.records
    arrivals = len(records.arrival_ns)
    opened_ns = records.connect_ns[records.connect_ns != MISSING]
    return {
        "stamp_source": client.stamp_source,
        "workers": client.workers,
        "reads_by": client.reads_by,
        "priority": client.priority,
        "cpu_s": client.cpu_s,
        "wall_s": client.wall_s,
        "cpu_ratio": _busiest_cpu_s(client) / client.wall_s if client.wall_s > 0 else None,
        "events": arrivals,
        "reads": client.reads,
        "loop_lag_s": distribution(client.loop_lag_ns / 1e9),
        "send_delay_s": distribution(_send_delay_s(measured, np.ones(len(records), np.bool_))),
        "measured_send_delay_s": distribution(_send_delay_s(measured, measured.window.requests)),
        "coalesced_ratio": int(np.count_nonzero(records.arrival_coalesced)) / arrivals if arrivals else None,
        "first_content_coalesced_ratio": _first_content_coalesced_ratio(measured),
        "connect_s": distribution(opened_ns / 1e9),
        "network_rtt_s": distribution(client.network_rtt_ns / 1e9) if len(client.network_rtt_ns) else None,
        "clock_step_s": client.clock_step_ns / 1e9,
        "connections_opened": client.connections_opened,
        "connections_reopened": client.connections_reopened,
        "peak_rss_bytes": client.peak_rss_bytes,
        "schedule_exhausted": client.schedule_exhausted,
    }


def _busiest_cpu_s(client: ClientFacts) -> float:
    return client.cpu_s if client.busiest_cpu_s is None else client.busiest_cpu_s


def _send_delay_s(measured: Measured, rows: Bool) -> FloatArray:
    """How much later than due each request of `rows` that was sent went out, without what a limit held it back."""
    records = measured.records
    rows = rows & (records.sent_ns != MISSING) & (records.due_ns != MISSING)
    return (records.sent_ns[rows] - records.due_ns[rows] - records.limit_wait_ns[rows]) / 1e9


def _first_content_coalesced_ratio(measured: Measured) -> float | None:
    """The share of the measured requests whose first content shares its stamp with the next; None without any request.

    The stamp is that of the later one, so the TTFT of such a request is only an upper bound.
    """
    answered = int(np.count_nonzero(measured.answered))
    several = np.flatnonzero(measured.answered & (measured.arrivals > 1))
    shared = measured.records.arrival_coalesced[measured.records.arrival_start[several] + 1]
    return int(np.count_nonzero(shared)) / answered if answered else None
