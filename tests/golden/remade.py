"""The measured part of stored runs made again from what they recorded, by the code under test.

This is the one place of these tests which calls the analysis by name.
"""

from collections import Counter
from dataclasses import fields
from typing import Any

import numpy as np

from loadgen.analysis.checks.validity import judge
from loadgen.analysis.figures.cost import Price, cost_of
from loadgen.analysis.measured import measured_of
from loadgen.analysis.outline.run_outline import outline
from loadgen.analysis.server.account import server_account
from loadgen.analysis.server.gpu import gpu_account
from loadgen.analysis.server.readings import Reading, readings_document
from loadgen.analysis.summary import summarise
from loadgen.engine.records.record import ClientFacts, Recording, ReplyFacts
from loadgen.load.spec import RunSpec
from loadgen.store.repository import Store

_SURROUNDINGS = ("failure", "doctor", "host_busy_ratio", "server_on_host", "others_busy_ratio", "proxy", "tls")
_FITTED = ("fitted_by", "template_tokens", "tokens_per_word", "min_tokens")


def remade(store: Store, run_id: str, recorded: dict[str, Any]) -> Any:
    """What of the run's document comes from its requests and `recorded`, its verdict over the stored document, and its outline."""
    document = store.run(run_id)
    spec = _spec(document["spec"])
    recording = _recording(store, run_id, recorded)
    measured = measured_of(spec, recording.records)
    readings = [_reading(each) for each in recorded["readings"]]
    summary: Any = summarise(spec, recording)
    summary["client"] |= {key: document["client"][key] for key in _SURROUNDINGS}
    asked = summary["lengths"]
    asked["output_tokens"]["can_be_asked"] = document["lengths"]["output_tokens"]["can_be_asked"]
    asked["prompt_tokens"] |= {key: document["lengths"]["prompt_tokens"][key] for key in _FITTED}
    price = None if document["cost"] is None else Price(**document["cost"]["price"])
    cost = cost_of(price, summary, recording, None)
    if cost is not None:
        cost["warmup_usd"] = document["cost"]["warmup_usd"]  # of requests that are not stored
    gpus = gpu_account(store.gpus(run_id), measured, recorded["gpu_source"], recorded["gpus_chosen_by"])
    parts = summary | {
        "cost": cost,
        "server_account": server_account(readings, measured),
        "server_readings": readings_document(readings, measured, recorded["has_page"]),
        "gpu": gpus,
        "prefix_cache_reset": document["prefix_cache_reset"],
        "replies": recorded["replies"] or document["replies"],
    }
    judged = judge(spec, parts | {"server": document["server"]})
    return parts | {"verdict": judged, "outline": outline(measured, parts)}


def _spec(stored: dict[str, Any]) -> RunSpec:
    names = {field.name for field in fields(RunSpec)}
    return RunSpec.from_json({key: value for key, value in stored.items() if key in names})


def _recording(store: Store, run_id: str, recorded: dict[str, Any]) -> Recording:
    client = dict(recorded["client"])
    replies = client.pop("replies")
    for name in ("loop_lag_ns", "network_rtt_ns"):
        client[name] = np.array(client[name], np.int64)
    counted: dict[str, Any] = {
        name: Counter(value) if isinstance(value, dict) else value for name, value in replies.items()
    }
    facts = ClientFacts(**client, replies=ReplyFacts(**counted))
    ended = {name: recorded[name] for name in ("interrupted", "failure", "refusal")}
    return Recording(store.records(run_id), facts, recorded["origin_at"], **ended)


def _reading(recorded: dict[str, Any]) -> Reading:
    return Reading(**{**recorded, "unusable": frozenset(recorded["unusable"])})
