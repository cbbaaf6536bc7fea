"""What disturbs the client, and from where on its figures go wrong: the measurements behind the limits in docs/method.md.

    python bench/disturbances.py [stalls late_reads hogs spins busy]

Each line is one run against truth_server with one disturbance: a stalled event loop, stamps taken at the read, processors kept
busy by others, or more events than the client can read.
"""

import asyncio
import contextlib
import multiprocessing
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import clients
from bench.engine import build_programs
from loadgen.analysis.client_error import ClientError, Sighting, client_error, sightings
from loadgen.engine import measurement
from loadgen.engine.eventloop.clock import monotonic_ns
from loadgen.engine.eventloop.loop import make_loop
from loadgen.engine.measurement import Task
from loadgen.engine.records.record import Priority, Recording
from loadgen.engine.wire import sockets
from loadgen.engine.wire.target import Target
from loadgen.load.body import RequestForm
from loadgen.load.schedule import build
from loadgen.load.shapes import ClosedLoop
from loadgen.load.spec import RunSpec

WAVES = 10


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What is done to one run. Stalls hold the event loop for `stall_ms` in every `period_ms`."""

    group: str
    stall_ms: float = 0.0
    period_ms: float = 100.0
    stamps: Literal["kernel", "read"] = "kernel"
    priority: Literal["best", "normal"] = "best"
    hogs: int = 0
    streams: int = 100
    gap_us: int = clients.GAP_US

    @property
    def label(self) -> str:
        """What it is, for a person."""
        parts = [f"{self.streams} streams, a token every {self.gap_us / 1e3:g} ms"]
        if self.stall_ms:
            parts.append(f"stalled {self.stall_ms:g} of {self.period_ms:g} ms")
        if self.hogs:
            parts.append(f"{self.hogs} busy processes")
        if self.priority == "normal":
            parts.append("normal priority")
        if self.stamps == "read":
            parts.append("stamped at the read")
        return ", ".join(parts)


DISTURBANCES = (
    *(Disturbance("stalls", stall_ms=stall) for stall in (0, 5, 9, 11, 12, 15, 20, 30)),
    *(Disturbance("stalls", stall_ms=20, period_ms=period) for period in (2000, 1000, 500, 200)),
    *(Disturbance("late_reads", stall_ms=stall, stamps="read") for stall in (0, 0.2, 0.5, 1, 2, 5)),
    *(Disturbance("hogs", hogs=hogs, priority=priority) for hogs in (1, 2, 4) for priority in ("best", "normal")),
    *(Disturbance("spins", stall_ms=stall, period_ms=period) for stall, period in ((4, 5), (8, 8.5))),
    *(Disturbance("busy", streams=1000, gap_us=gap) for gap in (10_000, 6_000, 5_000, 4_000)),
)


def disturbed(disturbance: Disturbance, port: int) -> Recording:
    """The run in this process, with the disturbance."""
    if disturbance.stamps == "read":
        setattr(sockets, "ask_for_kernel_stamps", lambda sock: None)  # noqa: B010  (not ours to assign, says mypy)
    if disturbance.priority == "normal":
        setattr(measurement, "raised_priority", _normal_priority)  # noqa: B010
    spec = RunSpec("http://127.0.0.1", "truth", ClosedLoop(disturbance.streams), 32, clients.TOKENS)
    task = Task(
        Target("http", "127.0.0.1", port, "/v1/completions"),
        build(spec, WAVES * disturbance.streams, prompt_seed="disturbed", form=RequestForm("vllm")),
        spec.shape,
    )

    async def run() -> Recording:
        stalls = asyncio.ensure_future(_stall(disturbance)) if disturbance.stall_ms else None
        try:
            return await clients.measured_here(task, Path(records))
        finally:
            if stalls is not None:
                stalls.cancel()

    with tempfile.TemporaryDirectory() as records, asyncio.Runner(loop_factory=make_loop) as runner:
        return runner.run(run())


async def _stall(disturbance: Disturbance) -> None:
    draw = random.Random(0)
    while True:
        until_ns = monotonic_ns() + round(disturbance.stall_ms * 1e6)
        while monotonic_ns() < until_ns:
            pass
        # Of uneven length, so that neither the loop's probe nor the tokens keep step with the stalls.
        await asyncio.sleep(draw.uniform(0.5, 1.5) * (disturbance.period_ms - disturbance.stall_ms) / 1e3)


@contextlib.contextmanager
def _normal_priority() -> Iterator[Priority]:
    yield "normal"


@contextlib.contextmanager
def _hogs(number: int) -> Iterator[None]:
    hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    try:
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


def measure(disturbance: Disturbance) -> tuple[Recording, ClientError]:
    """The run and its error against the truth."""
    clients.GAP_US = disturbance.gap_us
    with tempfile.TemporaryDirectory() as folder, _hogs(disturbance.hogs):
        with (
            clients.serving("spread", Path(folder) / "truth") as server,
            ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool,
        ):
            recording = pool.submit(disturbed, disturbance, server.port).result()
        truth = server.truth
    true = {number: Sighting(truth.arrival_ns[number], sent_ns) for number, sent_ns in truth.sent_ns.items()}
    return recording, client_error(sightings(recording.records), true)


def main() -> None:
    """Run the groups named, or all, and print a line for each disturbance."""
    build_programs()
    chosen = sys.argv[1:]
    table = Table()
    for heading in (
        "disturbance",
        "lag p50",
        "p99",
        "max ms",
        "CPU",
        "coalesced",
        "first",
        "TTFT err p50",
        "p99",
        "gap p99 err ms",
    ):
        table.add_column(heading, justify="left" if heading == "disturbance" else "right")
    for disturbance in DISTURBANCES:
        if chosen and disturbance.group not in chosen:
            continue
        recording, error = measure(disturbance)
        records, client = recording.records, recording.client
        lag_ms = client.loop_lag_ns / 1e6
        first = records.arrival_coalesced[records.arrival_start[:-1][np.diff(records.arrival_start) > 1] + 1]
        cells = (
            *np.percentile(lag_ms, (50, 99, 100)),
            (client.cpu_s or 0.0) / client.wall_s * 100,
            records.arrival_coalesced.mean() * 100,
            first.mean() * 100,
            *(1e3 * (value or 0) for value in (error.ttft_error_p50_s, error.ttft_error_p99_s, error.gap_p99_error_s)),
        )
        table.add_row(disturbance.label, *(f"{cell:.3g}" for cell in cells))
    Console(width=None if sys.stdout.isatty() else 170).print(table)


if __name__ == "__main__":
    main()
