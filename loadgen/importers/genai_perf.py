"""Exports of genai-perf (0.0.16, AIPerf's predecessor): `profile_export_genai_perf.json`, one run.

Its figures are named and defined as AIPerf's, so that the file is read as one of those. It tells neither when it ran nor for how
long, and leaves failed requests out without counting them.
"""

from dataclasses import replace
from datetime import datetime
from typing import Any

from loadgen.importers import aiperf
from loadgen.importers.foreign import ForeignRun
from loadgen.importers.lenient import Json, object_of

TOOL = "genai-perf"


def is_one(document: Any) -> bool:
    """Whether a document looks like an export of it: its configuration has a part for perf_analyzer."""
    config = document.get("input_config") if isinstance(document, dict) else None
    return isinstance(config, dict) and isinstance(config.get("perf_analyzer"), dict)


def read(document: Any, written_at: datetime) -> tuple[str | None, list[ForeignRun]]:
    """Its version, which the file does not tell, and the run. Raises pydantic's ValidationError."""
    config = object_of(document.get("input_config"))
    given = object_of(config.get("input"))
    load = object_of(object_of(config.get("perf_analyzer")).get("stimulus"))
    made: Json = {
        "endpoint": {"type": "chat", **object_of(config.get("endpoint")), "model_names": config.get("model_names")},
        "loadgen": {
            **{key: load[key] for key in ("concurrency", "request_rate") if key in load},
            "arrival_pattern": "constant" if "request_rate" in load else None,  # perf_analyzer's default
        },
        "input": {
            "prompt": {"input_tokens": given.get("synthetic_tokens"), "output_tokens": given.get("output_tokens")},
        },
    }
    _, (run,) = aiperf.read(document | {"input_config": made}, written_at)
    rate_per_s = run.figures.get("requests_per_s")
    notes = (*run.notes, "its failed requests are not in the file")
    elapsed_s = run.ok / rate_per_s if isinstance(rate_per_s, int | float) and rate_per_s else 0.0
    return None, [replace(run, elapsed_s=elapsed_s, notes=notes)]
