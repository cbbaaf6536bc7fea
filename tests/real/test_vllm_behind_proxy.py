"""A real vLLM behind a gateway of the kind that is met in the wild gives the figures that it gives directly."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.real.command import Loadgen
from tests.real.reverse_proxy import reverse_proxy
from tests.real.vllm_server import MODELS, RealServer, serving

pytestmark = [pytest.mark.vllm, pytest.mark.alone]

REQUESTS, INPUT_TOKENS, OUTPUT_TOKENS = 32, 32, 16
ENDPOINTS = ("completions", "chat")


@pytest.fixture(scope="module")
def second_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """Another server of the same model."""
    with serving(MODELS[0], tmp_path_factory.mktemp("vllm") / "second") as server:
        yield server


def measured(loadgen: Loadgen, folder: Path, url: str, model: str, endpoint: str) -> dict[str, Any]:
    """The document of one run."""
    lengths = ("--input-tokens", str(INPUT_TOKENS), "--output-tokens", str(OUTPUT_TOKENS))
    load = ("--concurrency", "2", "--requests", str(REQUESTS), "--endpoint", endpoint)
    database = f"sqlite:///{folder / 'proxy.db'}"
    done = loadgen("run", "--url", url, "--model", model, *load, *lengths, "--db", database, "--json")
    assert done.stdout.startswith("{"), done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    assert "verdict" in document, done.stderr
    assert document["verdict"]["status"] != "invalid", document["verdict"]
    return document


def counts(document: dict[str, Any]) -> dict[str, Any]:
    """What must be equal to the token."""
    return {"outcomes": document["outcomes"], "tokens": document["tokens"], "dialect": document["server"]["dialect"]}


def shown(document: dict[str, Any]) -> dict[str, Any]:
    """The figures to look at when a test fails."""
    milliseconds = {key: round(document[key]["p50"] * 1e3, 2) for key in ("ttft_s", "tpot_s", "e2e_latency_s")}
    codes = [finding["code"] for finding in document["verdict"]["findings"]]
    return counts(document) | milliseconds | {"verdict": document["verdict"]["status"], "findings": codes}


@pytest.mark.parametrize("content_type", ["text/event-stream", "text/plain", None])
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_gateway_changes_no_count(
    loadgen: Loadgen, real_server: RealServer, tmp_path: Path, endpoint: str, content_type: str | None
) -> None:
    direct = measured(loadgen, tmp_path, real_server.url, real_server.model, endpoint)
    with reverse_proxy([real_server.url], content_type) as url:
        through = measured(loadgen, tmp_path, url, real_server.model, endpoint)
    assert counts(through) == counts(direct)
    assert through["outcomes"]["ok"] == REQUESTS
    assert through["tokens"]["output"] == REQUESTS * OUTPUT_TOKENS
    assert through["verdict"]["status"] != "invalid"
    assert "model_not_listed" in {finding["code"] for finding in through["verdict"]["findings"]}
    for figure in ("tpot_s", "ttft_s"):  # the least: other work on this host makes a part of the requests slow
        assert through[figure]["min"] < 3 * direct[figure]["p50"], (shown(direct), shown(through))


@pytest.mark.parametrize("content_type", ["text/event-stream", None])
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_two_servers_behind_one_address_are_measured(
    loadgen: Loadgen,
    real_server: RealServer,
    second_server: RealServer,
    tmp_path: Path,
    endpoint: str,
    content_type: str | None,
) -> None:
    direct = measured(loadgen, tmp_path, real_server.url, real_server.model, endpoint)
    with reverse_proxy([real_server.url, second_server.url], content_type) as url:
        through = measured(loadgen, tmp_path, url, real_server.model, endpoint)
    assert counts(through) == counts(direct)
    assert through["verdict"]["status"] != "invalid", through["verdict"]
