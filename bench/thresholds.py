"""What a deviation from the load asked does to the figures: the measurements behind the limits of the load in docs/method.md.

    python bench/thresholds.py --url http://127.0.0.1:8000 --model NAME --output results.json
    python bench/thresholds.py --show results.json --keep

A base load and the same with one deviation take turns on one server: base, three deviations, base, three more, … Each run is
told against the mean of the base runs before and after it, and so is the base itself, for its spread; a change within two
standard errors by that spread is put in brackets. The file is written after each run. `--points` names the groups to be measured: callers, lengths, failures, pauses,
prefix (closed loop), far, near (open loop, far from and near to what the server can do), loads (nothing but the base at other
numbers of callers, for what lies between the server's own TTFT and ours), repeats (nothing but the base at three numbers of callers,
for how far repeats lie apart by themselves and how late the client's loop is; give it ten --repeats or more).
"""

import argparse
import json
import math
import multiprocessing
import os
import re
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.deviating_run import Work, carry_out
from bench.deviations import FIGURES, digest, show
from bench.repeat_spread import repeat_spread, show_spread
from loadgen.load.shapes import ClosedLoop, OpenLoop
from loadgen.servers.counting import chunk_counts_to_ask, enquire
from loadgen.servers.endpoint import EndpointFacts, probe
from loadgen.servers.environment import environment
from loadgen.servers.simulator import SimulatorOptions, SimulatorProcess

HISTORY = Path(__file__).resolve().parent / "thresholds.jsonl"
CLOSED, OPEN = ("callers", "lengths", "failures", "pauses", "prefix"), ("far", "near")
GROUPS = (*CLOSED, *OPEN, "loads", "repeats")
BETWEEN_BASES = 3
# Rates, as shares of the most that the server was seen to complete; it is given more callers until that gains less than a tenth.
FAR_RATIO, NEAR_RATIO = 0.4, 0.95
MORE_CALLERS, MIN_GAIN = (4, 8), 1.1
OPEN_LONGER = 1.2  # the runs at an intended rate: near saturation a queue takes a while to become what it will be


@dataclass(frozen=True, slots=True)
class Deviation:
    """One way of not being the load that was asked. Ratios are of the base's own figure."""

    group: str
    label: str
    load_ratio: float = 1.0  # callers, or requests a second
    prompt_ratio: float = 1.0
    answer_ratio: float = 1.0
    failing: float = 0.0  # the share of requests that the server refuses at once
    shared: float = 0.0  # the share of prompt tokens that its prefix cache finds
    pause_ratio: float = (
        0.0  # before each request: of the base's mean end-to-end latency; in the open loop of its median TTFT
    )


DEVIATIONS = (
    Deviation("callers", "5 % fewer callers", load_ratio=0.95),
    Deviation("callers", "20 % fewer callers", load_ratio=0.8),
    Deviation("lengths", "prompts 1 % longer", prompt_ratio=1.01),
    Deviation("lengths", "prompts 10 % longer", prompt_ratio=1.1),
    Deviation("lengths", "answers 1 % longer", answer_ratio=1.01),
    Deviation("lengths", "answers 10 % longer", answer_ratio=1.1),
    Deviation("failures", "1 % refused", failing=0.01),
    Deviation("failures", "10 % refused", failing=0.1),
    Deviation("pauses", "idle for 1 % of E2E", pause_ratio=0.01),
    Deviation("pauses", "idle for 10 % of E2E", pause_ratio=0.1),
    Deviation("prefix", "1 % of prompts cached", shared=0.01),
    Deviation("prefix", "10 % of prompts cached", shared=0.1),
    Deviation("prefix", "50 % of prompts cached", shared=0.5),
    Deviation("far", "rate 1 % lower", load_ratio=0.99),
    Deviation("far", "rate 10 % lower", load_ratio=0.9),
    Deviation("far", "sent late by 1 % of TTFT", pause_ratio=0.01),
    Deviation("far", "sent late by 10 % of TTFT", pause_ratio=0.1),
    Deviation("near", "rate 1 % lower", load_ratio=0.99),
    Deviation("near", "rate 10 % lower", load_ratio=0.9),
)


@contextmanager
def serving(url: str, at_once: bool) -> Iterator[str]:
    """The URL to measure; for the word `simulator`, that of one which lives as long as the block."""
    if url != "simulator":
        yield url
        return
    options = SimulatorOptions(
        ttft_s=0.02, gap_s=0.005, ttft_per_prompt_token_s=1e-5, ttft_per_running_s=2e-4, gap_per_running_s=5e-5,
        jitter_ratio=0.1,
    )  # fmt: skip
    if at_once:
        options = SimulatorOptions(ttft_s=0.3, gap_s=0.0, jitter_ratio=0.1)
    with SimulatorProcess(options) as simulator:
        yield simulator.url


def block_tokens_of(facts: EndpointFacts) -> int:
    """The size of the blocks that vLLM's prefix cache keeps, by its own page; 16 where it does not say."""
    if not facts.has_metrics:
        return 16
    with urllib.request.urlopen(facts.metrics_url, timeout=10) as page:
        found = re.search(rb'[{,]block_size="(\d+)"', page.read())
    return int(found[1]) if found else 16


class Session:
    """The runs of one call, in their order, and the file that they go to."""

    def __init__(
        self,
        pool: ProcessPoolExecutor,
        facts: EndpointFacts,
        options: argparse.Namespace,
        header: dict[str, Any],
        console: Console,
    ) -> None:
        self._console = console
        self._pool = pool
        self._facts = facts
        self._options = options
        self.document: dict[str, Any] = {**header, "runs": []}
        self._base = Work(
            facts, options.model, ClosedLoop(options.concurrency), 0, options.input_tokens, options.output_tokens, "",
            chunk_counts_to_ask(facts.chunk_counts, math.ceil(options.input_tokens * 1.1)),
            block_tokens=header["block_tokens"],
        )  # fmt: skip
        self._until_s: float = time.monotonic() + options.budget_s
        self._pace: dict[str, float] = {}  # requests per second, with the callers asked and with many more
        self._latest_base: dict[str, dict[str, Any]] = {}  # by family

    def calibrate(self) -> None:
        """How fast the server is, which says how many requests a run has and at which rates an open loop is far and near."""
        callers = self._options.concurrency
        self._run("warmup", "callers", replace(self._base, requests=2 * callers))
        most = 0.0
        for times in (1, *MORE_CALLERS):
            number = times * callers
            done = self._run("warmup", "callers", replace(self._base, shape=ClosedLoop(number), requests=4 * number))
            # Of the whole run, with its edges: rather too low than a rate at which a queue grows for ever.
            pace = done["ok"] / done["wall_s"]
            self._pace.setdefault("asked", done["requests_per_s"])
            gained, most = pace / (most or pace), max(most, pace)
            if times > 1 and gained < MIN_GAIN:
                break
        self._pace["saturated"] = most
        self.document["requests_per_s"] = dict(self._pace)

    def go_round(self, repeat: int) -> None:
        """Every point of the groups chosen, once; less when the time is over."""
        groups = self._options.points.split(",")
        for family, members in (("closed", CLOSED), ("far", ("far",)), ("near", ("near",))):
            deviations = [each for each in DEVIATIONS if each.group in members and each.group in groups]
            if repeat % 2:
                deviations.reverse()  # so that none always follows the same one
            for position, deviation in enumerate(deviations):
                if position % BETWEEN_BASES == 0:
                    self._base_run(family, repeat)
                self._deviating(family, repeat, deviation)
            if deviations:
                self._base_run(family, repeat)
        if "loads" in groups:
            for callers in (1, max(2, self._options.concurrency // 4), MORE_CALLERS[0] * self._options.concurrency):
                pace = min(self._pace["asked"] * callers / self._options.concurrency, self._pace["saturated"])
                work = replace(self._base, shape=ClosedLoop(callers), requests=self._enough(callers, pace))
                self._keep("loads", repeat, f"{callers} callers", work)

        if "repeats" in groups:
            for callers in (1, max(2, self._options.concurrency // 4), self._options.concurrency):
                pace = self._pace["asked"] * callers / self._options.concurrency
                work = replace(self._base, shape=ClosedLoop(callers), requests=self._enough(callers, pace))
                self._keep("repeats", repeat, f"{callers} callers", work)

    @property
    def time_is_up(self) -> bool:
        """Whether no further run should begin."""
        return time.monotonic() > self._until_s

    def _base_work(self, family: str) -> Work:
        if family == "closed":
            return replace(self._base, requests=self._enough(self._options.concurrency, self._pace["asked"]))
        shape = OpenLoop(self._pace["saturated"] * (FAR_RATIO if family == "far" else NEAR_RATIO))
        return replace(
            self._base, shape=shape, requests=shape.process.requests_within(OPEN_LONGER * self._options.seconds, 0)
        )

    def _enough(self, callers: int, pace: float) -> int:
        seconds: float = self._options.seconds
        return max(5 * callers, round(pace * seconds))

    def _base_run(self, family: str, repeat: int) -> None:
        done = self._keep(family, repeat, "base", self._base_work(family))
        if done is not None:
            self._latest_base[family] = done

    def _deviating(self, family: str, repeat: int, deviation: Deviation) -> None:
        work = self._base_work(family)
        base = self._latest_base.get(family)
        if base is None:
            return
        if isinstance(work.shape, ClosedLoop):
            shape: ClosedLoop | OpenLoop = ClosedLoop(round(work.shape.concurrency * deviation.load_ratio))
            paused_s = base["e2e_mean_s"]
        else:
            # The same arrivals, further apart.
            shape = OpenLoop(work.shape.rate_per_s * deviation.load_ratio)
            paused_s = base["ttft_p50_s"]
        deviated = replace(
            work,
            shape=shape,
            prompt_tokens=work.prompt_tokens * deviation.prompt_ratio,
            output_tokens=work.output_tokens * deviation.answer_ratio,
            failing=deviation.failing,
            shared=deviation.shared,
            pause_s=deviation.pause_ratio * paused_s,
        )
        self._keep(family, repeat, deviation.label, deviated)

    def _keep(self, family: str, repeat: int, label: str, work: Work) -> dict[str, Any] | None:
        if self.time_is_up:
            return None
        done = self._run(family, label, work)
        self.document["runs"].append({"family": family, "repeat": repeat, "label": label, **done})
        self.save()
        return done

    def _run(self, family: str, label: str, work: Work) -> dict[str, Any]:
        seeded = replace(work, prompt_seed=f"{time.time_ns()}/{family}/{label}")
        done = self._pool.submit(carry_out, seeded).result()
        load = {key: value for key, value in asdict(work.shape).items() if key in ("concurrency", "rate_per_s")}
        done = {**load, **done, "load_average": os.getloadavg()[0]}
        shown = " ".join(f"{name} {done[key]:.4g}" for name, key in FIGURES if done[key] is not None)
        told = f"{family:7} {label:26} {done['ok']}/{done['requests']} in {done['wall_s']:.1f} s: {shown}"
        self._console.print(told, highlight=False, soft_wrap=True)
        return done

    def save(self) -> None:
        """Write what there is."""
        path = Path(self._options.output)
        half = path.with_suffix(".part")
        half.write_text(_lines(self.document))
        half.replace(path)


def _short(value: Any) -> Any:
    """Floats no longer than they mean something."""
    if isinstance(value, dict):
        return {key: _short(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_short(each) for each in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _lines(document: dict[str, Any]) -> str:
    """JSON with a line for each run."""
    head = json.dumps(_short({key: value for key, value in document.items() if key != "runs"}))
    runs = ",\n".join(json.dumps(_short(run)) for run in document["runs"])
    return f'{head[:-1]}, "runs": [\n{runs}\n]}}\n'


def arguments() -> argparse.Namespace:
    """What was asked on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="simulator")
    parser.add_argument("--model", default="simulated-moe")
    parser.add_argument("--output", default="thresholds.json")
    parser.add_argument("--points", default=",".join(GROUPS))
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--input-tokens", type=int, default=512)
    parser.add_argument("--output-tokens", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=6.0, help="of a run in the closed loop")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--at-once", action="store_true", help="have the simulator send each reply at once")
    parser.add_argument("--budget-s", type=float, default=530.0, help="no run begins after that")
    parser.add_argument("--note", default="", help="what else should be known of the server and the host")
    parser.add_argument("--show", help="the tables of such a file, and no measurement")
    parser.add_argument("--keep", action="store_true", help="with --show: add its figures to bench/thresholds.jsonl")
    chosen = parser.parse_args()
    if unknown := set(chosen.points.split(",")) - set(GROUPS):
        parser.error(f"--points: there is no group {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    return chosen


def main() -> None:
    """Measure what was asked, or show what was measured."""
    options = arguments()
    console = Console(width=None if sys.stdout.isatty() else 170)
    if options.show:
        shown = json.loads(Path(options.show).read_text())
        show(shown, console)
        show_spread(repeat_spread(shown["runs"]), console)
        if options.keep:
            with HISTORY.open("a") as history:
                history.write(json.dumps(_short({**digest(shown), "repeats": repeat_spread(shown["runs"])})) + "\n")
        return
    with (
        serving(options.url, options.at_once) as url,
        ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool,
    ):
        facts = probe(url, options.model, ())
        if facts.dialect != "vllm":
            raise SystemExit("thresholds: prompts of exact length need a server that takes token ids, as vLLM does")
        facts = replace(facts, chunk_counts=enquire(facts, options.model, "completions", ()).chunk_counts)
        known = environment()
        header = {
            "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": known["git_commit"],
            "machine": {name: known[name] for name in ("cpu_model", "cpu_count", "kernel", "python")},
            "server": {name: getattr(facts, name) for name in ("name", "version", "max_model_len")},
            "model": options.model,
            "note": options.note,
            "block_tokens": block_tokens_of(facts),
            **{name: getattr(options, name) for name in ("concurrency", "input_tokens", "output_tokens", "seconds")},
        }
        session = Session(pool, facts, options, header, console)
        session.calibrate()
        for repeat in range(options.repeats):
            session.go_round(repeat)
        session.save()
    show(session.document, console)
    show_spread(repeat_spread(session.document["runs"]), console)
    if session.time_is_up:
        console.print("The time was over before every run was made; what is missing has fewer repeats.")


if __name__ == "__main__":
    main()
