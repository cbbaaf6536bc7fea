"""Each tiny model is served, and its tokens are counted: other routing, shared experts, compressed attention."""

import json
from pathlib import Path

import pytest

from tests.real.command import Loadgen
from tests.real.vllm_server import MODELS, serving

pytestmark = pytest.mark.vllm


@pytest.mark.parametrize("model", MODELS[1:])  # the first is measured at length elsewhere
def test_a_model_is_measured(model: str, loadgen: Loadgen, tmp_path: Path) -> None:
    with serving(model, tmp_path / "server") as server:
        ended = loadgen(
            *("run", "--url", server.url, "--model", model, "--concurrency", "2", "--requests", "10"),
            *(
                "--input-tokens",
                "24",
                "--output-tokens",
                "16",
                "--json",
                "--db",
                f"sqlite:///{tmp_path / 'loadgen.db'}",
            ),
        )
        assert ended.stdout, ended.stderr
        run = json.loads(ended.stdout)
        assert run["outcomes"]["ok"] == 10
        counts = {"hidden": 0, "hidden_requests": 0, "contradicted_requests": 0}
        assert run["tokens"] == {"prompt": 240, "output": 160, "counted_by": "token_ids"} | counts
        assert server.counter("vllm:generation_tokens_total") >= 160
