"""Bytes and FLOPs of a step, worked out by hand from the models' published sizes."""

import pytest

from loadgen.moe.models import model
from loadgen.moe.parameters import active_parameters, parameters
from loadgen.moe.placement import Parallelism
from loadgen.moe.step import PrefillChunk, Step
from loadgen.moe.step_work import Precisions, Work, stage_works

BF16 = Precisions()


def works_of(
    name: str, step: Step, parallelism: Parallelism | None = None, precisions: Precisions = BF16
) -> dict[str, Work]:
    (stage,) = stage_works(model(name).architecture, parallelism or Parallelism(), precisions)
    return {work.kind: work for work in stage.work(step)}


def weights(works: dict[str, Work]) -> float:
    return sum(work.weight_bytes for work in works.values())


def test_a_large_batch_reads_all_weights_but_the_embedding() -> None:
    works = works_of("mixtral-8x7b", Step(1000, 1000))
    # 46,702,792,704 parameters of 2 bytes; of the embedding (32,000 · 4,096) one row a token.
    assert weights(works) == pytest.approx(2 * (46_702_792_704 - 32_000 * 4_096) + 1000 * 4_096 * 2, rel=1e-12)


def test_a_sequence_that_checks_drafted_tokens_reads_its_cache_once_and_passes_the_head_with_all_of_them() -> None:
    checked, each = works_of("qwen3-8b", Step(16, 1600, decode_tokens=4)), works_of("qwen3-8b", Step(64, 6400))
    assert checked["head"] == each["head"]
    assert checked["attention"].flops == each["attention"].flops
    kv_bytes = 36 * 2 * 8 * 128 * 2  # layers, keys and values, heads, size, bytes
    assert checked["attention"].cache_bytes == kv_bytes * (1600 + 64)


def test_one_token_reads_its_two_experts_of_eight() -> None:
    works = works_of("mixtral-8x7b", Step(1, 1))
    assert works["attention_projections"].weight_bytes == 32 * 2 * 4_096 * (32 + 8) * 128 * 2
    assert works["routed_experts"].weight_bytes == pytest.approx(32 * 2 * 3 * 4_096 * 14_336 * 2)
    assert works["head"].weight_bytes == 32_000 * 4_096 * 2


@pytest.mark.parametrize("name", ["mixtral-8x7b", "deepseek-v2-lite", "qwen1.5-moe-a2.7b", "qwen3-8b", "qwen3-0.6b"])
@pytest.mark.parametrize("tokens", [1, 7])
def test_products_take_two_flops_for_each_active_parameter(name: str, tokens: int) -> None:
    architecture = model(name).architecture
    active = active_parameters(architecture)
    head = active.head or active.embedding  # one matrix is both where they are tied
    matrices = (
        active.attention + active.routed_experts + active.shared_experts + active.dense_ffn + active.router + head
    )
    works = works_of(name, Step(tokens, 0))
    assert sum(work.flops for work in works.values()) == pytest.approx(2 * matrices * tokens)


@pytest.mark.parametrize(
    ("name", "bytes_a_token"),
    [
        ("mixtral-8x7b", 2 * 8 * 128 * 32 * 2),  # keys and values of 8 heads of 128, 32 layers
        ("qwen1.5-moe-a2.7b", 2 * 16 * 128 * 24 * 2),
        ("deepseek-v2-lite", (512 + 64) * 27 * 2),  # one latent and one rotary key for all 16 heads
    ],
)
def test_the_cache_is_read_once_and_written_once(name: str, bytes_a_token: int) -> None:
    decode = works_of(name, Step(3, 1000))["attention"].cache_bytes
    prefill = works_of(name, Step(chunks=(PrefillChunk(100, start=50),)))["attention"].cache_bytes
    assert decode == (1000 + 3) * bytes_a_token
    assert prefill == (150 + 100) * bytes_a_token


def test_attention_of_a_prompt_is_half_a_square() -> None:
    # 2 FLOPs · (scores and values) · 32 heads of 128 · 32 layers, for 1 + 2 + … + 1,000 pairs.
    flops = works_of("mixtral-8x7b", Step(chunks=(PrefillChunk(1000),)))["attention"].flops
    assert flops == 2 * 2 * 32 * 128 * 32 * 500_500


def test_chunks_of_a_prompt_attend_to_as_much_as_the_whole() -> None:
    whole = works_of("mixtral-8x7b", Step(chunks=(PrefillChunk(1000),)))["attention"].flops
    first = works_of("mixtral-8x7b", Step(chunks=(PrefillChunk(600, last=False),)))["attention"].flops
    second = works_of("mixtral-8x7b", Step(chunks=(PrefillChunk(400, start=600),)))["attention"].flops
    assert first + second == whole


def test_latent_attention_decodes_in_the_latent_and_expands_a_prompt() -> None:
    decode = works_of("deepseek-v2-lite", Step(1, 1000))["attention"].flops
    prompt = works_of("deepseek-v2-lite", Step(chunks=(PrefillChunk(1000),)))["attention"].flops
    resumed = works_of("deepseek-v2-lite", Step(chunks=(PrefillChunk(1, start=1000),)))["attention"].flops
    assert decode == 1000 * 27 * 16 * 2 * (512 + 64 + 512)
    assert prompt == 500_500 * 27 * 16 * 2 * (128 + 64 + 128)
    assert resumed == 1001 * 27 * 16 * 2 * (128 + 64 + 128) + 1000 * 27 * 16 * 2 * 512 * (128 + 128)


def test_every_token_passes_the_shared_experts_and_the_dense_first_layer() -> None:
    works = works_of("deepseek-v2-lite", Step(1, 1))
    assert works["shared_experts"].weight_bytes == 26 * 3 * 2_048 * 2 * 1_408 * 2
    assert works["dense_ffn"].weight_bytes == 3 * 2_048 * 10_944 * 2
    assert works["routed_experts"].weight_bytes == pytest.approx(26 * 6 * 3 * 2_048 * 1_408 * 2)


def test_a_dense_model_has_no_experts() -> None:
    works = works_of("qwen3-8b", Step(1, 1))
    assert not {"routed_experts", "shared_experts", "router"} & set(works)
    total = parameters(model("qwen3-8b").architecture)
    assert weights(works) == (total.total - total.embedding) * 2 + 4_096 * 2


def test_only_sampled_tokens_pass_the_head() -> None:
    whole = works_of("mixtral-8x7b", Step(chunks=(PrefillChunk(1000),)))
    part = works_of("mixtral-8x7b", Step(chunks=(PrefillChunk(1000, last=False),)))
    assert whole["head"].flops == 2 * 32_000 * 4_096
    assert "head" not in part


def test_fp8_halves_what_is_quantised() -> None:
    bf16 = works_of("mixtral-8x7b", Step(1, 0))
    fp8 = works_of("mixtral-8x7b", Step(1, 0), precisions=Precisions(weights="fp8", kv_cache="fp8"))
    halves = {kind for kind in bf16 if fp8[kind].bytes != bf16[kind].bytes}
    assert halves == {"attention_projections", "attention", "routed_experts"}
    assert all(2 * fp8[kind].weight_bytes == bf16[kind].weight_bytes for kind in halves)


@pytest.mark.parametrize(
    "parallelism",
    [
        Parallelism(tensor=4),
        Parallelism(tensor=4, experts=True),
        Parallelism(data=4, experts=True),
        Parallelism(data=4),
    ],
)
def test_four_gpus_share_the_routed_experts(parallelism: Parallelism) -> None:
    whole = works_of("mixtral-8x7b", Step(64, 0))["routed_experts"]
    share = works_of("mixtral-8x7b", Step(64 // parallelism.data, 0), parallelism)["routed_experts"]
    assert share.weight_bytes == pytest.approx(whole.weight_bytes / 4)
    assert share.flops == pytest.approx(whole.flops / 4)


def test_stages_have_the_whole_model_among_them() -> None:
    architecture = model("deepseek-v2-lite").architecture
    step = Step(8, 800, (PrefillChunk(64),))
    (whole,) = stage_works(architecture, Parallelism(), BF16)
    stages = stage_works(architecture, Parallelism(pipeline=2), BF16)
    assert sum(work.bytes for stage in stages for work in stage.work(step)) == pytest.approx(
        sum(work.bytes for work in whole.work(step))
    )
    assert sum(work.flops for stage in stages for work in stage.work(step)) == pytest.approx(
        sum(work.flops for work in whole.work(step))
    )
