"""What a run should cost, before anything is sent. Estimates, never measurements."""

from loadgen.load.price import Price
from loadgen.load.schedule import planned_requests
from loadgen.load.spec import RunSpec
from loadgen.spec.runs import resolved_warmup_requests


def estimated_usd(run: RunSpec, price: Price, estimated_s: float | None) -> float | None:
    """By tokens: every request and warm-up request with the lengths asked, so that it is the most where answers may end
    before; None where a length or the number of requests is not known. By time: `estimated_s`, without the warm-up.
    """
    if price.is_by_time:
        return None if estimated_s is None else price.of_time_usd(estimated_s)
    requests = planned_requests(run)
    if requests is None or run.input_tokens is None or run.workload.images is not None:
        return None
    answer = run.output_tokens * run.workload.choices
    measured = price.of_tokens_usd(requests * _mean_prompt_tokens(run), requests * answer)
    warmup = resolved_warmup_requests(run)
    return measured + price.of_tokens_usd(warmup * run.input_tokens, warmup * answer)


def _mean_prompt_tokens(run: RunSpec) -> float:
    """Of a conversation: turn k of N has k prompts and the k − 1 answers between them."""
    assert run.input_tokens is not None
    earlier_turns = (run.workload.turns - 1) / 2
    return run.input_tokens + earlier_turns * (run.input_tokens + run.output_tokens)
