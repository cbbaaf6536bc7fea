"""What a sweep finds out before it sends anything that counts: lengths, host limits, and what the endpoint takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from loadgen.engine.eventloop.host import check_before_start
from loadgen.engine.wire.route import Route
from loadgen.errors import LoadgenError, UsageError
from loadgen.experiments.estimate import workers_for
from loadgen.experiments.events import AskedAgain, OnEvent, RouteChosen
from loadgen.experiments.preparation import PreparedSweep
from loadgen.experiments.prompt_fitting import length_fit_of
from loadgen.load.length_fit import LengthFit
from loadgen.load.spec import RunSpec
from loadgen.servers.asking import ASK_AGAIN_LIMIT_S, RetryPolicy
from loadgen.servers.counting import enquire
from loadgen.servers.endpoint import EndpointFacts, check_lengths, error_text, probe
from loadgen.servers.http_client import Fetched, Headers
from loadgen.servers.model_list import did_you_mean, names_shown
from loadgen.servers.redaction import redact
from loadgen.servers.server_url import parse_url
from loadgen.spec.sweep_spec import SweepSpec

_MAX_QUESTION_S = 30.0  # of one question, so that a silent server is asked twice


@dataclass(frozen=True, slots=True)
class ExaminedServer:
    """A server that a sweep can be sent to. `length_fit` makes texts of a stated length where it has no tokenizer."""

    facts: EndpointFacts
    route: Route
    length_fit: LengthFit | None


def examine_server(
    prepared: PreparedSweep, url: str, *, environ: Mapping[str, str], on_event: OnEvent
) -> ExaminedServer:
    """Find out what the server at `url` is, and whether it and this host can take the runs.

    Raises ServerError, UsageError, and HostLimitError with the remedy.
    """
    spec, headers = prepared.spec, prepared.headers
    route = spec.route_to(url, environ, prepared.sweep.addresses)
    url = parse_url(url).base
    on_event(RouteChosen(url, None if route.proxy is None else route.proxy.name, route.insecure))
    facts = probe(url, spec.model, headers, route=route, endpoint=spec.endpoint)
    for run in prepared.runs:
        check_lengths(facts, *prepared.longest(run))
    _check_host_limits(facts, prepared.runs, route)
    facts = _ask_first(facts, spec, headers=headers, route=route, on_event=on_event)
    return ExaminedServer(facts, route, length_fit_of(facts, prepared.runs, headers, route))


def _ask_first(
    facts: EndpointFacts, spec: SweepSpec, *, headers: Headers, route: Route, on_event: OnEvent
) -> EndpointFacts:
    """Return `facts` with what the endpoint takes and reports. Raises UsageError when it refuses every body of ours."""
    limit_s = min(ASK_AGAIN_LIMIT_S, spec.request_timeout_s)
    found = enquire(
        facts,
        spec.model,
        spec.endpoint,
        headers=headers,
        timeout_s=min(_MAX_QUESTION_S, spec.request_timeout_s),
        route=route,
        retries=RetryPolicy(limit_s, lambda why, wait_s: on_event(AskedAgain(facts.base_url, why, wait_s, limit_s))),
    )
    if found.refusal is not None:
        raise _refused(facts, spec, found.refusal, secrets=(*headers, *route.secrets))
    return found.facts(facts)


def _refused(facts: EndpointFacts, spec: SweepSpec, refusal: Fetched, *, secrets: Headers) -> LoadgenError:
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


def _check_host_limits(facts: EndpointFacts, runs: Sequence[RunSpec], route: Route) -> None:
    """Raise HostLimitError, with the remedy, when a run needs more connections than the host allows."""
    parts = urlsplit(facts.base_url)
    assert parts.hostname is not None
    host, port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
    if route.addresses:
        host = route.addresses[0]
    if route.proxy is not None:
        host, port = route.proxy.host, route.proxy.port
    for wanted, processes in {(run.shape.connections(run.planned_requests()), workers_for(run)) for run in runs}:
        check_before_start(wanted, processes, host, port)
