"""`loadgen simulate`: the embedded simulator in the foreground."""

from typing import Any

from loadgen.cli.console.terminal import Terminal, echo
from loadgen.cli.flags.signature import Flag, command

_SERVICE = "Model of service"  # panels of the help screen
_HARDWARE = "Model on hardware"

_FLAGS = (
    Flag("host", "ADDRESS", "Address to listen on.", type=str, default="127.0.0.1"),
    Flag("port", "N", "Port to listen on; 0 takes any free one.", type=int, default=8000),
    Flag("model", "NAME", "Name of the model it pretends to serve.", type=str, default="simulated-moe"),
    Flag("ttft_s", "S", "Time to the first token.", _SERVICE, type=float, default=0.05),
    Flag("gap_s", "S", "Time between two tokens.", _SERVICE, type=float, default=0.01),
    Flag("ttft_per_prompt_token_s", "S", "Added to the TTFT per prompt token.", _SERVICE, type=float, default=0.0),
    Flag("ttft_per_running_s", "S", "Added to the TTFT per running request.", _SERVICE, type=float, default=0.0),
    Flag("gap_per_running_s", "S", "Added to the gap per running request.", _SERVICE, type=float, default=0.0),
    Flag("jitter_ratio", "X", "Random delay, as a share.", _SERVICE, type=float, default=0.0),
    Flag("seed", "N", "Seed of the jitter.", _SERVICE, type=int, default=0),
    Flag("max_running", "N", "Requests served at once; more wait in a queue.", _SERVICE, type=int | None),
    Flag("requests_per_minute", "N", "Answer 429 with Retry-After to more than so many in any minute.", _SERVICE, type=int | None),
    Flag("tokens_per_minute", "N", "The same for tokens, of prompts and of the answers asked.", _SERVICE, type=int | None),
    Flag("max_model_len", "N", "Most tokens of prompt and answer.", _SERVICE, type=int, default=32768),
    Flag("tells", "token_ids|usage|final|nothing", "What it can tell of the tokens in its streams.", type=str, default="token_ids"),
    Flag("provider", "cerebras", "Have this provider's API in place of vLLM's: its paths, fields, errors, limits and time_info."),
    Flag("api_key_env", "NAME", "With --provider: want the key that this environment variable holds, as a Bearer token."),
    Flag("answer_tokens", "N", "With --provider: answers end by themselves after so many tokens on average (default: as many as asked).", type=int | None),
    Flag("hardware", "NAME", "Have --model on this accelerator set the times: a100, h100, h200, mi300x or cs3.", _HARDWARE),
    Flag("tp", "N", "With --hardware: accelerators that share the model.", _HARDWARE, type=int, default=1),
    Flag("precision", "bf16|fp8|int4", "With --hardware: of the weights.", _HARDWARE, type=str, default="bf16"),
    Flag("fault", "NAME[:every=K]", "Misbehave, in every K-th request; may be repeated. The word 'list' shows the names.", type=list[str] | None),
)  # fmt: skip


@command(_FLAGS, takes_db=False)
def simulate(terminal: Terminal, *, fault: list[str] | None, **keys: Any) -> None:
    """Serve a simulated model whose timing is known, until Ctrl-C."""
    from loadgen.moe.hardware import hardware
    from loadgen.servers.simulator import SimulatorOptions, serve
    from loadgen.servers.simulator.faults import FAULTS

    if fault and "list" in fault:
        for one in FAULTS.values():
            echo(f"{one.name:<18} {one.does}")
        return
    options = SimulatorOptions(**keys, faults=tuple(fault or ()))

    def ready(bound_port: int) -> None:
        host = f"[{options.host}]" if ":" in options.host else options.host
        url = f"http://{host}:{bound_port}"
        on = ""
        if options.hardware is not None:
            from loadgen.servers.prediction.fitted import basis_of

            accelerator = hardware(options.hardware)
            on = f" on {options.tp} × {accelerator.title}"
            terminal.note(f"times by {basis_of(accelerator)}")
        terminal.note(f"SIMULATED model '{options.model}'{on} at {url} (Ctrl-C ends it); measure it with")
        more = "" if options.provider is None else " --endpoint chat"
        more += "" if options.api_key_env is None else f" --api-key-env {options.api_key_env}"
        terminal.note(
            f"  loadgen run --url {url} --model {options.model}{more} --concurrency 16 --input-tokens 128 --output-tokens 64"
        )

    serve(options, on_ready=ready)
