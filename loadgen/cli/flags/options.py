"""The flags, each said once and shared by the commands that take it. Values stay text here: `experiments.spec` checks them."""

from pathlib import Path
from typing import Annotated

import typer

import loadgen
from loadgen.cli.console.terminal import echo


def _print_version(wanted: bool) -> None:
    if wanted:
        echo(f"loadgen {loadgen.__version__}")
        raise typer.Exit


Database = Annotated[
    str | None,
    typer.Option(
        "--db",
        metavar="URL",
        help="Database of the results (default: env LOADGEN_DB, else the nearest loadgen.db upwards).",
    ),
]
Quiet = Annotated[
    bool, typer.Option("-q", "--quiet", metavar="", help="No progress on stderr; warnings and errors only.")
]
Verbose = Annotated[
    bool, typer.Option("-v", "--verbose", metavar="", help="More on stderr, and a traceback when loadgen itself fails.")
]
Version = Annotated[
    bool,
    typer.Option("--version", metavar="", callback=_print_version, is_eager=True, help="Show the version and exit."),
]
Json = Annotated[bool, typer.Option("--json", metavar="", help="One JSON document on stdout instead of a table.")]

_LOAD, _REQUESTS, _PROMPTS, _SERVER = "Load", "Requests", "Prompts", "Server"

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="Base URL or endpoint URL; 'simulator' starts the embedded one (default: the running server).",
        rich_help_panel=_SERVER,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help="Model name (default: the only one that the server lists).",
        rich_help_panel=_SERVER,
    ),
]
Profiles = Annotated[
    str | None,
    typer.Option(
        "--profile",
        metavar="NAME,NAME…",
        help="Server profiles: start, measure and stop each (loadgen profiles list).",
        rich_help_panel=_SERVER,
    ),
]
Interleave = Annotated[
    bool | None,
    typer.Option(
        "--interleave",
        metavar="",
        help="With --profile: restart each server for each repeat.",
        rich_help_panel=_SERVER,
        show_default=False,
    ),
]
EndpointKind = Annotated[
    str | None,
    typer.Option(
        "--endpoint", metavar="completions|chat", help="API to call (default: completions).", rich_help_panel=_SERVER
    ),
]
ApiKeyEnv = Annotated[
    str | None,
    typer.Option(
        "--api-key-env",
        metavar="NAME",
        help="Environment variable that holds the API key; the key is never stored.",
        rich_help_panel=_SERVER,
    ),
]
Header = Annotated[
    list[str] | None,
    typer.Option(
        "--header",
        metavar="K=V",
        help="A header to send; may be repeated; values are never stored.",
        rich_help_panel=_SERVER,
    ),
]
CaFile = Annotated[
    str | None,
    typer.Option(
        "--ca-file",
        metavar="FILE",
        help="CA certificates (PEM) to use instead of the system's.",
        rich_help_panel=_SERVER,
    ),
]
Insecure = Annotated[
    bool | None,
    typer.Option(
        "--insecure",
        metavar="",
        help="Skip TLS certificate verification (recorded in every result).",
        rich_help_panel=_SERVER,
    ),
]
Price = Annotated[
    str | None,
    typer.Option(
        "--price",
        metavar="KEY=USD,KEY=USD",
        help="Cost of the server per million tokens or per GPU-hour; shown by --plan and in every result.",
        rich_help_panel=_SERVER,
    ),
]
Tokenizer = Annotated[
    str | None,
    typer.Option(
        "--tokenizer",
        metavar="PATH|NAME",
        help="The model's tokenizer, to count tokens where the server does not report them.",
        rich_help_panel=_SERVER,
    ),
]
KeepReplies = Annotated[
    str | None,
    typer.Option(
        "--keep-replies",
        metavar="N",
        help="Keep the text of N replies of each run, up to 20 (default: 0).",
        rich_help_panel=_SERVER,
    ),
]
RequestTimeout = Annotated[
    str | None,
    typer.Option(
        "--request-timeout-s",
        metavar="S",
        help="Timeout of one request, in seconds (default: 600).",
        rich_help_panel=_SERVER,
    ),
]
MaxReplyBytes = Annotated[
    str | None,
    typer.Option(
        "--max-reply-bytes",
        metavar="N",
        help="Give a reply up that is longer (default: from the lengths asked, 8 MiB or more).",
        rich_help_panel=_SERVER,
    ),
]


def _load(flag: str, metavar: str, text: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(flag, metavar=metavar, help=text, rich_help_panel=_LOAD)
    return option


def _requests(flag: str, metavar: str, text: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(flag, metavar=metavar, help=text, rich_help_panel=_REQUESTS)
    return option


def _prompts(flag: str, metavar: str, text: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(flag, metavar=metavar, help=text, rich_help_panel=_PROMPTS)
    return option


_CONCURRENCY = "Closed loop: N callers, each sending its next request when the previous one completes."
_RATE = "Open loop: requests per second, whatever the server does."
_WAVE = "One batch: N requests at once, then stop."
_TIME_SCALE = "Multiply the offsets of --trace: 0.5 replays it twice as fast (default: 1)."
_INPUT_TOKENS = "Prompt length in tokens."
_OUTPUT_TOKENS = "Reply length in tokens."

Concurrency = Annotated[str | None, _load("--concurrency", "N", _CONCURRENCY)]
Concurrencies = Annotated[str | None, _load("--concurrency", "N,N…", _CONCURRENCY)]
Rate = Annotated[str | None, _load("--rate", "R", _RATE)]
Rates = Annotated[str | None, _load("--rate", "R,R…", _RATE)]
Wave = Annotated[str | None, _load("--wave", "N", _WAVE)]
Waves = Annotated[str | None, _load("--wave", "N,N…", _WAVE)]
ArrivalProcess = Annotated[
    str | None, _load("--arrivals", "poisson|constant|gamma", "Arrival process of --rate (default: poisson).")
]
Burstiness = Annotated[
    str | None, _load("--burstiness", "B", "Gamma arrivals of this shape: 1 is poisson, below 1 is burstier.")
]
Trace = Annotated[
    str | None, _load("--trace", "FILE", "Open loop: replay the send times and lengths of a trace (JSON Lines or CSV).")
]
TimeScale = Annotated[str | None, _load("--time-scale", "X", _TIME_SCALE)]
TimeScales = Annotated[str | None, _load("--time-scale", "X,X…", _TIME_SCALE)]
RampTo = Annotated[str | None, _load("--ramp-to", "R", "Change the rate from --rate to R over the run.")]
RampStrategy = Annotated[
    str | None, _load("--ramp-strategy", "linear|exponential", "How the rate of --ramp-to grows (default: linear).")
]
MaxInFlight = Annotated[
    str | None,
    _load("--max-in-flight", "N", "Open loop: drop a request that is due while N are in flight."),
]
RequestsPerMinute = Annotated[
    str | None,
    _load("--requests-per-minute", "N", "Hold back requests beyond N in any minute."),
]
TokensPerMinute = Annotated[
    str | None,
    _load("--tokens-per-minute", "N", "Hold back requests beyond N tokens in any minute, prompt and reply together."),
]
InputTokens = Annotated[str | None, _requests("--input-tokens", "N", _INPUT_TOKENS)]
InputTokensList = Annotated[str | None, _requests("--input-tokens", "N,N…", _INPUT_TOKENS)]
OutputTokens = Annotated[str | None, _requests("--output-tokens", "N", _OUTPUT_TOKENS)]
OutputTokensList = Annotated[str | None, _requests("--output-tokens", "N,N…", _OUTPUT_TOKENS)]
Dataset = Annotated[
    str | None,
    _prompts("--dataset", "FILE", "Prompts from a file, one object a line (JSON Lines), instead of made ones."),
]
RangeRatio = Annotated[
    str | None, _prompts("--range-ratio", "X", "Spread both lengths evenly over ± this share (default: 0, exact).")
]
PrefixTokens = Annotated[
    str | None, _prompts("--prefix-tokens", "N", "Share the first N tokens of each prompt with others.")
]
PrefixGroups = Annotated[
    str | None, _prompts("--prefix-groups", "G", "Number of different shared beginnings (default: 1).")
]
Image = Annotated[str | None, _prompts("--image", "WxH", "An image of noise of this size in each prompt (chat only).")]
ImagesPerRequest = Annotated[str | None, _prompts("--images-per-request", "K", "Images per prompt (default: 1).")]
Choices = Annotated[
    str | None,
    _prompts("--choices", "N", "Replies to each prompt, in one stream (default: 1)."),
]
Turns = Annotated[
    str | None,
    _prompts("--turns", "N", "Closed loop of conversations of N requests, each with all that was said before (chat)."),
]
ThinkTime = Annotated[
    str | None,
    _prompts("--think-time-s", "S", "Mean pause before each later turn, in seconds (default: 0)."),
]
Requests = Annotated[
    str | None,
    _requests("--requests", "N", "Requests per run (default: 8 × concurrency, at least 32; 30 s of arrivals)."),
]
DurationS = Annotated[str | None, _requests("--duration-s", "S", "Run for S seconds instead of a number of requests.")]
WarmupRequests = Annotated[
    str | None,
    _requests("--warmup-requests", "N", "Requests before each run, with other prompts (default: one per caller)."),
]
Seed = Annotated[str | None, _requests("--seed", "N", "Seed of the first repeat; the next ones count up (default: 0).")]
Workers = Annotated[
    str | None, _requests("--workers", "N|auto", "Measuring processes (default: auto, as many as the load needs).")
]
Slo = Annotated[
    str | None,
    _requests("--slo", "ttft_s=S,tpot_s=S", "Limits in seconds that a request must meet to count as goodput."),
]
Name = Annotated[
    str | None, typer.Option("--name", metavar="TEXT", help="Name of the sweep; where it is unique it serves as an id.")
]
Tag = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="TEXT", help="A tag to find the sweep by; may be repeated."),
]
Repeats = Annotated[
    str | None, _requests("--repeats", "N", "Measure the whole grid N times, each with its own seed (default: 1).")
]
Plan = Annotated[
    bool, typer.Option("--plan", metavar="", help="Show the runs and about how long they take; send nothing.")
]
Resume = Annotated[bool, typer.Option("--resume", metavar="", help="Continue the unfinished sweep of the same spec.")]
Service = Annotated[
    str | None,
    typer.Option(
        "--service",
        metavar="URL",
        help="Let the service at this address measure it (loadgen dashboard --token-env), and follow it from here.",
    ),
]
ServiceTokenEnv = Annotated[
    str,
    typer.Option(
        "--service-token-env",
        metavar="NAME",
        help="Environment variable that holds that service's token.",
    ),
]
SpecFile = Annotated[
    Path | None,
    typer.Argument(
        metavar="[SPEC.yaml]", help="The same as the flags, as keys with underscores; flags win.", show_default=False
    ),
]

AnyId = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="A sweep, group or run: its id, a unique beginning of it, its --name, or 'latest'.",
        show_default=False,
    ),
]
AnyIds = Annotated[
    list[str],
    typer.Argument(metavar="ID…", help="Sweeps, groups or runs: ids, names, or 'latest'.", show_default=False),
]
