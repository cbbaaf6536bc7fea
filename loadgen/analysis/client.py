"""What the client knows of itself, as the `client` part of a run document: the material of half the checks."""

import numpy as np

from loadgen.analysis.distributions import distribution_of
from loadgen.analysis.document.run import ClientAccount
from loadgen.analysis.figures.figure import Figure
from loadgen.analysis.measured import Measured
from loadgen.analysis.stats import FloatArray, distribution
from loadgen.engine.records.record import MISSING, Bool, ClientFacts, Records


def client_facts(measured: Measured, client: ClientFacts) -> ClientAccount:
    """Plain JSON values. Delays and lags in seconds; `cpu_ratio` is the share of one core that the busiest worker used."""
    arrivals = len(measured.records.arrival_ns)
    coalesced = measured.sum(lambda piece: piece.records.arrival_coalesced)
    return {
        "stamp_source": client.stamp_source,
        "workers": client.workers,
        "reads_by": client.reads_by,
        "priority": client.priority,
        "cpu_s": client.cpu_s,
        "wall_s": client.wall_s,
        "cpu_ratio": _cpu_ratio(client),
        "events": arrivals,
        "reads": client.reads,
        "loop_lag_s": distribution(client.loop_lag_ns / 1e9),
        "send_delay_s": distribution_of(measured.samples(lambda piece: _send_delay_s(piece.records))),
        "measured_send_delay_s": distribution_of(
            measured.samples(lambda piece: _send_delay_s(piece.records, piece.in_window))
        ),
        "coalesced_ratio": coalesced / arrivals if arrivals else None,
        "first_content_coalesced_ratio": _first_content_coalesced_ratio(measured),
        "connect_s": distribution_of(measured.samples(lambda piece: _connect_s(piece.records))),
        "network_rtt_s": distribution(client.network_rtt_ns / 1e9) if len(client.network_rtt_ns) else None,
        "clock_step_s": client.clock_step_ns / 1e9,
        "connections_opened": client.connections_opened,
        "connections_reopened": client.connections_reopened,
        "peak_rss_bytes": client.peak_rss_bytes,
        "skipped_events": dict(client.replies.skipped_events),
        "content_types": dict(client.replies.content_types),
        "open_body_requests": client.replies.left_open,
        "schedule_exhausted": client.schedule_exhausted,
    }


def _cpu_ratio(client: ClientFacts) -> float | None:
    busiest_s = client.cpu_s if client.busiest_cpu_s is None else client.busiest_cpu_s
    return busiest_s / client.wall_s if busiest_s is not None and client.wall_s > 0 else None


def _send_delay_s(records: Records, rows: Bool | None = None) -> FloatArray:
    """How much later than due each request of `rows`, or of all, went out if it did, without what a limit held it back."""
    sent = (records.sent_ns != MISSING) & (records.due_ns != MISSING)
    rows = sent if rows is None else sent & rows
    return (records.sent_ns[rows] - records.due_ns[rows] - records.limit_wait_ns[rows]) / 1e9


def _connect_s(records: Records) -> FloatArray:
    opened_s: FloatArray = records.connect_ns[records.connect_ns != MISSING] / 1e9
    return opened_s


def _first_content_coalesced_ratio(measured: Measured) -> float | None:
    """The share of the measured requests whose first content shares its stamp with the next; None without any request.

    The stamp is that of the later one, so the TTFT of such a request is only an upper bound.
    """
    shared = 0
    for piece in measured.pieces():
        several = np.flatnonzero(piece.answered & (piece.arrivals > 1))
        shared += int(np.count_nonzero(piece.records.arrival_coalesced[piece.records.arrival_start[several] + 1]))
    answered = measured.count(lambda piece: piece.answered)
    return shared / answered if answered else None


CLIENT_FIGURES = (
    Figure(
        key="network_rtt_s",
        label="Network round trip",
        unit="s",
        kind="distribution",
        formula="the least round trip of each connection, by the kernel",
        path="client.network_rtt_s",
        is_drawn=False,
    ),
)
