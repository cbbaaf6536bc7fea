"""A sweep over tiny models, started one after the other: other routing, shared experts, compressed attention, and an argument that each gets."""

from pathlib import Path

import pytest

from loadgen.analysis.server.engine_names import VLLM
from loadgen.store.repository import Store
from tests.real.command import Command
from tests.real.left_behind import MEASURED, database, ended, in_group_of, server_in

pytestmark = pytest.mark.vllm

MODELS = (
    "tiny-qwen3moe",
    "tiny-deepseekv2",
    "tiny-qwen2moe",
    "tiny-phimoe",
)  # Mixtral and OLMoE are measured elsewhere
CALLERS, REQUESTS, OUTPUT_TOKENS = 4, 12, 32
SPEC = f"""
matrix: {{profile: [{", ".join(MODELS)}], arguments: {{max-num-seqs: [1], kv-cache-memory-bytes: [268435456]}}}}
concurrency: {CALLERS}
input_tokens: 24
output_tokens: {OUTPUT_TOKENS}
requests: {REQUESTS}
"""
NOTHING_HIDDEN = {"hidden": 0, "hidden_requests": 0, "contradicted_requests": 0}


def test_each_model_is_served_and_measured_to_the_token(command: Command, tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC)
    ended(command("sweep", str(spec)), *MEASURED)
    assert in_group_of(server_in(tmp_path)) == []
    with Store.open(database(tmp_path), read_only=True) as store:
        sweeps = store.sweeps()[::-1]
        runs = [run for sweep in sweeps for run in store.runs(sweep.sweep_id)]
        most_running = [max(sample.values[VLLM.running] for sample in store.samples(run["run_id"])) for run in runs]
    assert [sweep.name for sweep in sweeps] == [
        f"{model} with max-num-seqs 1, kv-cache-memory-bytes 268435456" for model in MODELS
    ]
    assert len({sweep.group_id for sweep in sweeps}) == 1
    assert [run["server"]["profile"] for run in runs] == list(MODELS)
    for run in runs:
        assert run["outcomes"]["ok"] == REQUESTS
        counted = {"prompt": REQUESTS * 24, "output": REQUESTS * OUTPUT_TOKENS, "counted_by": "token_ids"}
        assert run["tokens"] == counted | NOTHING_HIDDEN
        assert run["server_account"]["output_tokens"] == REQUESTS * OUTPUT_TOKENS
        assert run["server_account"]["times"]["queue_s"]["mean"] > 0.01, "one sequence at a time lets the others wait"
    assert max(most_running) <= 1
