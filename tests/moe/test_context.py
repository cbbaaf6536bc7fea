"""The longest sequence of a configuration: the lengths are those that vLLM 0.32's own function gave for the same config.json."""

import pytest

from loadgen.moe.context import Context, context
from loadgen.moe.models import configuration, model_names

Config = dict[str, object]
LONG_ROPE: Config = {"type": "longrope", "long_factor": [1.0], "short_factor": [1.0]}


@pytest.mark.parametrize(
    ("config", "most", "key"),
    [
        ({"max_position_embeddings": 4096}, 4096, "max_position_embeddings"),
        ({"max_position_embeddings": 4096, "rope_scaling": None}, 4096, "max_position_embeddings"),
        ({"max_position_embeddings": 4096, "rope_scaling": {"type": "linear", "factor": 4.0}}, 16384, "max_position_embeddings"),
        ({"max_position_embeddings": 4096, "rope_scaling": {"rope_type": "linear", "factor": 2}}, 8192, "max_position_embeddings"),
        ({"max_position_embeddings": 4096, "rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, 8192, "max_position_embeddings"),
        ({"max_position_embeddings": 4096, "rope_scaling": {"rope_type": "linear", "factor": None}}, 4096, "max_position_embeddings"),
        ({"max_position_embeddings": 4096, "rope_parameters": {"rope_type": "default"}}, 4096, "max_position_embeddings"),
        ({"max_position_embeddings": 4096, "rope_parameters": {"rope_type": "linear", "factor": 8.0}}, 32768, "max_position_embeddings"),
        ({"max_position_embeddings": 32768, "rope_scaling": {"type": "yarn", "factor": 4.0}}, 32768, "max_position_embeddings"),
        ({"max_position_embeddings": 131072, "rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, 131072, "max_position_embeddings"),
        ({"max_position_embeddings": 163840, "rope_scaling": {"type": "yarn", "factor": 40}}, 163840, "max_position_embeddings"),
        ({"max_position_embeddings": 131072, "model_type": "gemma3_text", "rope_scaling": {"rope_type": "linear", "factor": 8.0}}, 131072, "max_position_embeddings"),
        ({"max_position_embeddings": 32768, "sliding_window": 4096}, 32768, "max_position_embeddings"),
        ({"max_position_embeddings": 8192, "model_max_length": 2048}, 2048, "model_max_length"),
        ({"max_position_embeddings": 2048, "model_max_length": 8192}, 8192, "model_max_length"),
        ({"max_position_embeddings": 4096, "seq_length": 2048}, 2048, "seq_length"),
        ({"max_position_embeddings": 4096, "max_seq_len": 1024}, 1024, "max_seq_len"),
        ({"max_position_embeddings": 4096, "max_sequence_length": 512}, 512, "max_sequence_length"),
        ({"max_position_embeddings": 4096, "seq_len": 8192}, 4096, "max_position_embeddings"),
        ({"max_position_embeddings": 4096, "max_seq_length": 2048, "rope_scaling": {"type": "linear", "factor": 2.0}}, 4096, "max_seq_length"),
        ({"n_positions": 1024}, 1024, "n_positions"),
        ({"text_config": {"max_position_embeddings": 262144}}, 262144, "max_position_embeddings"),
        ({"language_config": {"max_position_embeddings": 4096}}, 4096, "max_position_embeddings"),
        ({"thinker_config": {"text_config": {"max_position_embeddings": 65536}}}, 65536, "max_position_embeddings"),
        ({"max_position_embeddings": "4096", "n_positions": True, "seq_length": 512.0}, 512, "seq_length"),
    ],
)  # fmt: skip
def test_what_a_configuration_allows(config: Config, most: int, key: str) -> None:
    assert context(config) == Context(most=most, default=most, key=key)


def test_a_long_rope_is_used_on_request_alone() -> None:
    config: Config = {"max_position_embeddings": 131072, "original_max_position_embeddings": 4096}
    assert context(config | {"rope_scaling": LONG_ROPE}) == Context(131072, 4096, "max_position_embeddings")
    assert context(config) == Context(131072, 131072, "max_position_embeddings")


@pytest.mark.parametrize("config", [{}, {"max_position_embeddings": None}, {"seq_length": -1}, {"n_positions": 1e400}])
def test_what_is_not_said_is_not_known(config: Config) -> None:
    assert context(config) is None


def test_the_published_lengths_of_the_models() -> None:
    told = {name: context(configuration(name, {})) for name in model_names()}
    assert {name: None if found is None else found.most for name, found in told.items()} == {
        "deepseek-v2-lite": 163_840,
        "deepseek-vl2": 4_096,
        "deepseek-vl2-small": 4_096,
        "deepseek-vl2-tiny": 4_096,
        "llama-4-scout": None,  # not verified for the base checkpoint
        "mixtral-8x7b": 32_768,
        "olmoe-1b-7b": 4_096,
        "phi-3.5-moe": 131_072,
        "qwen1.5-moe-a2.7b": None,  # not verified: public code has 8,192 and 32,768
        "qwen3-0.6b": 40_960,
        "qwen3-1.7b": 40_960,
        "qwen3-30b-a3b": 40_960,
        "qwen3-4b": 40_960,
        "qwen3-8b": 40_960,
    }
