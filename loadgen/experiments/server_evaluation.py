"""The server to evaluate: at a URL, from a profile or the running one, or the server of a sweep."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from loadgen.errors import UsageError
from loadgen.experiments.accuracy.evaluation import EvaluationTarget, evaluate
from loadgen.experiments.events import Evaluated, Evaluating, OnEvent
from loadgen.experiments.preparation import PreparedSweep, only_model, variant_served
from loadgen.experiments.run_document import SweepContext
from loadgen.servers.endpoint import probe
from loadgen.servers.launcher.state import ServerState, running_server
from loadgen.servers.launcher.variant import Overrides, Variant
from loadgen.servers.model_list import did_you_mean, names_shown
from loadgen.servers.server_url import parse_url
from loadgen.spec.keys import RouteKeys, api_key
from loadgen.store.repository import Store
from loadgen.store.rows import SweepRow


@dataclass(frozen=True, slots=True)
class ServerAsked:
    """Which server is meant. Without a URL and a profile it is the running one."""

    url: str | None = None
    model: str | None = None
    profile: str | None = None
    arguments: tuple[str, ...] = ()  # of the engine, over the profile's
    api_key_env: str | None = None


@contextmanager
def target_of(asked: ServerAsked, environ: Mapping[str, str], on_event: OnEvent) -> Iterator[EvaluationTarget]:
    """Yield the server when it answers; one that was started here is stopped after the block.

    Raises UsageError, ServerError, and StartFailure.
    """
    if asked.url is not None and asked.profile is not None:
        raise UsageError("--url and --profile exclude each other; give one of them")
    if asked.arguments and asked.profile is None:
        raise UsageError("--argument changes a profile; name it with --profile")
    if asked.url is not None:
        yield _target(asked, asked.url, environ)
        return
    if asked.profile is not None:
        variant = Variant.of(asked.profile, Overrides.parse(None, None, list(asked.arguments)))
    else:
        server = running_server()
        if server is None:
            raise UsageError("no server is running; say where yours is with --url, or start one with --profile")
        variant = Variant.of_running(server)
    with variant_served(variant, on_event, takes_running=True) as launched:
        profile = variant.served.profile
        named = ServerAsked(
            model=asked.model or profile.request_model, api_key_env=asked.api_key_env or profile.api_key_env
        )
        yield _target(named, launched.url, environ, launched)


def _target(
    asked: ServerAsked, url: str, environ: Mapping[str, str], launched: ServerState | None = None
) -> EvaluationTarget:
    base_url, route = parse_url(url).base, RouteKeys().route_to(url, environ)
    key = api_key(asked.api_key_env, environ)
    headers = () if key is None else (("Authorization", f"Bearer {key}"),)
    model = asked.model or only_model(base_url, headers, route)
    facts = probe(base_url, model, headers, route=route)
    if facts.models and model not in facts.models:
        listed = names_shown(facts.models) + did_you_mean(model, facts.models)
        raise UsageError(f"{base_url} does not serve the model '{model}'; it lists {listed}")
    server = SweepContext(sweep_id="", facts=facts, headers=headers, route=route, launched=launched).server(model)
    return EvaluationTarget(facts, server, model, key, route)


def is_due(prepared: PreparedSweep, store: Store, sweep: SweepRow) -> bool:
    """Whether a sweep on record is to have an evaluation, and neither it nor another one of its group on this server has."""
    if prepared.accuracy is None:
        return False
    group = [] if sweep.group_id is None else store.group(sweep.group_id)
    sweep_ids = [sweep.sweep_id, *(each.sweep_id for each in group)]
    return not store.is_evaluated(sweep_ids, sweep.server, prepared.accuracy.names)


def evaluate_if_due(
    prepared: PreparedSweep, context: SweepContext, store: Store, *, when: Literal["before", "after"], on_event: OnEvent
) -> None:
    """Evaluate the server of the sweep if that is asked for now, and store the results. Raises what `evaluate` raises."""
    accuracy, spec = prepared.accuracy, prepared.spec
    if accuracy is None or accuracy.asked.when != when or not is_due(prepared, store, store.sweep(context.sweep_id)):
        return
    key = api_key(spec.api_key_env, accuracy.environ)
    target = EvaluationTarget(context.facts, context.server(spec.model), spec.model, key, context.route)
    on_event(Evaluating(", ".join(accuracy.names)))
    evaluation = evaluate(
        accuracy,
        target,
        on_progress=lambda tool, done, planned: on_event(Evaluating(tool, done, planned)),
        keep=store.add_evaluation,
        sweep_id=context.sweep_id,
        name=spec.name,
    )
    on_event(Evaluated(evaluation))
