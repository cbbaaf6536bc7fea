"""Speculative decoding: what flags say of it, what a step costs, and how near that is to runs of an H200."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from loadgen.moe.hardware import hardware
from loadgen.moe.models import model
from loadgen.moe.step import PrefillChunk, Step
from loadgen.report.study.prediction_errors import error_table
from loadgen.servers.prediction.drafts import DraftedCosts, Drafting, drafting_of
from loadgen.servers.prediction.engine_of import UnpredictableError, deployment_of
from loadgen.servers.prediction.engine_steps import EngineModel, StepCost
from loadgen.servers.prediction.scheduler import SchedulerLimits
from loadgen.servers.prediction.virtual_time import Request, serve

RESULTS = Path(__file__).parents[3] / "results"
SYNTHETIC = {
    "model": "Qwen/Qwen3-1.7B",
    "num_speculative_tokens": 3,
    "rejection_sample_method": "synthetic",
    "synthetic_acceptance_length": 2.0,
}


def flags(**changes: object) -> dict[str, object]:
    given = {key: value for key, value in {**SYNTHETIC, **changes}.items() if value is not None}
    return {"speculative-config": given}


def test_no_flag_no_draft() -> None:
    assert drafting_of({}) is None


@pytest.mark.parametrize(
    ("changes", "tokens_per_step"),
    [
        ({}, 2.0),
        ({"synthetic_acceptance_length": 4}, 4.0),
        ({"synthetic_acceptance_length": None, "synthetic_acceptance_rates": [0.5, 0.25, 0.0]}, 1.75),
    ],
)
def test_a_stated_acceptance_is_read_either_way(changes: dict[str, object], tokens_per_step: float) -> None:
    assert drafting_of(flags(**changes)) == Drafting("Qwen/Qwen3-1.7B", 3, tokens_per_step)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"rejection_sample_method": None}, "how many drafted tokens are accepted cannot be computed"),
        ({"synthetic_acceptance_length": None}, "how many drafted tokens are accepted cannot be computed"),
        ({"method": "ngram", "model": None}, "only drafts of a model of its own are modelled"),
        ({"synthetic_acceptance_length": 4.5}, "4.5 tokens a step cannot come of 3 drafted ones"),
    ],
)
def test_what_cannot_be_computed_is_said(changes: dict[str, object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        drafting_of(flags(**changes))


def test_a_draft_that_is_not_known_is_refused() -> None:
    with pytest.raises(UnpredictableError, match=r"the architecture of somebody/else is not known"):
        deployment_of(model("qwen3-30b-a3b").architecture, flags(model="somebody/else"), hardware("h200"))  # type: ignore[arg-type]


def by_token(step: Step) -> StepCost:
    return StepCost(0.0, step.tokens, step.tokens)


def test_the_first_pass_of_the_draft_has_all_tokens_of_the_step_and_the_others_one_a_sequence() -> None:
    costs = DraftedCosts(by_token, by_token, draft_tokens=3)
    # 16 sequences check 4 tokens each, a prompt ends and another does not: 64 + 30, the same for the draft, and 2 · 17.
    step = Step(16, 1600, (PrefillChunk(10), PrefillChunk(20, last=False)), decode_tokens=4)
    assert costs(step).compute_s == 94 + 94 + 2 * 17
    # Where no sequence gets a token yet, nothing is drafted.
    assert costs(Step(chunks=(PrefillChunk(20, last=False),))).compute_s == 20 + 20


def test_the_tokens_of_a_step_arrive_at_once() -> None:
    limits = SchedulerLimits(8, 100, 1000, draft_tokens=3, tokens_per_step=2.0)
    engine = EngineModel(limits, lambda step: StepCost(0.0, 1.0, 1.0))
    (reply,) = serve(engine, [Request(10, 6)], callers=1)
    np.testing.assert_array_equal(reply.token_s, [1, 2, 2, 3, 3, 4])


def test_the_draft_takes_memory_from_the_cache() -> None:
    target = model("qwen3-30b-a3b").architecture
    with_draft = deployment_of(target, flags(), hardware("h200"))  # type: ignore[arg-type]
    alone = deployment_of(target, {}, hardware("h200"))
    assert with_draft.engine.limits.kv_blocks < 0.55 * alone.engine.limits.kv_blocks


def test_predictions_are_near_the_runs_of_one_h200_with_a_stated_acceptance() -> None:
    """Of 16 requests, 128 and 1,024 tokens in, none, one or all of three drafted tokens accepted. No constant was fitted on them."""
    files = sorted(RESULTS.glob("*draft-1.7b-synthetic*"))
    runs = [run for path in files for run in json.loads(gzip.decompress(path.read_bytes()))["runs"]]
    table = error_table(runs)
    assert table.left_out == ()
    held_out = dict(table.totals)["held out"]
    assert held_out.runs == 12
    median = {name: value or 1.0 for name, value in held_out.median.items()}
    assert median["throughput"] < 0.06
    assert median["tpot"] < 0.08
    assert median["ttft"] < 0.3
