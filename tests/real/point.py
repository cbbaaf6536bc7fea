"""One small run on a real server, by its URL, and what of it must be equal wherever the requests pass through."""

import json
from pathlib import Path
from typing import Any

from tests.real.command import Loadgen

REQUESTS, INPUT_TOKENS, OUTPUT_TOKENS = 32, 32, 16
ENDPOINTS = ("completions", "chat")
OF_A_BUSY_HOST = {"coalesced", "first_content_coalesced", "send_delay", "concurrency_not_reached", "clock_step"}
"""Findings that are the truth where other tests run on the same processors."""


def measured(loadgen: Loadgen, folder: Path, url: str, model: str, endpoint: str) -> dict[str, Any]:
    """The document of one run, which nothing but a busy host may have made invalid."""
    lengths = ("--input-tokens", str(INPUT_TOKENS), "--output-tokens", str(OUTPUT_TOKENS))
    load = ("--concurrency", "2", "--requests", str(REQUESTS), "--endpoint", endpoint)
    database = f"sqlite:///{folder / 'point.db'}"
    done = loadgen("run", "--url", url, "--model", model, *load, *lengths, "--db", database, "--json")
    assert done.stdout.startswith("{"), done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    assert "verdict" in document, done.stderr
    invalid = {each["code"] for each in document["verdict"]["findings"] if each["severity"] == "invalid"}
    assert invalid <= OF_A_BUSY_HOST, document["verdict"]
    return document


def counts(document: dict[str, Any]) -> dict[str, Any]:
    """What must be equal to the token."""
    return {"outcomes": document["outcomes"], "tokens": document["tokens"], "dialect": document["server"]["dialect"]}


def shown(document: dict[str, Any]) -> dict[str, Any]:
    """The figures to look at when a test fails."""
    milliseconds = {key: round(document[key]["p50"] * 1e3, 2) for key in ("ttft_s", "tpot_s", "e2e_latency_s")}
    codes = [finding["code"] for finding in document["verdict"]["findings"]]
    return counts(document) | milliseconds | {"verdict": document["verdict"]["status"], "findings": codes}
