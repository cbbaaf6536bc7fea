"""Every chart by name, for `loadgen plot`: what each is of, and how it is made from runs.

May import the rest of report. A plot of runs takes any number of them, of one sweep or several; a
plot of one run is drawn from its outline, which an imported result may not have.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from loadgen.errors import UsageError
from loadgen.report.charts import Chart
from loadgen.report.run_charts import run_charts
from loadgen.report.subjects import Subject
from loadgen.report.sweep_charts import sweep_charts


@dataclass(frozen=True, slots=True)
class Plot:
    """One chart by name. `of` is what it takes: runs of any number, or the one run that it is about."""

    name: str
    of: Literal["runs", "run"]
    tells: str  # what one sees in it
    make: Callable[[Subject], Chart | None]  # None: these runs have nothing that it could show

    def draw(self, subject: Subject) -> Chart:
        """Raises UsageError where the runs have nothing to show, and where there are several for a chart of one."""
        if self.of == "run" and len(subject.runs) != 1:
            raise UsageError(
                f"'{self.name}' draws one run, and these are {len(subject.runs)}: name one of them, as in "
                f"'loadgen plot {self.name} {subject.runs[0]['run_id']}'"
                if subject.runs
                else f"'{self.name}' draws a run, and here is none"
            )
        chart = self.make(subject)
        if chart is None:
            raise UsageError(f"'{self.name}' has nothing to draw of these runs: it tells {self.tells}")
        return chart


def _of_sweep(*keys: str) -> Callable[[Subject], Chart | None]:
    def make(subject: Subject) -> Chart | None:
        charts = sweep_charts(subject.runs, subject.names) if subject.runs else ()
        return next((chart for chart in charts if chart.key in keys), None)

    return make


def _of_run(*keys: str) -> Callable[[Subject], Chart | None]:
    def make(subject: Subject) -> Chart | None:
        run = subject.open_run(subject.runs[0])
        distributions, timeline, over_time = run_charts(run.document, run.outline, run.samples, run.gpus)
        if run.outline is None:
            return timeline  # the sentence that stands in the place of all of them
        return next((chart for chart in (*distributions, timeline, *over_time) if chart.key in keys), None)

    return make


PLOTS: tuple[Plot, ...] = (
    Plot("ttft", "runs", "time to first token along the load", _of_sweep("ttft_s")),
    Plot("gap", "runs", "the time between tokens, or chunks, along the load", _of_sweep("token_gap_s", "chunk_gap_s")),
    Plot("throughput", "runs", "output tokens per second along the load", _of_sweep("output_tokens_per_s")),
    Plot("energy", "runs", "joules per output token along the load", _of_sweep("energy_per_output_token_j")),
    Plot("ttft-histogram", "run", "how time to first token is distributed", _of_run("ttft_s")),
    Plot("gap-histogram", "run", "how the time between tokens is distributed", _of_run("token_gap_s", "chunk_gap_s")),
    Plot("tpot-histogram", "run", "how the time per output token is distributed", _of_run("tpot_s")),
    Plot("e2e-histogram", "run", "how the time of whole answers is distributed", _of_run("e2e_latency_s")),
    Plot("timeline", "run", "when each request waited and was answered", _of_run("timeline")),
    Plot("requests", "run", "requests in flight, running and waiting over time", _of_run("server_requests")),
    Plot("kv-cache", "run", "how much of the server's KV cache was in use over time", _of_run("kv_cache")),
    Plot("power", "run", "the power of the server's GPUs over time", _of_run("gpu_power")),
)


def plot(name: str) -> Plot:
    """The chart of this name. Raises UsageError, which lists them, for any other."""
    for each in PLOTS:
        if each.name == name:
            return each
    raise UsageError(f"there is no chart '{name}'; there are {', '.join(each.name for each in PLOTS)}")
