"""Combinations of keys that cannot be carried out, which no single value shows to be wrong. Every check raises UsageError."""

import re
import ssl

from loadgen.engine.wire.route import Route
from loadgen.errors import UsageError, listed
from loadgen.inputs import Origin
from loadgen.load.sampling import length_bounds
from loadgen.spec.bounds import BOUNDS, check_bounds
from loadgen.spec.keys import RateLimitKeys, RouteKeys
from loadgen.spec.sweep_spec import LOADS, SLO_METRICS, SweepSpec

_OUR_HEADERS = ("content-length", "transfer-encoding", "connection", "x-request-id")  # framing, and the id of a request
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_PRICES_BY_TOKENS = ("usd_per_million_input_tokens", "usd_per_million_output_tokens")
_PRICES_BY_TIME = ("usd_per_gpu_hour", "gpus")


def check(spec: SweepSpec, origin: Origin) -> None:
    """Raise UsageError for the first combination that cannot be carried out; `origin` names the keys as the user gave them."""
    check_bounds({key: getattr(spec, key) for key in BOUNDS}, origin)
    load = _load_key(spec, origin)
    _check_lengths(spec, origin)
    _check_amount(spec, origin)
    _check_arrivals(spec, origin, load)
    _check_callers(spec, origin)
    for metric in spec.slo:
        if metric not in SLO_METRICS:
            raise UsageError(
                f"{origin.name('slo')} names '{metric}', which has no limit; {listed(SLO_METRICS, 'metrics')}"
            )
    _check_workload(spec, origin)
    _check_rate_limits(spec, origin)
    _check_sessions(spec, origin)
    _check_route(spec, origin)
    _check_price(spec, origin)
    _check_headers(spec, origin)
    if spec.accuracy is not None and not spec.accuracy.tasks:
        raise UsageError(f"{origin.name('accuracy')} names no task; give some, such as copy,sort")
    if spec.accuracy is not None and spec.header:
        raise UsageError(
            f"{origin.name('accuracy')} and {origin.name('header')} exclude each other: lm-eval sends a key and no other header; "
            "evaluate the server by itself with `loadgen accuracy`"
        )
    for key in ("url", "model"):
        if key in spec.model_fields_set and not getattr(spec, key).strip():
            raise UsageError(f"{origin.name(key)} is empty")


def _load_key(spec: SweepSpec, origin: Origin) -> str:
    loads = [key for key in LOADS if getattr(spec, key) is not None]
    if not loads:
        *others, last = (load.option for load in LOADS.values())
        raise UsageError(f"no load is given: say {', '.join(others)} or {last}")
    if len(loads) > 1:
        raise UsageError(f"{origin.name(loads[0])} and {origin.name(loads[1])} exclude each other; give one of them")
    return loads[0]


def _check_lengths(spec: SweepSpec, origin: Origin) -> None:
    """Lengths are given by their keys, or by a trace or dataset."""
    name = origin.name
    if spec.trace is not None:
        for key in LOADS["trace"].excluded:
            if key in spec.model_fields_set:
                raise UsageError(f"{name(key)} does not go with {name('trace')}, {LOADS['trace'].why}")
        return
    if spec.lengths is not None:
        for key in ("input_tokens", "output_tokens", "dataset"):
            if getattr(spec, key) is not None:
                raise UsageError(f"{name('lengths')} and {name(key)} exclude each other; give one of them")
        return
    for key in ("input_tokens", "output_tokens"):
        if getattr(spec, key) is None and not (key == "input_tokens" and spec.dataset is not None):
            raise UsageError(f"{name(key)} is missing; say how many tokens, for example --{key.replace('_', '-')} 128")


def _check_amount(spec: SweepSpec, origin: Origin) -> None:
    """A run is bounded by a number of requests or a duration; a wave by its size."""
    name = origin.name
    if spec.requests is not None and spec.duration_s is not None:
        raise UsageError(f"{name('requests')} and {name('duration_s')} exclude each other; give one of them")
    if spec.wave is not None:
        for key in LOADS["wave"].excluded:
            if getattr(spec, key) is not None:
                raise UsageError(f"{name(key)} does not go with {name('wave')}: {LOADS['wave'].why}")


def _check_arrivals(spec: SweepSpec, origin: Origin, load: str) -> None:
    name = origin.name
    for key in ("arrivals", "burstiness", "ramp_to", "ramp_strategy"):
        if spec.rate is None and key in spec.model_fields_set:
            raise UsageError(f"{name(key)} needs --rate; requests of {name(load)} have no arrival process")
    if spec.max_in_flight is not None and LOADS[load].has_callers:
        raise UsageError(
            f"{name('max_in_flight')} needs --rate or --trace: {name(load)} says by itself how many requests are in flight"
        )
    if spec.max_in_flight is not None and spec.workers is not None and spec.workers > spec.max_in_flight:
        raise UsageError(
            f"{name('workers')} is {spec.workers}, more than {name('max_in_flight')} {spec.max_in_flight} can be dealt out to; "
            f"ask for {spec.max_in_flight} at most, or leave it out"
        )
    if spec.trace is None and spec.time_scale is not None:
        raise UsageError(f"{name('time_scale')} needs --trace FILE, whose offsets it multiplies")
    if spec.arrivals == "gamma" and spec.burstiness is None:
        raise UsageError(f"{name('arrivals')} gamma needs --burstiness: 1 is poisson, below 1 is burstier")
    if spec.burstiness is not None and spec.arrivals not in (None, "gamma"):
        raise UsageError(f"{name('burstiness')} needs --arrivals gamma, not {spec.arrivals}")
    if spec.ramp_to is None and "ramp_strategy" in spec.model_fields_set:
        raise UsageError(f"{name('ramp_strategy')} needs --ramp-to R, the rate at the end of the ramp")
    if spec.ramp_to is not None and spec.ramp_to in (spec.rate or ()):
        raise UsageError(f"{name('ramp_to')} is {spec.ramp_to:g}, the rate at the start; give another, or leave it out")


def _check_callers(spec: SweepSpec, origin: Origin) -> None:
    """Requests, warm-up and workers suit the number of callers."""
    name = origin.name
    if spec.concurrency is not None and spec.requests is not None and spec.requests < max(spec.concurrency):
        most = max(spec.concurrency)
        raise UsageError(
            f"{name('requests')} is {spec.requests}, fewer than a concurrency of {most}, which would never be reached; "
            f"ask for {most} or more, or leave it out"
        )
    if spec.concurrency is not None and spec.duration_s is not None and spec.warmup_requests == 0:
        raise UsageError(
            f"{name('duration_s')} needs a warm-up, which tells how many requests to prepare; leave {name('warmup_requests')} out"
        )
    callers = min((shape.callers for shape in spec.shapes if shape.callers is not None), default=None)
    if spec.workers is not None and callers is not None and spec.workers > callers:
        raise UsageError(
            f"{name('workers')} is {spec.workers}, more than {callers} callers can be dealt out to; "
            f"ask for {callers} at most, or leave it out"
        )


def _check_workload(spec: SweepSpec, origin: Origin) -> None:
    name = origin.name
    for key, needed in (("prefix_groups", "prefix_tokens"), ("images_per_request", "image")):
        if key in spec.model_fields_set and getattr(spec, needed) is None:
            raise UsageError(f"{name(key)} needs --{needed.replace('_', '-')}")
    if spec.dataset is not None:
        for key in ("input_tokens", "range_ratio", "prefix_tokens", "image"):
            if key in spec.model_fields_set:
                raise UsageError(f"{name(key)} does not go with {name('dataset')}, which has the prompts as they are")
    if spec.image is not None and spec.endpoint != "chat":
        raise UsageError(f"{name('image')} needs --endpoint chat, since images are parts of a chat message")
    stated = [input_tokens for input_tokens, _ in spec.length_pairs if input_tokens is not None]
    if spec.prefix_tokens is not None and stated:
        shortest = length_bounds(min(stated), spec.range_ratio)[0]
        if spec.prefix_tokens >= shortest:
            raise UsageError(
                f"{name('prefix_tokens')} is {spec.prefix_tokens} and counts as part of the prompt, which has "
                f"{shortest} tokens at its shortest: ask for fewer, or for longer prompts"
            )


def _check_rate_limits(spec: SweepSpec, origin: Origin) -> None:
    """Rate limits need one worker, and a limit of tokens needs prompts of a known length."""
    name = origin.name
    given = [key for key in RateLimitKeys.model_fields if getattr(spec, key) is not None]
    if given and spec.workers is not None and spec.workers > 1:
        raise UsageError(
            f"{name('workers')} is {spec.workers}, and {name(given[0])} can be kept by one measuring process alone; "
            "leave the workers out"
        )
    if spec.tokens_per_minute is not None:
        for key in ("dataset", "image"):
            if getattr(spec, key) is not None:
                raise UsageError(
                    f"{name('tokens_per_minute')} does not go with {name(key)}, of whose prompts only the server can tell "
                    "how many tokens they have; give --requests-per-minute"
                )


def _check_sessions(spec: SweepSpec, origin: Origin) -> None:
    """Conversations need callers, the chat endpoint and a whole number of turns."""
    name, sessions = origin.name, spec.sessions
    if sessions is None:
        if spec.think_time_s is not None:
            raise UsageError(f"{name('think_time_s')} needs --turns of 2 or more, between which a user thinks")
        return
    for load in LOADS:
        if load != "concurrency" and getattr(spec, load) is not None:
            raise UsageError(
                f"{name('turns')} does not go with {name(load)}: a turn follows the answer before it, so that conversations "
                "need callers; give --concurrency"
            )
    if spec.endpoint != "chat":
        raise UsageError(f"{name('turns')} needs --endpoint chat, since a conversation is a list of messages")
    if spec.choices > 1:
        raise UsageError(f"{name('turns')} does not go with {name('choices')}: a conversation goes on from one answer")
    if spec.dataset is not None:
        raise UsageError(f"{name('turns')} does not go with {name('dataset')}, each of whose lines is asked by itself")
    if spec.tokens_per_minute is not None:
        raise UsageError(
            f"{name('tokens_per_minute')} does not go with {name('turns')}, of whose later prompts only the server can tell "
            "how many tokens they have; give --requests-per-minute"
        )
    if spec.requests is None:
        return
    left_over = spec.requests % sessions.turns
    if left_over:
        fewer = spec.requests - left_over
        sizes = " or ".join(str(size) for size in (fewer, fewer + sessions.turns) if size)
        raise UsageError(
            f"{name('requests')} is {spec.requests}, which does not come out even in conversations of {sessions.turns} turns; "
            f"ask for {sizes}"
        )
    most = max(spec.concurrency or [0])
    if spec.requests < most * sessions.turns:
        raise UsageError(
            f"{name('requests')} is {spec.requests}, fewer than one conversation of {sessions.turns} turns for each of {most} "
            f"callers; ask for {most * sessions.turns} or more, or leave it out"
        )


def _check_route(spec: SweepSpec, origin: Origin) -> None:
    """Certificates are verified over https only, and `ca_file` holds one."""
    name = origin.name
    given = [key for key in RouteKeys.model_fields if getattr(spec, key)]
    if len(given) > 1:
        raise UsageError(f"{name('ca_file')} and {name('insecure')} exclude each other; give one of them")
    if given and not spec.url.strip().startswith("https://"):
        raise UsageError(f"{name(given[0])} needs a URL with https://; over plain http nobody shows a certificate")
    if spec.ca_file is not None:
        try:
            Route(ca_file=spec.ca_file).tls_context()
        except OSError as error:  # of a file that is no PEM too
            reason = "it holds no certificate in PEM" if isinstance(error, ssl.SSLError) else error.strerror
            raise UsageError(f"{name('ca_file')} {spec.ca_file} cannot be read: {reason}") from error


def _check_price(spec: SweepSpec, origin: Origin) -> None:
    """The price has known names and is either by tokens or by time."""
    name, price = origin.name("price"), spec.price
    for key in price:
        if key not in _PRICES_BY_TOKENS + _PRICES_BY_TIME:
            raise UsageError(
                f"{name} names '{key}', which is no price; {listed(_PRICES_BY_TOKENS + _PRICES_BY_TIME, 'prices')}"
            )
    by_tokens, by_time = ([key for key in keys if key in price] for keys in (_PRICES_BY_TOKENS, _PRICES_BY_TIME))
    if by_tokens and by_time:
        raise UsageError(
            f"{name} gives {by_tokens[0]} and {by_time[0]}: a server is paid by the token or by the hour; give one"
        )
    if by_time and "usd_per_gpu_hour" not in price:
        raise UsageError(f"{name} gives gpus and no usd_per_gpu_hour; give what one of them costs an hour")
    gpus = price.get("gpus", 1.0)
    if gpus < 1 or not gpus.is_integer():
        raise UsageError(f"{name} gives gpus={gpus:g}; give a whole number from 1 on")


def _check_headers(spec: SweepSpec, origin: Origin) -> None:
    """Headers can be sent, and `api_key_env` names a variable. No value of either is repeated in a message."""
    name = origin.name("header")
    seen: set[str] = set()
    for header, value in spec.header.items():
        if not _HEADER_NAME.fullmatch(header):  # which may be `Authorization: Bearer KEY`, so it is not repeated
            raise UsageError(f"{name} has no legal name before its '='; write it like X-Team=blue")
        if not value.isascii() or not value.isprintable():
            raise UsageError(f"the value of {name} {header} holds characters that a header cannot carry")
        if header.lower() in _OUR_HEADERS:
            raise UsageError(f"{name} {header} is refused: loadgen sets it for each request by itself; leave it out")
        if header.lower() in seen:
            raise UsageError(f"{name} gives {header} twice; give it once")
        seen.add(header.lower())
    if spec.api_key_env is None:
        return
    if not _VARIABLE_NAME.fullmatch(spec.api_key_env):
        raise UsageError(
            f"{origin.name('api_key_env')} takes the name of an environment variable, not the key itself: "
            "export the key and give the variable's name"
        )
    if "authorization" in seen:
        raise UsageError(
            f"{name} Authorization and {origin.name('api_key_env')} exclude each other, since both make that header; "
            "give one of them"
        )
