"""The clients under comparison, each run against a truth_server of its own: what it cost, and how far from the truth it was."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadgen.engine import measurement
from loadgen.engine.drive.driver import Driver
from loadgen.engine.drive.throttle import Throttle
from loadgen.engine.eventloop.clock import monotonic_ns
from loadgen.engine.measurement import Share, Task
from loadgen.engine.records.column_files import in_schedule_order, read_columns
from loadgen.engine.records.record import Outcome, Recording
from loadgen.engine.wire.target import Target
from loadgen.engine.workers import Workers
from loadgen.load.body import RequestForm
from loadgen.load.schedule import build
from loadgen.load.shapes import ClosedLoop
from loadgen.load.spec import RunSpec

HERE = Path(__file__).resolve().parent
BUILT = HERE / "built"
TTFT_US, GAP_US, TOKENS = 50_000, 10_000, 128

Int64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Truth:
    """What the server really did: per request number, its arrival and its sends in nanoseconds."""

    arrival_ns: dict[int, int]
    sent_ns: dict[int, Int64]
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Figures:
    """One client at one number of streams. Errors in milliseconds, against the truth of the same run."""

    client: str
    pattern: str
    streams: int
    requests: int
    ok: int
    events: int
    cpu_us_per_event: float
    cpu_ratio: float
    server_cpu_ratio: float
    ttft_error_p50_ms: float | None  # of |ours − true| by request
    ttft_error_p99_ms: float | None
    gap_p99_error_ms: float | None  # p99 of the gaps seen minus p99 of the gaps sent
    coalesced_ratio: float | None
    loop_lag_p99_ms: float | None
    stamps: str | None


@dataclass(frozen=True, slots=True)
class Seen:
    """What a client says of its run: by request number, when it was sent and what arrived, in nanoseconds; and what it cost."""

    sent_ns: dict[int, int]
    arrival_ns: dict[int, Int64]
    cpu_s: float
    wall_s: float
    coalesced: int
    stamps: str | None
    loop_lag_p99_ms: float | None = None


class Server:
    """A running truth_server; `truth` is known after the block."""

    port: int
    truth: Truth


@contextmanager
def serving(pattern: str, truth_file: Path) -> Iterator[Server]:
    """Run truth_server with that pattern of tokens (`steps` or `spread`) for the length of the block."""
    command = [str(BUILT / "truth_server"), str(TTFT_US), str(GAP_US), str(TOKENS), pattern, str(truth_file)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    server = Server()
    server.port = int(process.stdout.readline())
    try:
        yield server
    finally:
        process.stdin.close()
        cpu_s = float(process.stdout.read() or "nan")
        process.wait()
    rows = np.fromfile(truth_file, dtype=np.int64).reshape(-1, 2 + TOKENS)
    server.truth = Truth(
        arrival_ns={int(row[0]): int(row[1]) for row in rows},
        sent_ns={int(row[0]): row[2:] for row in rows},
        cpu_s=cpu_s,
    )


async def measured_here(task: Task, folder: Path, adopt: Callable[[Driver], None] = lambda driver: None) -> Recording:
    """Carry out a task in this process, its records through files in `folder`."""
    share = Share(task, 0, 1, folder)
    report = await measurement.measure_share(
        share, lambda said: None, adopt=adopt, agree_on_start=monotonic_ns, throttle=Throttle()
    )
    ordered = folder / "ordered"
    ordered.mkdir()
    return Recording(in_schedule_order([read_columns(folder)], ordered), report.client, report.origin_at)


def run_c(pattern: str, streams: int, requests: int, truth_file: Path) -> Figures:
    """The C epoll client: cost alone, it keeps no stamp."""
    with serving(pattern, truth_file) as server:
        command = [str(BUILT / "epoll_client"), str(server.port), str(streams), str(requests)]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    events, cpu_s, wall_s, reads = int(said[0]), float(said[1]), float(said[2]), int(said[3])
    content = requests * TOKENS  # its count includes the usage event of each answer
    return Figures(
        "C epoll", pattern, streams, requests, requests, content, 1e6 * cpu_s / content, cpu_s / wall_s, server.truth.cpu_s / wall_s,
        None, None, None, max(0.0, 1 - reads / events), None, None,
    )  # fmt: skip


def run_peer(name: str, pattern: str, streams: int, requests: int, truth_file: Path) -> Figures:
    """One of bench/peers.py."""
    with serving(pattern, truth_file) as server:
        command = [sys.executable, str(HERE / "peers.py"), name, str(server.port), str(streams), str(requests)]
        said: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    sent = {number: sent_ns for number, sent_ns, _ in said["rows"]}
    seen = {number: np.array(seen_ns, dtype=np.int64) for number, _, seen_ns in said["rows"]}
    shared = sum(int(np.count_nonzero(np.diff(stamps) < 2_000)) for stamps in seen.values())
    made = Seen(sent, seen, said["cpu_s"], said["wall_s"], coalesced=shared, stamps="read")
    return _figures(name, pattern, streams, requests, seen=made, truth=server.truth)


def run_ours(pattern: str, streams: int, requests: int, truth_file: Path) -> Figures:
    """loadgen's engine in its worker process."""
    spec = RunSpec("http://127.0.0.1", "truth", ClosedLoop(streams), 32, TOKENS, requests=requests)
    with serving(pattern, truth_file) as server, Workers() as worker:
        target = Target("http", "127.0.0.1", server.port, "/v1/completions")
        recording = worker.run(
            Task(
                target, build(spec, requests, prompt_seed="bench", form=RequestForm("vllm", ("token_ids",))), spec.shape
            )
        )
    records, client = recording.records, recording.client
    rows = np.flatnonzero(records.outcome == Outcome.OK)
    sent = {int(records.index[row]): int(records.sent_ns[row]) for row in rows}
    begin = records.arrival_start
    seen = {int(records.index[row]): records.arrival_ns[begin[row] : begin[row + 1]] for row in rows}
    shared = int(np.count_nonzero(records.arrival_coalesced))
    lag_ms = float(np.percentile(client.loop_lag_ns, 99)) / 1e6
    made = Seen(sent, seen, client.cpu_s or 0.0, client.wall_s, shared, client.stamp_source, lag_ms)
    return _figures("loadgen", pattern, streams, requests, seen=made, truth=server.truth)


def _figures(client: str, pattern: str, streams: int, requests: int, *, seen: Seen, truth: Truth) -> Figures:
    arrival_ns = seen.arrival_ns
    whole = [number for number in arrival_ns if len(arrival_ns[number]) == TOKENS and number in truth.sent_ns]
    ttft_ns = np.array([arrival_ns[number][0] - seen.sent_ns[number] for number in whole])
    true_ttft_ns = np.array([truth.sent_ns[number][0] - truth.arrival_ns[number] for number in whole])
    error_ms = np.abs(ttft_ns - true_ttft_ns) / 1e6
    gaps_ms = np.concatenate([np.diff(arrival_ns[number]) for number in whole]) / 1e6
    true_gaps_ms = np.concatenate([np.diff(truth.sent_ns[number]) for number in whole]) / 1e6
    events = sum(map(len, arrival_ns.values()))
    return Figures(
        client=client,
        pattern=pattern,
        streams=streams,
        requests=requests,
        ok=len(whole),
        events=events,
        cpu_us_per_event=1e6 * seen.cpu_s / events,
        cpu_ratio=seen.cpu_s / seen.wall_s,
        server_cpu_ratio=truth.cpu_s / seen.wall_s,
        ttft_error_p50_ms=float(np.percentile(error_ms, 50)),
        ttft_error_p99_ms=float(np.percentile(error_ms, 99)),
        gap_p99_error_ms=float(np.percentile(gaps_ms, 99) - np.percentile(true_gaps_ms, 99)),
        coalesced_ratio=seen.coalesced / events,
        loop_lag_p99_ms=seen.loop_lag_p99_ms,
        stamps=seen.stamps,
    )
