"""The flags of `run`, `sweep` and `search`: one row each, in the order of the help screens and of completion.

Values stay text here: `loadgen.spec` checks them. A flag that the command's function names is passed to it by that name; any other
is the key of a spec with that name.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from loadgen.cli.flags.signature import Flag

LOAD, REQUESTS, PROMPTS, SERVER = "Load", "Requests", "Prompts", "Server"  # panels of the help screen

_ALL = ("run", "sweep", "search")
_GRID = ("run", "sweep")
_SWEEP = ("sweep",)
_SEARCH = ("search",)
_PLANNED = ("sweep", "search")


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuringFlag(Flag):
    """A flag of these commands. `takes_list`: `sweep` takes several values, separated by commas."""

    commands: tuple[str, ...] = _ALL
    takes_list: bool = False


_SLO = ("slo", "ttft_s=S,tpot_s=S", "Limits in seconds that a request must meet to count as goodput.", REQUESTS)


def flags_of(command: str) -> tuple[MeasuringFlag, ...]:
    rows = (flag for flag in FLAGS if command in flag.commands)
    if command not in _SWEEP:
        return tuple(rows)
    return tuple(replace(row, metavar=f"{row.metavar},{row.metavar}…") if row.takes_list else row for row in rows)


def lists_given(keys: Mapping[str, object]) -> Iterator[tuple[MeasuringFlag, object]]:
    """Yield the flags that are given with a comma list, which `sweep` alone takes, and that list."""
    for flag in FLAGS:
        if flag.takes_list and "," in str(keys.get(flag.name, "")):
            yield flag, keys[flag.name]


FLAGS = (
    MeasuringFlag("url", "URL", "Base URL or endpoint URL; 'simulator' starts the embedded one (default: the running server).", SERVER),
    MeasuringFlag("profile", "NAME,NAME…", "Server profiles: start, measure and stop each (loadgen profiles list).", SERVER, commands=_SWEEP),
    MeasuringFlag("interleave", "", "With --profile: restart each server for each repeat.", SERVER, commands=_SWEEP, type=bool | None),
    MeasuringFlag("model", "NAME", "Model name (default: the only one that the server lists).", SERVER),
    MeasuringFlag("endpoint", "completions|chat", "API to call (default: completions).", SERVER),
    MeasuringFlag("concurrency", "N", "Closed loop: N callers, each sending its next request when the previous one completes.", LOAD, commands=_GRID, takes_list=True),
    MeasuringFlag("rate", "R", "Open loop: requests per second, whatever the server does.", LOAD, commands=_GRID, takes_list=True),
    MeasuringFlag("concurrency", "LOW:HIGH", "Closed loop: search from LOW to HIGH callers.", commands=_SEARCH),
    MeasuringFlag("rate", "LOW:HIGH", "Open loop: search from LOW to HIGH requests per second.", commands=_SEARCH),
    MeasuringFlag(*_SLO, commands=_SEARCH),
    MeasuringFlag("goodput_ratio", "X", "Share of requests that must meet every limit.", commands=_SEARCH, type=float, default=0.99),
    MeasuringFlag("tolerance_ratio", "X", "Distance between the two loads of the edge, as a share.", commands=_SEARCH, type=float, default=0.05),
    MeasuringFlag("repeats", "N", "Maximum runs of one load, near the edge.", commands=_SEARCH, type=int, default=3),
    MeasuringFlag("max_runs", "N", "Maximum runs in all.", commands=_SEARCH, type=int, default=20),
    MeasuringFlag("wave", "N", "One batch: N requests at once, then stop.", LOAD, commands=_GRID, takes_list=True),
    MeasuringFlag("trace", "FILE", "Open loop: replay the send times and lengths of a trace (JSON Lines or CSV).", LOAD, commands=_GRID),
    MeasuringFlag("time_scale", "X", "Multiply the offsets of --trace: 0.5 replays it twice as fast (default: 1).", LOAD, commands=_GRID, takes_list=True),
    MeasuringFlag("arrivals", "poisson|constant|gamma", "Arrival process of --rate (default: poisson).", LOAD),
    MeasuringFlag("burstiness", "B", "Gamma arrivals of this shape: 1 is poisson, below 1 is burstier.", LOAD),
    MeasuringFlag("ramp_to", "R", "Change the rate from --rate to R over the run.", LOAD, commands=_GRID),
    MeasuringFlag("ramp_strategy", "linear|exponential", "How the rate of --ramp-to grows (default: linear).", LOAD, commands=_GRID),
    MeasuringFlag("max_in_flight", "N", "Open loop: drop a request that is due while N are in flight.", LOAD),
    MeasuringFlag("requests_per_minute", "N", "Hold back requests beyond N in any minute.", LOAD),
    MeasuringFlag("tokens_per_minute", "N", "Hold back requests beyond N tokens in any minute, prompt and reply together.", LOAD),
    MeasuringFlag("requests", "N", "Requests per run (default: 8 × concurrency, at least 32; 30 s of arrivals).", REQUESTS),
    MeasuringFlag("duration_s", "S", "Run for S seconds instead of a number of requests.", REQUESTS),
    MeasuringFlag("lengths", "N|IN/OUT", "Prompt and reply length in tokens as pairs: 128 is 128/128.", REQUESTS, commands=_SWEEP, takes_list=True),
    MeasuringFlag("input_tokens", "N", "Prompt length in tokens.", REQUESTS, takes_list=True),
    MeasuringFlag("output_tokens", "N", "Reply length in tokens.", REQUESTS, takes_list=True),
    MeasuringFlag("dataset", "FILE", "Prompts from a file, one object a line (JSON Lines), instead of made ones.", PROMPTS),
    MeasuringFlag("range_ratio", "X", "Spread both lengths evenly over ± this share (default: 0, exact).", PROMPTS),
    MeasuringFlag("prefix_tokens", "N", "Share the first N tokens of each prompt with others.", PROMPTS),
    MeasuringFlag("prefix_groups", "G", "Number of different shared beginnings (default: 1).", PROMPTS),
    MeasuringFlag("image", "WxH", "An image of noise of this size in each prompt (chat only).", PROMPTS),
    MeasuringFlag("images_per_request", "K", "Images per prompt (default: 1).", PROMPTS),
    MeasuringFlag("choices", "N", "Replies to each prompt, in one stream (default: 1).", PROMPTS),
    MeasuringFlag("turns", "N", "Closed loop of conversations of N requests, each with all that was said before (chat).", PROMPTS),
    MeasuringFlag("think_time_s", "S", "Mean pause before each later turn, in seconds (default: 0).", PROMPTS),
    MeasuringFlag("repeats", "N", "Measure the whole grid N times, each with its own seed (default: 1).", REQUESTS, commands=_SWEEP),
    MeasuringFlag("warmup_requests", "N", "Requests before each run, with other prompts (default: one per caller).", REQUESTS),
    MeasuringFlag("seed", "N", "Seed of the first repeat; the next ones count up (default: 0).", REQUESTS),
    MeasuringFlag("workers", "N|auto", "Measuring processes (default: auto, as many as the load needs).", REQUESTS),
    MeasuringFlag(*_SLO, commands=_GRID),
    MeasuringFlag("api_key_env", "NAME", "Environment variable that holds the API key; the key is never stored.", SERVER),
    MeasuringFlag("header", "K=V", "A header to send; may be repeated; values are never stored.", SERVER, type=list[str] | None),
    MeasuringFlag("ca_file", "FILE", "CA certificates (PEM) to use instead of the system's.", SERVER),
    MeasuringFlag("insecure", "", "Skip TLS certificate verification (recorded in every result).", SERVER, type=bool | None),
    MeasuringFlag("price", "KEY=USD,KEY=USD", "Cost of the server per million tokens or per GPU-hour; shown by --plan and in every result.", SERVER),
    MeasuringFlag("request_timeout_s", "S", "Timeout of one request, in seconds (default: 600).", SERVER),
    MeasuringFlag("max_reply_bytes", "N", "Give a reply up that is longer (default: from the lengths asked, 8 MiB or more).", SERVER),
    MeasuringFlag("tokenizer", "PATH|NAME", "The model's tokenizer, to count tokens where the server does not report them.", SERVER),
    MeasuringFlag("keep_replies", "N", "Keep the text of N replies of each run, up to 20 (default: 0).", SERVER),
    MeasuringFlag("experts", "", "Count how often each expert is chosen (vLLM on this host, with loadgen's worker extension).", SERVER, commands=_GRID, type=bool | None),
    MeasuringFlag("accuracy", "TASK,TASK…", "Evaluate the server on these tasks after the load (see loadgen accuracy).", SERVER, commands=_SWEEP),
    MeasuringFlag("name", "TEXT", "Name of the sweep; where it is unique it serves as an id."),
    MeasuringFlag("tag", "TEXT", "A tag to find the sweep by; may be repeated.", type=list[str] | None),
    MeasuringFlag("plan", "", "Show the runs and about how long they take; send nothing.", commands=_PLANNED, type=bool, default=False),
    MeasuringFlag("resume", "", "Continue the unfinished sweep of the same spec.", commands=_PLANNED, type=bool, default=False),
    MeasuringFlag("service", "URL", "Let the service at this address measure it (loadgen dashboard --token-env), and follow it from here.", commands=_SWEEP),
    MeasuringFlag("service_token_env", "NAME", "Environment variable that holds that service's token.", commands=_SWEEP, type=str, default="LOADGEN_TOKEN"),
)  # fmt: skip
