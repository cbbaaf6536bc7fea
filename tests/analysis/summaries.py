"""Summaries that checks may judge: with a server, and open to any change."""

from typing import Any

from loadgen.analysis.stages import STRICT, Stages
from loadgen.analysis.summary import summarise as summarise_run
from loadgen.engine.records.record import Recording
from loadgen.load.spec import RunSpec

SERVER = {"url": "http://127.0.0.1:8000", "model": "m", "name": "vLLM", "version": "1"}


def summarise(spec: RunSpec, recording: Recording, stages: Stages = STRICT) -> Any:
    """Return the summary of a run on `SERVER`."""
    return {**summarise_run(spec, recording, stages), "server": dict(SERVER)}
