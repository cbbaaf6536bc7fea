"""`loadgen simulate`: the embedded simulator in the foreground."""

from typing import Annotated, cast

import typer

from loadgen.cli.console.terminal import Terminal, echo
from loadgen.cli.flags.signature import command

_MODEL_OF_SERVICE = "Model of service"


@command(takes_db=False)
def simulate(
    terminal: Terminal,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", metavar="N", help="Port to listen on; 0 takes any free one.")] = 8000,
    model: Annotated[
        str, typer.Option("--model", metavar="NAME", help="Name of the model it pretends to serve.")
    ] = "simulated-moe",
    ttft_s: Annotated[
        float, typer.Option("--ttft-s", metavar="S", help="Time to the first token.", rich_help_panel=_MODEL_OF_SERVICE)
    ] = 0.05,
    gap_s: Annotated[
        float, typer.Option("--gap-s", metavar="S", help="Time between two tokens.", rich_help_panel=_MODEL_OF_SERVICE)
    ] = 0.01,
    ttft_per_prompt_token_s: Annotated[
        float,
        typer.Option(
            "--ttft-per-prompt-token-s",
            metavar="S",
            help="Added to the TTFT per prompt token.",
            rich_help_panel=_MODEL_OF_SERVICE,
        ),
    ] = 0.0,
    ttft_per_running_s: Annotated[
        float,
        typer.Option(
            "--ttft-per-running-s",
            metavar="S",
            help="Added to the TTFT per running request.",
            rich_help_panel=_MODEL_OF_SERVICE,
        ),
    ] = 0.0,
    gap_per_running_s: Annotated[
        float,
        typer.Option(
            "--gap-per-running-s",
            metavar="S",
            help="Added to the gap per running request.",
            rich_help_panel=_MODEL_OF_SERVICE,
        ),
    ] = 0.0,
    jitter_ratio: Annotated[
        float,
        typer.Option(
            "--jitter-ratio", metavar="X", help="Random delay, as a share.", rich_help_panel=_MODEL_OF_SERVICE
        ),
    ] = 0.0,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", help="Seed of the jitter.", rich_help_panel=_MODEL_OF_SERVICE)
    ] = 0,
    max_running: Annotated[
        int | None,
        typer.Option(
            "--max-running",
            metavar="N",
            help="Requests served at once; more wait in a queue.",
            rich_help_panel=_MODEL_OF_SERVICE,
        ),
    ] = None,
    requests_per_minute: Annotated[
        int | None,
        typer.Option(
            "--requests-per-minute",
            metavar="N",
            help="Answer 429 with Retry-After to more than so many in any minute.",
            rich_help_panel=_MODEL_OF_SERVICE,
        ),
    ] = None,
    tokens_per_minute: Annotated[
        int | None,
        typer.Option(
            "--tokens-per-minute",
            metavar="N",
            help="The same for tokens, of prompts and of the answers asked.",
            rich_help_panel=_MODEL_OF_SERVICE,
        ),
    ] = None,
    max_model_len: Annotated[
        int,
        typer.Option(
            "--max-model-len", metavar="N", help="Most tokens of prompt and answer.", rich_help_panel=_MODEL_OF_SERVICE
        ),
    ] = 32768,
    tells: Annotated[
        str,
        typer.Option(
            "--tells", metavar="token_ids|usage|final|nothing", help="What it can tell of the tokens in its streams."
        ),
    ] = "token_ids",
    provider: Annotated[
        str | None,
        typer.Option(
            "--provider",
            metavar="cerebras",
            help="Have this provider's API in place of vLLM's: its paths, fields, errors, limits and time_info.",
        ),
    ] = None,
    api_key_env: Annotated[
        str | None,
        typer.Option(
            "--api-key-env",
            metavar="NAME",
            help="With --provider: want the key that this environment variable holds, as a Bearer token.",
        ),
    ] = None,
    answer_tokens: Annotated[
        int | None,
        typer.Option(
            "--answer-tokens",
            metavar="N",
            help="With --provider: answers end by themselves after so many tokens on average (default: as many as asked).",
        ),
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            "--fault",
            metavar="NAME[:every=K]",
            help="Misbehave, in every K-th request; may be repeated. The word 'list' shows the names.",
        ),
    ] = None,
) -> None:
    """Serve a simulated model whose timing is known, until Ctrl-C."""
    from loadgen.servers.simulator import SimulatorOptions, serve
    from loadgen.servers.simulator.faults import FAULTS
    from loadgen.servers.simulator.options import Provider, Tells

    if fault and "list" in fault:
        for one in FAULTS.values():
            echo(f"{one.name:<18} {one.does}")
        return
    options = SimulatorOptions(
        host=host,
        port=port,
        model=model,
        ttft_s=ttft_s,
        gap_s=gap_s,
        ttft_per_prompt_token_s=ttft_per_prompt_token_s,
        ttft_per_running_s=ttft_per_running_s,
        gap_per_running_s=gap_per_running_s,
        jitter_ratio=jitter_ratio,
        seed=seed,
        max_running=max_running,
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        max_model_len=max_model_len,
        tells=cast(Tells, tells),
        provider=cast(Provider | None, provider),
        api_key_env=api_key_env,
        answer_tokens=answer_tokens,
        faults=tuple(fault or ()),
    )

    def ready(bound_port: int) -> None:
        url = f"http://[{host}]:{bound_port}" if ":" in host else f"http://{host}:{bound_port}"
        terminal.note(f"SIMULATED model '{model}' at {url} (Ctrl-C ends it); measure it with")
        more = "" if provider is None else " --endpoint chat"
        more += "" if api_key_env is None else f" --api-key-env {api_key_env}"
        terminal.note(
            f"  loadgen run --url {url} --model {model}{more} --concurrency 16 --input-tokens 128 --output-tokens 64"
        )

    serve(options, on_ready=ready)
