"""Options and commands of other load generators, and what does the same here: the hint behind "no such option", and a table of the docs.

A row without an option of ours says why there is none.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Counterpart:
    """Options of other tools that mean one thing. `options` and `tools` are separated by spaces and commas."""

    options: str
    tools: str
    ours: str  # in Markdown's plain subset: no pipe, no backtick

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.options.split())


_VLLM, _SGLANG, _GUIDE, _AIPERF = "vllm bench serve", "sglang bench_serving", "GuideLLM", "AIPerf, genai-perf"
_HTTP, _LOCUST, _LLMPERF, _K6 = "wrk, hey, oha", "locust", "LLMPerf", "k6"

COUNTERPARTS = (
    # Load
    Counterpart(
        "--num-prompts --request-count --num-requests --max-requests --iterations --max-num-completed-requests",
        f"{_VLLM}, {_AIPERF}, {_GUIDE}, {_K6}, {_LLMPERF}",
        "--requests N",
    ),
    Counterpart("-n", "hey, oha", "--requests N"),
    Counterpart("--request-rate --arrival-rate", f"{_VLLM}, {_AIPERF}", "--rate R (requests per second; leave it out for --concurrency)"),
    Counterpart("-R", "wrk2", "--rate R"),
    Counterpart("--max-concurrency --num-concurrent-requests --connections --users --vus", f"{_VLLM}, {_LLMPERF}, wrk, {_LOCUST}, {_K6}", "--concurrency N"),
    Counterpart("-c", _HTTP, "--concurrency N"),
    Counterpart("-u", f"{_LOCUST}, {_K6}; {_AIPERF}: the URL", "--concurrency N, or --url URL"),
    Counterpart("--max-seconds --benchmark-duration --duration --run-time --measurement-interval", f"{_GUIDE}, {_AIPERF}, wrk, {_LOCUST}", "--duration-s S (seconds, without a unit)"),
    Counterpart("-z -d", "hey, oha; wrk", "--duration-s S"),
    Counterpart("-t", "wrk: threads; hey: timeout; locust: run time", "--workers N, --request-timeout-s S or --duration-s S"),
    Counterpart("--rate-type --strategy", _GUIDE, "--concurrency N (concurrent, synchronous with N = 1), --rate R with --arrivals constant or poisson, or loadgen search (sweep)"),
    Counterpart("--request-rate-mode --arrival-pattern", _AIPERF, "--arrivals constant, poisson or gamma"),
    Counterpart("--arrival-smoothness", _AIPERF, "--burstiness B"),
    Counterpart("--ramp-up-strategy", _VLLM, "--ramp-strategy linear or exponential"),
    Counterpart("--ramp-up-start-rps", _VLLM, "--rate R, the rate at which the ramp starts"),
    Counterpart("--ramp-up-end-rps", _VLLM, "--ramp-to R"),
    Counterpart("--rampup --concurrency-ramp-duration --request-rate-ramp-duration --spawn-rate --stage", f"{_GUIDE}, {_AIPERF}, {_LOCUST}, {_K6}", "no counterpart for callers (the steady window leaves their start out); for a rate --ramp-to R"),
    Counterpart("-r", _LOCUST, "no counterpart: all callers start at once, and the steady window leaves their start out"),
    Counterpart("--threads --workers-max --processes", f"wrk, {_AIPERF}, {_LOCUST}", "--workers N, or leave it out: as many as the load needs"),
    Counterpart("--burst-rate --burst-delay", "oha", "--wave N, or --rate R with --burstiness B"),
    Counterpart("--fixed-schedule --fixed-schedule-start-offset --fixed-schedule-end-offset", _AIPERF, "--trace FILE"),
    Counterpart("--num-warmups --warmup-request-count --num-warmup-requests --warmup --warmup-percent", f"{_VLLM}, {_AIPERF}, {_GUIDE}", "--warmup-requests N"),
    Counterpart("--cooldown --cooldown-percent", _GUIDE, "no counterpart: the steady window leaves the end out"),
    # Lengths and prompts
    Counterpart("--random-input-len --input-len --random-input --isl --prompt-input-tokens-mean --synthetic-input-tokens-mean --mean-input-tokens --sonnet-input-len", f"{_VLLM}, {_SGLANG}, {_AIPERF}, {_LLMPERF}", "--input-tokens N"),
    Counterpart("--random-output-len --output-len --random-output --osl --output-tokens-mean --prompt-output-tokens-mean --mean-output-tokens --sonnet-output-len --sharegpt-output-len --custom-output-len --hf-output-len --max-tokens", f"{_VLLM}, {_SGLANG}, {_AIPERF}, {_LLMPERF}", "--output-tokens N"),
    Counterpart("--random-range-ratio --isl-stddev --osl-stddev --synthetic-input-tokens-stddev --output-tokens-stddev --prompt-input-tokens-stddev --stddev-input-tokens --stddev-output-tokens", f"{_VLLM}, {_AIPERF}, {_LLMPERF}", "--range-ratio X (both lengths are spread evenly over ± that share)"),
    Counterpart("--random-prefix-len --sonnet-prefix-len --prefix-repetition-prefix-len --prefix-prompt-length --gsp-system-prompt-len", f"{_VLLM}, {_AIPERF}, {_SGLANG}", "--prefix-tokens N (counted as part of --input-tokens)"),
    Counterpart("--prefix-repetition-num-prefixes --num-prefix-prompts --prompt-prefix-pool-size --gsp-num-groups", f"{_VLLM}, {_AIPERF}, {_SGLANG}", "--prefix-groups G"),
    Counterpart("--prefix-repetition-suffix-len --gsp-question-len", f"{_VLLM}, {_SGLANG}", "--input-tokens N, prefix included"),
    Counterpart("--dataset-path --input-file --data", f"{_VLLM}, {_AIPERF}, {_GUIDE}", "--dataset FILE for prompts, --trace FILE for arrivals; made prompts need --input-tokens N"),
    Counterpart("--dataset-name --public-dataset --custom-dataset-type --data-args --data-sampler --data-column-mapper --hf-split --hf-subset", f"{_VLLM}, {_AIPERF}, {_GUIDE}", "--dataset FILE (its format is recognised), or nothing for made prompts"),
    Counterpart("--num-dataset-entries", _AIPERF, "no counterpart: each request has a prompt of its own"),
    Counterpart("--random-mm-bucket-config --random-mm-base-items-per-request --image-width-mean --image-height-mean", f"{_VLLM}, {_AIPERF}", "--image WxH"),
    Counterpart("--image-batch-size", _AIPERF, "--images-per-request K"),
    Counterpart("--conversation-num --num-sessions --session-concurrency", _AIPERF, "--concurrency N with --turns N"),
    Counterpart("--session-turns-mean --conversation-turn-mean", _AIPERF, "--turns N"),
    Counterpart("--session-turn-delay-mean --conversation-turn-delay-mean", _AIPERF, "--think-time-s S"),
    Counterpart("--best-of --num-choices --use-beam-search", _VLLM, "--choices N"),
    Counterpart("--random-seed", f"{_GUIDE}, {_AIPERF}", "--seed N"),
    # Server
    Counterpart("--base-url --target --server-url", f"{_VLLM}, {_GUIDE}", "--url URL"),
    Counterpart("--host --port", f"{_VLLM}, {_LOCUST}", "--url http://HOST:PORT"),
    Counterpart("--served-model-name --model-names --lora-modules", f"{_VLLM}, {_AIPERF}", "--model NAME, as the server lists it"),
    Counterpart("-m", _AIPERF, "--model NAME"),
    Counterpart("--backend --endpoint-type --request-type --request-format --llm-api --custom-endpoint --service-kind --backend-type", f"{_VLLM}, {_AIPERF}, {_GUIDE}, {_LLMPERF}", "--endpoint completions or chat; the server must be compatible with OpenAI's API"),
    Counterpart("--processor --tokenizer-mode --tokenizer-name", f"{_GUIDE}, {_VLLM}", "--tokenizer PATH or NAME, only where the server does not report tokens"),
    Counterpart("--trust-remote-code --tokenizer-trust-remote-code --processor-args --tokenizer-revision", f"{_VLLM}, {_AIPERF}, {_GUIDE}", "no counterpart: no code of a model is run"),
    Counterpart("--api-key --api-token", f"{_AIPERF}, {_GUIDE}", "--api-key-env NAME, the variable that holds the key"),
    Counterpart("-H", f"{_HTTP}, {_AIPERF}", "--header K=V"),
    Counterpart("--request-timeout-seconds --timeout", f"{_AIPERF}, wrk, {_LLMPERF}", "--request-timeout-s S"),
    Counterpart("--ready-check-timeout-sec", _VLLM, "no counterpart: loadgen serve up waits until the server answers"),
    Counterpart("--max-errors --max-error-rate --request-cancellation-rate", f"{_GUIDE}, {_AIPERF}", "no counterpart: every outcome is counted, and failures make the run doubtful or invalid"),
    # Requests
    Counterpart("--streaming --stream", _AIPERF, "no counterpart: every reply is streamed"),
    Counterpart("--no-stream --disable-stream", f"{_VLLM}, {_SGLANG}", "no counterpart: every reply is streamed, without which there is no TTFT"),
    Counterpart("--ignore-eos --disable-ignore-eos", f"{_VLLM}, {_SGLANG}", "no counterpart: sent wherever the server takes it, so that replies have the length asked"),
    Counterpart("--temperature --top-p --top-k --min-p --extra-body --extra-inputs --extra-request-body --backend-kwargs --backend-args --additional-sampling-params --logprobs", f"{_VLLM}, {_AIPERF}, {_GUIDE}, {_LLMPERF}", "no counterpart: made prompts are sent with temperature 0, so that runs can be repeated"),
    Counterpart("--apply-chat-template", _SGLANG, "--endpoint chat"),
    Counterpart("--flush-cache", _SGLANG, "no counterpart: the prefix cache is reset before each run where the server allows it"),
    Counterpart("--use-server-token-count", _AIPERF, "no counterpart: tokens are counted by the server wherever it reports them"),
    Counterpart("--request-id-prefix", _VLLM, "no counterpart: each request has an X-Request-Id of its own"),
    Counterpart("--script --locustfile --method --body --disable-keepalive --http2", f"{_HTTP}, {_LOCUST}", "no counterpart: requests are completions or chat completions over HTTP/1.1"),
    Counterpart("-s -D", "wrk, oha", "--dataset FILE"),
    # Results
    Counterpart("--goodput", f"{_VLLM}, {_AIPERF}", "--slo ttft_s=S,tpot_s=S (seconds, not milliseconds)"),
    Counterpart("--percentile-metrics --metric-percentiles --selected-percentiles --latency --stability-percentage --confidence-level", f"{_VLLM}, wrk", "no counterpart: p50, p90, p95 and p99 are given wherever there are enough samples; --repeats N adds intervals"),
    Counterpart("--num-profile-runs --runs", _AIPERF, "--repeats N (of loadgen sweep)"),
    Counterpart("--save-result --save-detailed --append-result --result-dir --result-filename --output-file --output-path --output-dir --outputs --output-extras --results-dir --artifact-dir --output-artifact-dir --profile-export-file --profile-export-prefix --export-level --csv --html --summary-export", f"{_VLLM}, {_GUIDE}, {_AIPERF}, {_LLMPERF}, {_LOCUST}, {_K6}", "every run is stored (--db URL); loadgen export ID and loadgen report ID write files"),
    Counterpart("--metadata --label --tags", f"{_VLLM}, {_LOCUST}", "--tag TEXT, --name TEXT"),
    Counterpart("--disable-tqdm --disable-progress --disable-console --disable-console-interactive --no-tui --ui --ui-type --headless --disable-progress-bar", f"{_VLLM}, {_GUIDE}, oha, {_AIPERF}, {_LOCUST}", "-q"),
    Counterpart("--generate-plots --plot-timeline --plot-dataset-stats", f"{_AIPERF}, {_VLLM}", "loadgen plot CHART ID, loadgen report ID"),
    Counterpart("--scenario --config --config-file", f"{_GUIDE}, inference-perf", "a spec file: loadgen sweep SPEC.yaml"),
    Counterpart("--gpu-telemetry --server-metrics", _AIPERF, "no counterpart: read whenever the server offers them"),
)  # fmt: skip

COMMANDS = {
    "bench": "loadgen run or loadgen sweep",
    "benchmark": "loadgen run or loadgen sweep",
    "profile": "loadgen run or loadgen sweep",
    "throughput": "loadgen sweep --concurrency N,N…",
    "latency": "loadgen run --concurrency 1",
    "analyze": "loadgen show or loadgen report",
    "visualize": "loadgen plot or loadgen report",
    "delete": "no counterpart",
}

_BY_OPTION = {option: row for row in COUNTERPARTS for option in row.names}


def counterpart(option: str) -> str | None:
    """What an option of another tool is here: `--requests N`; None if no tool is known to have it."""
    row = _BY_OPTION.get(option) or _BY_OPTION.get(option.replace("_", "-"))
    return None if row is None else row.ours
