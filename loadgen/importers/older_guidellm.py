"""Reports of GuideLLM before 0.8 in the form of 0.8. Pure.

0.2 and 0.3 keep the load under `args`, the server under `worker` and stamps as `first_token_time`; 0.4 to 0.6 have `args` for the
report and stamps as 0.8 has them.
"""

import json
from typing import Any

from loadgen.importers.lenient import Json, object_of

_TOTALS = ("successful", "errored", "incomplete")


def is_older(document: Any) -> bool:
    benchmarks = document.get("benchmarks") if isinstance(document, dict) else None
    first = benchmarks[0] if isinstance(benchmarks, list) and benchmarks else None
    return (
        isinstance(first, dict) and isinstance(first.get("metrics"), dict) and bool({"args", "config"} & first.keys())
    )


def upgraded(document: Json) -> Json:
    """The report with what 0.8 has, where the file has it under another name; all else as it is."""
    args = object_of(document.get("args"))
    report = {**document, "metadata": {"guidellm_version": None, **object_of(document.get("metadata"))}}
    benchmarks = document.get("benchmarks")
    if not isinstance(document.get("config"), dict):
        loader = (
            object_of(object_of(benchmarks[0]).get("request_loader"))
            if isinstance(benchmarks, list) and benchmarks
            else {}
        )
        data = args.get("data", loader.get("data"))
        told = [_data(each) for each in (data if isinstance(data, list) else [data])]
        report = report | {"config": {"spec": {"data": told}}}
    if isinstance(benchmarks, list):
        made = [_benchmark(each, args) if isinstance(each, dict) else each for each in benchmarks]
        report = report | {"benchmarks": made}
    return report


def _benchmark(one: Json, args: Json) -> Json:
    config, own_args, worker, stats = (object_of(one.get(key)) for key in ("config", "args", "worker", "run_stats"))
    profile = object_of(own_args.get("profile"))
    successful = object_of(one.get("requests")).get("successful")
    requests = [_request(each) for each in successful] if isinstance(successful, list) else None
    request_format = args.get("request_format") or args.get("request_type")
    if requests and request_format is None:
        request_format = _format(requests[0])
    backend = {
        "target": worker.get("backend_target") or args.get("target"),
        "model": worker.get("backend_model") or args.get("model"),
        "request_format": request_format,
        **{key: value for key, value in object_of(config.get("backend")).items() if value is not None},
    }
    strategy = config.get("strategy") or own_args.get("strategy") or profile
    metrics = object_of(one.get("metrics"))
    totals = metrics.get("request_totals", one.get("request_totals") or stats.get("requests_made"))
    if isinstance(totals, dict) and totals.get("total") is None:
        totals = totals | {"total": sum(each for name in _TOTALS if isinstance(each := totals.get(name), int))}
    began, ended = (one.get(key, stats.get(key)) for key in ("start_time", "end_time"))
    lasted = ended - began if isinstance(began, int | float) and isinstance(ended, int | float) else None
    for edge in ("warmup", "cooldown"):  # before 0.4: so many requests, or so many seconds
        if (left_out := own_args.get(f"{edge}_number") or own_args.get(f"{edge}_duration")) is not None:
            config = {**config, edge: {"value": left_out}}
    return {
        **one,
        "config": {**config, "strategy": strategy, "backend": backend},
        "metrics": metrics | {"request_totals": totals},
        "requests": {"successful": requests},
        "start_time": began,
        "duration": one.get("duration", lasted),
    }


def _data(told: Any) -> Any:
    """What was asked for as synthetic data, `{"prompt_tokens": 32}` or `prompt_tokens=32,output_tokens=8`; else as it is."""
    if not isinstance(told, str):
        return told
    if told.lstrip().startswith("{"):
        try:
            return json.loads(told)
        except ValueError:
            return told
    pairs = [pair.partition("=") for pair in told.split(",")]
    if not all(equals for _, equals, _ in pairs):
        return told
    return {key.strip(): int(value) if value.strip().isdecimal() else value.strip() for key, _, value in pairs}


def _format(request: Json) -> Any:
    """Which endpoint a request went to; 0.6 does not name it, but keeps what was sent."""
    if (told := request.get("request_type")) is not None:
        return told
    sent = request.get("request_args")
    return "chat" if isinstance(sent, str) and ('"messages"' in sent or "'messages'" in sent) else None


def _request(one: Any) -> Json:
    """A request with its stamps where 0.8 has them."""
    request = object_of(one)
    timings = dict(object_of(object_of(request.get("info")).get("timings")))
    scheduled = object_of(request.get("scheduler_info"))
    tokens = request.get("output_tokens")
    if tokens is None:
        counts = object_of(request.get("output_metrics"))
        tokens = counts.get("total_tokens") or counts.get("text_tokens")
    for name, older in (
        ("targeted_start", scheduled.get("targeted_start_time")),
        ("request_start", request.get("start_time")),
        ("first_token_iteration", timings.get("first_iteration", request.get("first_token_time"))),
        ("last_token_iteration", timings.get("last_iteration", request.get("last_token_time"))),
        ("token_iterations", timings.get("iterations", tokens)),
    ):
        if timings.get(name) is None:
            timings[name] = older
    return {**request, "info": {**object_of(request.get("info")), "timings": timings}, "output_tokens": tokens}
