"""A run with one deviation from the load asked, carried out in this process: for bench/thresholds.py."""

import asyncio
import math
import tempfile
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.clients import measured_here
from loadgen.analysis.checks.validity import judge
from loadgen.analysis.measured import measured_of
from loadgen.analysis.server.account import server_account
from loadgen.analysis.server.readings import Reading
from loadgen.analysis.summary import summarise
from loadgen.engine.drive.driver import Driver
from loadgen.engine.eventloop.clock import monotonic_ns
from loadgen.engine.eventloop.loop import make_loop
from loadgen.engine.eventloop.timer import Timer, make_timer
from loadgen.engine.measurement import Task
from loadgen.engine.records.exchange import Exchange
from loadgen.engine.wire.target import Target
from loadgen.load.body import ChunkCounts, RequestForm, encode_body
from loadgen.load.bulk import BodyFile
from loadgen.load.disk import bulk_folder
from loadgen.load.prompts import generator, token_prompt
from loadgen.load.schedule import Schedule
from loadgen.load.shapes import ClosedLoop, OpenLoop
from loadgen.load.spec import RunSpec
from loadgen.servers.endpoint import EndpointFacts
from loadgen.servers.telemetry import scrape

REFUSED_BODY = b'{"prompt":'  # no JSON, which every server refuses at once


@dataclass(frozen=True, slots=True)
class Work:
    """One run, for the measuring process."""

    facts: EndpointFacts
    model: str
    shape: ClosedLoop | OpenLoop
    requests: int
    prompt_tokens: float  # means, kept to by two neighbouring lengths
    output_tokens: float
    prompt_seed: str
    chunk_counts: tuple[ChunkCounts, ...]
    failing: float = 0.0
    shared: float = 0.0
    block_tokens: int = 16
    pause_s: float = 0.0


class Pauses:
    """Lets each request go so long after its time, as `engine.drive.throttle.ThrottleQueue` does for a limit, but tells of no wait: it is send delay."""

    def __init__(self, pause_ns: int, send: Callable[[Exchange], None]) -> None:
        self._pause_ns = pause_ns
        self._send = send
        self._queue: deque[tuple[Exchange, int]] = deque()
        self._timer: Timer | None = None
        self.until_ns = 0

    def __len__(self) -> int:
        return len(self._queue)

    def ask(self, exchange: Exchange) -> None:
        """Send it when the pause is over."""
        if self._timer is None:
            self._timer = make_timer(asyncio.get_running_loop(), self._on_timer)
        self._queue.append((exchange, monotonic_ns() + self._pause_ns))
        if len(self._queue) == 1:
            self._timer.set(self._queue[0][1])

    def take_all(self) -> list[Exchange]:
        """All that wait."""
        found = [exchange for exchange, _ in self._queue]
        self._queue.clear()
        return found

    def close(self) -> None:
        """Release the timer."""
        if self._timer is not None:
            self._timer.close()

    def _on_timer(self) -> None:
        assert self._timer is not None
        while self._queue and self._queue[0][1] <= monotonic_ns():
            self._send(self._queue.popleft()[0])
        if self._queue:
            self._timer.set(self._queue[0][1])
        else:
            self._timer.cancel()


def some(share: float, number: int) -> NDArray[np.bool_]:
    """Which of `number` requests, evenly spread, make up that share of them."""
    marks: NDArray[np.bool_] = np.diff(np.floor(np.arange(number + 1) * share + 1e-9)) > 0
    return marks


def lengths(mean: float, number: int) -> NDArray[np.int32]:
    """Whole lengths of that mean."""
    whole = math.floor(mean + 1e-9)
    return (whole + some(mean - whole, number)).astype(np.int32)


def schedule_of(work: Work) -> Schedule:
    """The requests, with what makes them deviate. Prompts are token ids, new in each run."""
    prompt_tokens, output_tokens = (
        lengths(work.prompt_tokens, work.requests),
        lengths(work.output_tokens, work.requests),
    )
    rng = generator(work.prompt_seed)
    # A server caches whole blocks alone: what is no whole number of them is one more in some of the prompts and none in others.
    blocks = max(1, math.ceil(work.shared * work.prompt_tokens / work.block_tokens - 1e-9))
    prefix = token_prompt(blocks * work.block_tokens, generator(f"{work.prompt_seed}/prefix"))
    shares = some(work.shared * work.prompt_tokens / len(prefix), work.requests)
    refused = some(work.failing, work.requests)

    def body(row: int) -> bytes:
        if refused[row]:
            return REFUSED_BODY
        before = prefix if shares[row] else []
        prompt = before + token_prompt(int(prompt_tokens[row]) - len(before), rng)
        return encode_body(
            RequestForm("vllm", work.chunk_counts),
            endpoint="completions",
            model=work.model,
            prompt=prompt,
            output_tokens=int(output_tokens[row]),
        )

    return Schedule(
        bodies=BodyFile.write(map(body, range(work.requests))),
        prompt_tokens=prompt_tokens,
        output_tokens=output_tokens,
        offsets_ns=work.shape.offsets_ns(work.requests, 0),
    )


def carry_out(work: Work) -> dict[str, Any]:
    """The run in this process, and what is kept of it."""
    schedule = schedule_of(work)
    url = work.facts.completions_url("completions")
    host, _, port = url.removeprefix("http://").split("/")[0].rpartition(":")
    target = Target("http", host, int(port), "/" + url.removeprefix("http://").split("/", 1)[1])
    task = Task(target, schedule, work.shape)

    def adopt(driver: Driver) -> None:
        if work.pause_s:
            setattr(driver, "_queue", Pauses(round(work.pause_s * 1e9), driver._send))  # noqa: B010  (not ours to assign)
            driver._throttle.engaged = True

    with tempfile.TemporaryDirectory(prefix="loadgen-records-", dir=bulk_folder()) as name:
        folder = Path(name)
        counted_before = scrape(work.facts.metrics_url) if work.facts.has_metrics else {}
        with asyncio.Runner(loop_factory=make_loop) as runner:
            recording = runner.run(measured_here(task, folder, adopt))
        counted_after = scrape(work.facts.metrics_url) if work.facts.has_metrics else {}
        spec = RunSpec(
            work.facts.base_url,
            work.model,
            work.shape,
            round(work.prompt_tokens),
            round(work.output_tokens),
            requests=work.requests,
        )
        summary: Any = summarise(spec, recording)
        readings = [Reading(-1, counted_before), Reading(2**62, counted_after)]
        account = server_account(readings, measured_of(spec, recording.records)) or {}
        summary["server_account"] = account
    return {
        "requests": summary["outcomes"]["planned"],
        "ok": summary["outcomes"]["ok"],
        "wall_s": recording.client.wall_s,
        "measured": summary["window"]["requests"],
        "output_tokens_per_s": summary["output_tokens_per_s"],
        "requests_per_s": summary["requests_per_s"],
        **{f"ttft_{name}_s": summary["ttft_s"][name] for name in ("mean", "p50", "p95", "p99")},
        **{f"e2e_{name}_s": summary["e2e_latency_s"][name] for name in ("mean", "p50")},
        "tpot_p50_s": summary["tpot_s"]["p50"],
        "in_flight_mean": summary["concurrency"]["mean"],
        "sent_per_s": summary["rates"]["sent_per_s"],
        "prompt_tokens_mean": summary["lengths"]["prompt_tokens"]["mean"],
        "output_tokens_mean": summary["lengths"]["output_tokens"]["mean"],
        "send_delay_mean_s": summary["client"]["measured_send_delay_s"]["mean"],
        "coalesced_ratio": summary["client"]["coalesced_ratio"],
        "chunk_gap_p50_s": summary["chunk_gap_s"]["p50"],
        "loop_lag_p95_s": summary["client"]["loop_lag_s"]["p95"],
        "loop_lag_max_s": summary["client"]["loop_lag_s"]["max"],
        "cpu_ratio": summary["client"]["cpu_ratio"],
        "cached_ratio": account.get("prefix_cache_hit_ratio"),
        "server_ttft_mean_s": account.get("ttft_mean_s") if account.get("first_tokens") == account.get("client_first_tokens") else None,
        "client_ttft_mean_s": account.get("client_ttft_mean_s"),
        "findings": [finding["code"] for finding in judge(spec, _with_surroundings(summary, work))["findings"]],
    }  # fmt: skip


def _with_surroundings(summary: Any, work: Work) -> Any:
    """The summary with what the checks read of the server and the host."""
    client = summary["client"] | {"doctor": None, "host_busy_ratio": None}
    return summary | {"client": client, "server": work.facts.to_json(work.model)}
