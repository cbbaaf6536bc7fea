"""The flags of `run`, `sweep` and `search`: one row each, in the order of the help screens and of completion.

Values stay text here: `loadgen.spec` checks them. A flag that the command's function names is passed to it by that name; any other
is the key of a spec with that name.
"""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import typer

LOAD, REQUESTS, PROMPTS, SERVER = "Load", "Requests", "Prompts", "Server"  # panels of the help screen

_ALL = ("run", "sweep", "search")
_GRID = ("run", "sweep")
_SWEEP = ("sweep",)
_SEARCH = ("search",)


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag: `input_tokens` is `--input-tokens`. `takes_list`: `sweep` takes several values, separated by commas."""

    name: str
    metavar: str
    help: str
    panel: str | None = None
    commands: tuple[str, ...] = _ALL
    type: Any = str | None
    default: Any = None
    takes_list: bool = False

    @property
    def option(self) -> str:
        """As it is written: `--input-tokens`."""
        return f"--{self.name.replace('_', '-')}"

    def parameter(self, command: str) -> inspect.Parameter:
        """The parameter that Typer makes the option of `command` from."""
        metavar = f"{self.metavar},{self.metavar}…" if self.takes_list and command in _SWEEP else self.metavar
        option = typer.Option(self.default, self.option, metavar=metavar, help=self.help, rich_help_panel=self.panel)
        return inspect.Parameter(self.name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=self.type)


_SLO = ("slo", "ttft_s=S,tpot_s=S", "Limits in seconds that a request must meet to count as goodput.", REQUESTS)


def flags_of(command: str) -> tuple[Flag, ...]:
    """The rows of one command."""
    return tuple(flag for flag in FLAGS if command in flag.commands)


def lists_given(keys: Mapping[str, object]) -> Iterator[tuple[Flag, object]]:
    """Yield the flags that are given with a comma list, which `sweep` alone takes, and that list."""
    for flag in FLAGS:
        if flag.takes_list and "," in str(keys.get(flag.name, "")):
            yield flag, keys[flag.name]


FLAGS = (
    Flag("url", "URL", "Base URL or endpoint URL; 'simulator' starts the embedded one (default: the running server).", SERVER),
    Flag("profile", "NAME,NAME…", "Server profiles: start, measure and stop each (loadgen profiles list).", SERVER, commands=_SWEEP),
    Flag("interleave", "", "With --profile: restart each server for each repeat.", SERVER, commands=_SWEEP, type=bool | None),
    Flag("model", "NAME", "Model name (default: the only one that the server lists).", SERVER),
    Flag("endpoint", "completions|chat", "API to call (default: completions).", SERVER),
    Flag("concurrency", "N", "Closed loop: N callers, each sending its next request when the previous one completes.", LOAD, commands=_GRID, takes_list=True),
    Flag("rate", "R", "Open loop: requests per second, whatever the server does.", LOAD, commands=_GRID, takes_list=True),
    Flag("concurrency", "LOW:HIGH", "Closed loop: search from LOW to HIGH callers.", commands=_SEARCH),
    Flag("rate", "LOW:HIGH", "Open loop: search from LOW to HIGH requests per second.", commands=_SEARCH),
    Flag(*_SLO, commands=_SEARCH),
    Flag("goodput_ratio", "X", "Share of requests that must meet every limit.", commands=_SEARCH, type=float, default=0.99),
    Flag("tolerance_ratio", "X", "Distance between the two loads of the edge, as a share.", commands=_SEARCH, type=float, default=0.05),
    Flag("repeats", "N", "Maximum runs of one load, near the edge.", commands=_SEARCH, type=int, default=3),
    Flag("max_runs", "N", "Maximum runs in all.", commands=_SEARCH, type=int, default=20),
    Flag("wave", "N", "One batch: N requests at once, then stop.", LOAD, commands=_GRID, takes_list=True),
    Flag("trace", "FILE", "Open loop: replay the send times and lengths of a trace (JSON Lines or CSV).", LOAD, commands=_GRID),
    Flag("time_scale", "X", "Multiply the offsets of --trace: 0.5 replays it twice as fast (default: 1).", LOAD, commands=_GRID, takes_list=True),
    Flag("arrivals", "poisson|constant|gamma", "Arrival process of --rate (default: poisson).", LOAD),
    Flag("burstiness", "B", "Gamma arrivals of this shape: 1 is poisson, below 1 is burstier.", LOAD),
    Flag("ramp_to", "R", "Change the rate from --rate to R over the run.", LOAD, commands=_GRID),
    Flag("ramp_strategy", "linear|exponential", "How the rate of --ramp-to grows (default: linear).", LOAD, commands=_GRID),
    Flag("max_in_flight", "N", "Open loop: drop a request that is due while N are in flight.", LOAD),
    Flag("requests_per_minute", "N", "Hold back requests beyond N in any minute.", LOAD),
    Flag("tokens_per_minute", "N", "Hold back requests beyond N tokens in any minute, prompt and reply together.", LOAD),
    Flag("requests", "N", "Requests per run (default: 8 × concurrency, at least 32; 30 s of arrivals).", REQUESTS),
    Flag("duration_s", "S", "Run for S seconds instead of a number of requests.", REQUESTS),
    Flag("input_tokens", "N", "Prompt length in tokens.", REQUESTS, takes_list=True),
    Flag("output_tokens", "N", "Reply length in tokens.", REQUESTS, takes_list=True),
    Flag("dataset", "FILE", "Prompts from a file, one object a line (JSON Lines), instead of made ones.", PROMPTS),
    Flag("range_ratio", "X", "Spread both lengths evenly over ± this share (default: 0, exact).", PROMPTS),
    Flag("prefix_tokens", "N", "Share the first N tokens of each prompt with others.", PROMPTS),
    Flag("prefix_groups", "G", "Number of different shared beginnings (default: 1).", PROMPTS),
    Flag("image", "WxH", "An image of noise of this size in each prompt (chat only).", PROMPTS),
    Flag("images_per_request", "K", "Images per prompt (default: 1).", PROMPTS),
    Flag("choices", "N", "Replies to each prompt, in one stream (default: 1).", PROMPTS),
    Flag("turns", "N", "Closed loop of conversations of N requests, each with all that was said before (chat).", PROMPTS),
    Flag("think_time_s", "S", "Mean pause before each later turn, in seconds (default: 0).", PROMPTS),
    Flag("repeats", "N", "Measure the whole grid N times, each with its own seed (default: 1).", REQUESTS, commands=_SWEEP),
    Flag("warmup_requests", "N", "Requests before each run, with other prompts (default: one per caller).", REQUESTS),
    Flag("seed", "N", "Seed of the first repeat; the next ones count up (default: 0).", REQUESTS),
    Flag("workers", "N|auto", "Measuring processes (default: auto, as many as the load needs).", REQUESTS),
    Flag(*_SLO, commands=_GRID),
    Flag("api_key_env", "NAME", "Environment variable that holds the API key; the key is never stored.", SERVER),
    Flag("header", "K=V", "A header to send; may be repeated; values are never stored.", SERVER, type=list[str] | None),
    Flag("ca_file", "FILE", "CA certificates (PEM) to use instead of the system's.", SERVER),
    Flag("insecure", "", "Skip TLS certificate verification (recorded in every result).", SERVER, type=bool | None),
    Flag("price", "KEY=USD,KEY=USD", "Cost of the server per million tokens or per GPU-hour; shown by --plan and in every result.", SERVER),
    Flag("request_timeout_s", "S", "Timeout of one request, in seconds (default: 600).", SERVER),
    Flag("max_reply_bytes", "N", "Give a reply up that is longer (default: from the lengths asked, 8 MiB or more).", SERVER),
    Flag("tokenizer", "PATH|NAME", "The model's tokenizer, to count tokens where the server does not report them.", SERVER),
    Flag("keep_replies", "N", "Keep the text of N replies of each run, up to 20 (default: 0).", SERVER),
    Flag("name", "TEXT", "Name of the sweep; where it is unique it serves as an id."),
    Flag("tag", "TEXT", "A tag to find the sweep by; may be repeated.", type=list[str] | None),
)  # fmt: skip
