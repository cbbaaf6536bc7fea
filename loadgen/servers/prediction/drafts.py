"""Speculative decoding with a draft model, as far as its speed can be computed: where the acceptance is stated.

In a step, the model checks what was drafted, and the draft then proposes the next tokens one after the other: its first pass
computes all tokens of the step, those of prompts included, and each further pass one token a sequence
(vllm/v1/spec_decode/llm_base_proposer.py, `propose`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from loadgen.moe.architecture import Architecture
from loadgen.moe.step import Step
from loadgen.servers.prediction.engine_steps import CostOf, StepCost
from loadgen.servers.prediction.step_cost import EngineCosts


@dataclass(frozen=True, slots=True)
class Drafting:
    """What a server's `speculative-config` says. `model`: the draft's id or folder."""

    model: str
    tokens: int  # drafted in each step
    tokens_per_step: float  # that a sequence gets, the model's own included


def drafting_of(flags: Mapping[str, object]) -> Drafting | None:
    """Return how the engine drafts by its flags' canonical names, None if it does not. ValueError says why it cannot be computed."""
    given = flags.get("speculative-config")
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise ValueError("how it drafts is not known")
    model, tokens, method = given.get("model"), given.get("num_speculative_tokens"), given.get("method")
    if method not in (None, "draft_model") or not isinstance(model, str):
        raise ValueError(
            f"what {method or 'it'} drafts depends on the text; only drafts of a model of its own are modelled"
        )
    accepted = _stated_length(given)
    if accepted is None:
        raise ValueError(
            "how many drafted tokens are accepted cannot be computed; state it with synthetic_acceptance_length"
        )
    if isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 1 or not 1 <= accepted <= 1 + tokens:
        raise ValueError(f"{accepted} tokens a step cannot come of {tokens} drafted ones")
    return Drafting(model, tokens, accepted)


def _stated_length(given: Mapping[object, object]) -> float | None:
    """Tokens of a step on average, as vLLM takes it: outright, or by the rate at each place of a draft."""
    if given.get("rejection_sample_method") != "synthetic":
        return None
    length, rates = given.get("synthetic_acceptance_length"), given.get("synthetic_acceptance_rates")
    if isinstance(length, int | float) and not isinstance(length, bool):
        return float(length)
    if isinstance(rates, Sequence) and all(isinstance(rate, int | float) for rate in rates):
        return 1.0 + sum(rates)
    return None


def costs_of_pass(costs: EngineCosts, draft: Architecture) -> EngineCosts:
    """Return what a pass of the draft takes besides its roofline.

    The CPU plans a step once, for the model. What a token takes between the products of a layer is mostly the sorting by
    experts, which a dense draft does not have.
    """
    layer_token_s = 0.0 if draft.experts is None else costs.layer_token_s
    return replace(costs, step_s=0.0, sequence_s=0.0, prompt_step_s=0.0, prompt_s=0.0, layer_token_s=layer_token_s)


@dataclass(frozen=True, slots=True)
class DraftedCosts:
    """The cost of a step with drafts. Call it with a step."""

    model: CostOf
    draft: CostOf
    draft_tokens: int

    def __call__(self, step: Step) -> StepCost:
        prompts = sum(chunk.last for chunk in step.chunks)
        context = step.decode_context_tokens + sum(chunk.context_tokens for chunk in step.chunks if chunk.last)
        next_token = Step(step.decode_sequences + prompts, context)
        passes = [self.model(step), self.draft(step)]
        if next_token.tokens:
            passes += [self.draft(next_token)] * (self.draft_tokens - 1)
        return StepCost(
            launch_s=sum(each.launch_s for each in passes),
            compute_s=sum(each.compute_s for each in passes),
            interval_s=sum(each.interval_s for each in passes),
        )
