"""The engine against the truth, beside other clients: `make bench`.

    python bench/engine.py [--streams 100,500,1000] [--patterns steps,spread] [--peers asyncio,aiohttp,httpx2] [--no-history]

Every client reads the same work from the same C server in turn, within the same minutes, so that the ratios hold on a shared
machine. Each line of bench/history.jsonl is one such table, with the commit and the machine it was measured on.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.clients import BUILT, GAP_US, HERE, TOKENS, TTFT_US, Figures, run_c, run_ours, run_peer
from loadgen.analysis.client_error import PROMISE
from loadgen.servers.environment import environment

HISTORY = HERE / "history.jsonl"
PROGRAMS = ("truth_server", "epoll_client")

# What the engine promises, at every number of streams, as `loadgen doctor` has it; the ratios are against the same work in the same minutes.
LIMITS = {
    "ttft_error_p50_ms": 1e3 * PROMISE.ttft_error_p50_s,
    "ttft_error_p99_ms": 1e3 * PROMISE.ttft_error_p99_s,
    "gap_p99_error_ms": 1e3 * PROMISE.gap_p99_error_s,
    "coalesced_ratio": PROMISE.joined_ratio,
}

# Ratios of CPU per event, from six runs on two quiet cores: against the C client 1.40 to 1.84 at 100 streams in steps and 0.65 to
# 1.29 elsewhere, aiohttp 1.4 to 4.2 times ours, httpx2 5.3 to 13 times. At 100 streams each wake-up serves few events.
MAX_OVER_C, MAX_OVER_C_OF_FEW, FEW_STREAMS = 1.5, 2.0, 100
MIN_AIOHTTP_RATIO, MIN_HTTPX2_RATIO = 1.3, 5.0


def build_programs() -> None:
    """Compile the C programs that are missing or older than their source."""
    BUILT.mkdir(exist_ok=True)
    for name in PROGRAMS:
        source, program = HERE / f"{name}.c", BUILT / name
        if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
            subprocess.run(["cc", "-O2", "-Wall", "-o", str(program), str(source)], check=True)


def measure(pattern: str, streams: int, seconds: float, peers: Sequence[str]) -> list[Figures]:
    """Every client at `streams` of that pattern, as many requests as fill about `seconds`."""
    answer_s = (TTFT_US + (TOKENS - 1) * GAP_US) / 1e6
    requests = streams * max(2, round(seconds / answer_s))
    few = streams * 2  # the slow ones are told apart by far less work
    with tempfile.TemporaryDirectory() as folder:
        truth_file = Path(folder) / "truth"
        return [
            run_c(pattern, streams, requests, truth_file),
            run_ours(pattern, streams, requests, truth_file),
            *(run_peer(name, pattern, streams, few, truth_file) for name in peers),
        ]


def judge(rows: list[Figures]) -> list[str]:
    """Each promise that the table breaks, in one sentence."""
    by_name = {row.client: row for row in rows}
    ours = by_name["loadgen"]
    broken = []
    if ours.ok != ours.requests:
        broken.append(
            f"{ours.requests - ours.ok} of {ours.requests} requests at {ours.streams} streams, {ours.pattern} were not whole"
        )
    for name, limit in LIMITS.items():
        value = getattr(ours, name)
        if abs(value) > limit:
            broken.append(f"{name} is {value:.3f} at {ours.streams} streams, {ours.pattern}, the limit is {limit}")
    over_c = ours.cpu_us_per_event / by_name["C epoll"].cpu_us_per_event
    max_over_c = MAX_OVER_C if ours.streams > FEW_STREAMS else MAX_OVER_C_OF_FEW
    if over_c > max_over_c:
        broken.append(
            f"an event costs {over_c:.2f} times the C client's at {ours.streams} streams, {ours.pattern}, the limit is {max_over_c}"
        )
    for name, min_ratio in (("aiohttp", MIN_AIOHTTP_RATIO), ("httpx2", MIN_HTTPX2_RATIO)):
        if name not in by_name:
            continue
        ratio = by_name[name].cpu_us_per_event / ours.cpu_us_per_event
        if ratio < min_ratio:
            broken.append(
                f"{name} costs only {ratio:.1f} times ours an event at {ours.streams} streams, {ours.pattern}, the limit is {min_ratio:g}"
            )
    return broken


def table(rows: list[Figures]) -> Table:
    """For people."""
    drawn = Table(title=f"{TOKENS} tokens, first after {TTFT_US / 1e3:g} ms, then one every {GAP_US / 1e3:g} ms")
    for heading in (
        "tokens",
        "streams",
        "client",
        "ok",
        "CPU µs/event",
        "× C",
        "CPU",
        "TTFT err p50",
        "p99 ms",
        "gap p99 err ms",
    ):
        drawn.add_column(heading, justify="left" if heading in ("tokens", "client") else "right")
    drawn.add_column("shared", justify="right")
    drawn.add_column("lag p99 ms", justify="right")

    def shown(value: float | None, form: str) -> str:
        return "–" if value is None else format(value, form)

    c_cost = {(row.pattern, row.streams): row.cpu_us_per_event for row in rows if row.client == "C epoll"}
    for row in rows:
        drawn.add_row(
            row.pattern,
            str(row.streams),
            row.client,
            f"{row.ok}/{row.requests}",
            f"{row.cpu_us_per_event:.2f}",
            f"{row.cpu_us_per_event / c_cost[row.pattern, row.streams]:.2f}",
            f"{row.cpu_ratio:.0%}",
            shown(row.ttft_error_p50_ms, ".3f"),
            shown(row.ttft_error_p99_ms, ".3f"),
            shown(row.gap_p99_error_ms, "+.3f"),
            shown(row.coalesced_ratio, ".2%"),
            shown(row.loop_lag_p99_ms, ".1f"),
            end_section=rows.index(row) + 1 < len(rows) and rows[rows.index(row) + 1].client == "C epoll",
        )
    return drawn


def commit() -> str:
    """The commit measured, with a plus sign when the checkout differs from it."""
    head = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True
    ).stdout.strip()
    changed = subprocess.run(
        ["git", "status", "--porcelain", "../loadgen"], cwd=HERE, capture_output=True, text=True
    ).stdout
    return head + ("+" if changed else "")


def main() -> int:
    """Measure, print, remember; 4 when a promise is broken."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--streams", default="100,500,1000")
    arguments.add_argument("--patterns", default="steps,spread")
    arguments.add_argument("--peers", default="asyncio,aiohttp,httpx2")
    arguments.add_argument("--seconds", type=float, default=8.0)
    arguments.add_argument("--no-history", action="store_true")
    chosen = arguments.parse_args()
    build_programs()
    rows: list[Figures] = []
    broken: list[str] = []
    for pattern in chosen.patterns.split(","):
        for streams in map(int, chosen.streams.split(",")):
            measured = measure(pattern, streams, chosen.seconds, chosen.peers.split(",") if chosen.peers else ())
            rows += measured
            broken += judge(measured)
    console = Console(width=None if sys.stdout.isatty() else 130)
    console.print(table(rows))
    for sentence in broken:
        console.print(f"✗ {sentence}")
    if not broken:
        console.print("✓ every promise is kept")
    if not chosen.no_history:
        known = environment()
        line = {
            "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": commit(),
            "machine": {name: known[name] for name in ("cpu_model", "cpu_count", "kernel", "python")},
            "broken": broken,
            "rows": [asdict(row) for row in rows],
        }
        with HISTORY.open("a") as history:
            history.write(json.dumps(line) + "\n")
    return 4 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
