"""What a sweep finds out before it sends anything that counts: host limits, models, and what the endpoint takes."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from loadgen.engine.eventloop.host_limits import check_before_start
from loadgen.engine.wire.route import DIRECT, Route
from loadgen.errors import LoadgenError, UsageError
from loadgen.experiments.estimate import workers_for
from loadgen.experiments.events import AskedAgain, OnEvent
from loadgen.load.spec import RunSpec
from loadgen.servers.asking import ASK_AGAIN_LIMIT_S
from loadgen.servers.client import Fetched, Headers
from loadgen.servers.counting import enquire
from loadgen.servers.endpoint import EndpointFacts, error_text, list_models
from loadgen.servers.model_list import did_you_mean, names_shown
from loadgen.servers.secrets import redact
from loadgen.servers.server_url import parse_url
from loadgen.spec.sweep_spec import SweepSpec

_MAX_QUESTION_S = 30.0  # of one question, so that a silent server is asked twice


def with_model(spec: SweepSpec, environ: Mapping[str, str], addresses: tuple[str, ...] = ()) -> SweepSpec:
    """`spec` with the only model that its server lists, where it names none. Raise UsageError when there is not just one."""
    if spec.model:
        return spec
    base_url, route = parse_url(spec.url).base, spec.route_to(spec.url, environ, addresses)
    headers = spec.secret_headers(environ)
    names = list_models(base_url, headers, route=route)
    if len(names) > 1:
        shown = redact(names_shown(names), (*headers, *route.secrets))
        raise UsageError(
            f"--model is missing and {base_url} serves {len(names)} models: {shown}; choose one with --model NAME"
        )
    return spec.model_copy(update={"model": names[0]})


def ask_first(
    facts: EndpointFacts, spec: SweepSpec, headers: Headers, route: Route, on_event: OnEvent
) -> EndpointFacts:
    """`facts` with what the endpoint takes and tells. Raise UsageError when it refuses every body of ours."""
    limit_s = min(ASK_AGAIN_LIMIT_S, spec.request_timeout_s)
    found = enquire(
        facts,
        spec.model,
        spec.endpoint,
        headers,
        min(_MAX_QUESTION_S, spec.request_timeout_s),
        route,
        on_wait=lambda why, wait_s: on_event(AskedAgain(facts.base_url, why, wait_s, limit_s)),
        limit_s=limit_s,
    )
    if found.refusal is not None:
        raise _refused(facts, spec, found.refusal, (*headers, *route.secrets))
    return found.facts(facts)


def _refused(facts: EndpointFacts, spec: SweepSpec, refusal: Fetched, secrets: Headers) -> LoadgenError:
    """The endpoint's refusal in a sentence: its own words, and what to do."""
    status, said = refusal.status, error_text(refusal.content, secrets)
    words = f"HTTP {status}: {said}" if said else f"HTTP {status}"
    url = facts.completions_url(spec.endpoint)
    if status in (401, 403):
        return UsageError(
            f"{facts.base_url} refused the key ({words}); name the environment variable that holds it with --api-key-env"
        )
    if facts.models and spec.model not in facts.models:
        listed = redact(names_shown(facts.models), secrets) + did_you_mean(spec.model, facts.models)
        return UsageError(f"{url} does not serve the model '{spec.model}' ({words}); it lists {listed}")
    if status in (404, 405):
        other = "chat" if spec.endpoint == "completions" else "completions"
        return UsageError(f"{url} refuses requests ({words}); check --url and --model, or try --endpoint {other}")
    return UsageError(f"{url} refuses a request for two tokens ({words})")


def check_limits(facts: EndpointFacts, runs: Sequence[RunSpec], route: Route = DIRECT) -> None:
    """Raises HostLimitError, with the remedy, when some run of `runs` asks for more connections than the host allows."""
    parts = urlsplit(facts.base_url)
    assert parts.hostname is not None
    host, port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
    if route.addresses:
        host = route.addresses[0]
    if route.proxy is not None:
        host, port = route.proxy.host, route.proxy.port
    for wanted, processes in {(run.shape.connections(run.planned_requests()), workers_for(run)) for run in runs}:
        check_before_start(wanted, processes, host, port)
