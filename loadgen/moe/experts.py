"""How many experts a step reads: the reason why a sparse model's decoding is not as cheap as its active parameters say."""

from loadgen.errors import ModelError


def expected_distinct_experts(experts: int, top_k: int, batch_tokens: int) -> float:
    """The expected number of distinct routed experts that a batch of tokens reads in one sparse layer: E·(1 − (1 − k/E)^B).

    Assumes uniform routing: each token takes k different experts of E, every one as likely as the others, independently
    of the other tokens. A token then misses a given expert with probability 1 − k/E, and the batch misses it with the
    B-th power of that. Real routers are uneven, tokens of one text alike, and both make the number smaller: this is the
    number of a perfectly balanced model, an upper estimate.

    `batch_tokens` is the number of tokens in the step: sequences when decoding, prompt tokens when prefilling.
    """
    if not 1 <= top_k <= experts or batch_tokens < 0:
        raise ModelError(
            f"A step of {batch_tokens} tokens that pass {top_k} of {experts} experts each: "
            "tokens must be at least 0 and top-k between 1 and the number of experts."
        )
    return experts * (1 - (1 - top_k / experts) ** batch_tokens)
