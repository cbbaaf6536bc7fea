"""Whether a model fits: the arithmetic of memory from the flags of a profile."""

import pytest

from loadgen.errors import ModelError
from loadgen.experiments.study.study_plan import with_memory_of
from loadgen.moe.hardware import card_memory_bytes, hardware
from loadgen.moe.models import model
from loadgen.moe.placement import Parallelism
from loadgen.servers.profiles.checks import resources
from loadgen.servers.profiles.layout import layout, overrides
from loadgen.servers.profiles.memory_fit import GB, RESERVE_BYTES, VISION_RESERVE_BYTES, Memory, memory
from loadgen.servers.profiles.profile_file import read_profile

MIXTRAL = model("mixtral-8x7b").architecture
LONG = {"max-model-len": 4224, "max-num-seqs": 128}


def planned(gpu_memory_gb: float = 80, **flags: object) -> Memory:
    given = {name.replace("_", "-"): value for name, value in flags.items()}
    found = memory(MIXTRAL, layout({**LONG, **given}), int(gpu_memory_gb * GB))  # type: ignore[dict-item]
    assert found is not None
    return found


def test_the_flags_of_a_layout() -> None:
    given = layout(
        {
            "tensor_parallel_size": 2,
            "data-parallel-size": 4,
            "enable-expert-parallel": True,
            "quantization": "fp8_per_tensor",
            "kv-cache-dtype": "fp8_e4m3",
            "gpu-memory-utilization": 0.5,
            "speculative-config": {"model": "a/draft", "draft_tensor_parallel_size": 1},
        }
    )
    assert given.parallelism == Parallelism(tensor=2, data=4, experts=True)
    assert (given.precision, given.kv_precision, given.memory_ratio) == ("fp8", "fp8", 0.5)
    assert (given.draft_model, given.draft_tensor) == ("a/draft", 1)
    assert (given.max_model_len, given.max_num_seqs, given.kv_bytes) == (None, None, None)
    assert given.label == "fp8, tensor 2, data 4, experts spread"
    assert layout({}).label == "bf16, one GPU"
    assert overrides({"hf-overrides": {"a": 1}}) == {"a": 1}


@pytest.mark.parametrize(
    ("flags", "precision"),
    [
        ({"dtype": "float16"}, "bf16"),
        ({"dtype": "float32"}, None),
        ({"quantization": "awq_marlin"}, "int4"),
        ({"quantization": "fp8", "dtype": "float16"}, "fp8"),
        ({"quantization": "some-new-one"}, None),
    ],
)
def test_precision_follows_the_flags_or_is_not_known(flags: dict[str, str], precision: str | None) -> None:
    assert layout(flags).precision == precision
    assert (memory(MIXTRAL, layout(flags), 80 * GB) is None) is (precision is None)


def test_sixteen_bits_of_mixtral_do_not_fit_one_gpu_of_80_gb() -> None:
    assert planned().problem == (
        "it does not fit (bf16, one GPU): 93.4 GB of weights and 4.0 GB for the rest are more than the 72.0 GB that it may "
        "use of each GPU; spread it over more GPUs, quantise it, or ask for larger GPUs"
    )
    assert planned(quantization="fp8").problem is None
    assert planned(tensor_parallel_size=2).problem is None
    assert planned(141).problem is None


def test_what_is_left_is_the_kv_cache() -> None:
    fit = planned(tensor_parallel_size=2)
    assert fit.kv_cache_bytes == 72 * GB - fit.weights_bytes - RESERVE_BYTES
    assert fit.sequences == pytest.approx(fit.kv_cache_bytes / (4224 * 65_536))
    assert fit.remark is not None
    assert "77 sequences of 4,224 tokens, fewer than max-num-seqs 128" in fit.remark
    assert planned(tensor_parallel_size=4).remark is None


def test_one_sequence_of_the_longest_must_fit() -> None:
    assert planned(max_model_len=500_000, tensor_parallel_size=2).problem == (
        "not one sequence fits (bf16, tensor 2): weights leave 21.3 GB of each GPU to the KV cache, and 500,000 tokens need "
        "32.8 GB; lower max-model-len or spread it over more GPUs"
    )


def test_a_kv_cache_said_outright_counts_as_it_is() -> None:
    assert planned(tensor_parallel_size=2, kv_cache_memory_bytes=10 * GB).kv_cache_bytes == 10 * GB
    assert planned(tensor_parallel_size=2, kv_cache_memory_bytes=30 * GB).problem is not None
    shared = planned(tensor_parallel_size=2, kv_cache_memory_bytes=10 * GB, gpu_memory_utilization=0.05)
    assert shared.problem is None


def test_a_draft_takes_its_share() -> None:
    target, draft = model("qwen3-30b-a3b").architecture, model("qwen3-8b").architecture
    flags = layout({**LONG, "speculative-config": {"model": "Qwen/Qwen3-8B"}})
    alone, drafted = memory(target, flags, 80 * GB), memory(target, flags, 80 * GB, draft)
    assert alone is not None
    assert drafted is not None
    assert drafted.draft_weights_bytes == pytest.approx(16.4 * GB, rel=0.01)
    assert drafted.kv_bytes_per_token == alone.kv_bytes_per_token + 147_456
    assert alone.problem is None
    assert drafted.problem is not None


def test_a_vision_part_is_left_room_for() -> None:
    fit = memory(model("deepseek-vl2-tiny").architecture, layout({}), 80 * GB)
    assert fit is not None
    assert fit.reserve_bytes == RESERVE_BYTES + VISION_RESERVE_BYTES
    assert fit.sequences is None


def test_a_layout_that_does_not_come_out_even_is_an_error() -> None:
    with pytest.raises(ModelError, match="32 attention heads cannot be split evenly over 3"):
        planned(tensor_parallel_size=3)


@pytest.mark.parametrize(
    ("gb", "bytes_"),
    [(80, 81_559 * 2**20), (141, 143_771 * 2**20), (192, 206_141_652_992), (24, 24 * GB), (85.5, 85_500_000_000)],
)
def test_a_gpu_has_the_bytes_that_its_driver_reports(gb: float, bytes_: int) -> None:
    assert card_memory_bytes(gb) == bytes_


@pytest.mark.parametrize("profile", ["olmoe-tp1", "qwen3-30b-a3b"])
def test_a_plan_and_a_profile_have_the_same_kv_cache(profile: str) -> None:
    """A plan is for one accelerator, by default the H100 of 80 GB; a profile asks for GPUs of 80 GB."""
    asked = read_profile(profile).profile
    shown, planned_for = resources(asked, None), resources(with_memory_of(asked, hardware("h100")), None)
    assert shown is not None
    assert shown == planned_for
