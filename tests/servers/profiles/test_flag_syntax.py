"""Arguments in every spelling that vLLM takes are one argument, and lengths are the numbers that vLLM reads."""

import pytest

from loadgen.servers.profiles import flag_syntax

TOP_K = {"hf-overrides": {"num_experts_per_tok": 4}}


@pytest.mark.parametrize(
    ("text", "number"),
    [  # each as the parser of vLLM 0.32 answers
        *(("4096", 4096), (" 4096 ", 4096), ("4_096", 4096), ("+5", 5), ("0", 0), ("-1", -1), ("1T", 2**40)),
        *(("4M", 4 * 2**20), ("4m", 4_000_000), ("32k", 32_000), ("32K", 32_768), ("2G", 2**31), ("1.5k", 1500)),
        *(("25.6k", 25_600), ("0.5m", 500_000), ("3g", 3 * 10**9), ("1t", 10**12)),
        *((text, None) for text in ("1.5K", "1e3", "4096.0", "0.9", "4kb", "4 k", "k", "", "auto", "-4k", "4Ki", "0x10")),
    ],
)  # fmt: skip
def test_a_length_is_read_as_vllm_reads_it(text: str, number: int | None) -> None:
    assert flag_syntax.readable_int(text) == number
    assert flag_syntax.length("max-num-batched-tokens", text) == number


@pytest.mark.parametrize(
    ("name", "value", "number"),
    [
        *(("max-model-len", value, flag_syntax.AUTO) for value in ("auto", "AUTO", " Auto ", "-1", -1)),
        ("max-model-len", 4096, 4096),
        ("max-num-batched-tokens", "auto", None),
        *(("max-num-seqs", value, number) for value, number in (("64", 64), ("4k", None), ("auto", None), (64, 64))),
        *(("max-num-seqs", value, None) for value in (True, None, 64.0, [64], {"a": 1})),
    ],
)
def test_only_some_flags_take_suffixes_and_only_one_is_automatic(name: str, value: object, number: int | None) -> None:
    assert flag_syntax.length(name, value) == number


def test_a_length_that_vllm_refuses_is_named_with_what_to_write() -> None:
    wrong = flag_syntax.wrong_lengths(
        {"max-model-len": "1.5K", "max-num-seqs": "4k", "kv-cache-memory-bytes": 0, "tensor-parallel-size": "auto"}
    )
    assert wrong == {
        "max-model-len": "is '1.5K', which is no whole number to vLLM; a fraction goes with a lower-case suffix, 1.5k",
        "kv-cache-memory-bytes": "is 0; give a number of at least 1",
        "max-num-seqs": "is '4k', which is no whole number to vLLM; write it in digits, without a suffix",
        "tensor-parallel-size": "is 'auto', which is no whole number to vLLM; write it in digits, without a suffix",
    }
    assert flag_syntax.wrong_lengths({"max-model-len": -1, "max-num-seqs": "64", "dtype": "auto"}) == {}


@pytest.mark.parametrize(
    ("given", "result"),
    [
        ({"max_model_len": 4096}, {"max-model-len": 4096}),
        ({"hf-overrides.num_experts_per_tok": 4}, TOP_K),
        ({"hf_overrides.num_experts_per_tok": 4}, TOP_K),
        ({"hf-overrides": '{"num_experts_per_tok": 4}'}, TOP_K),
        ({"hf_overrides": {"num_experts_per_tok": 4}}, TOP_K),
        ({"hf-overrides.num_experts_per_tok": "4"}, TOP_K),
        ({"hf-overrides.text_config.x": "4k"}, {"hf-overrides": {"text_config": {"x": 4000}}}),
        ({"hf-overrides.a": "true"}, {"hf-overrides": {"a": True}}),
        ({"hf-overrides.a": "True"}, {"hf-overrides": {"a": "True"}}),
        ({"hf-overrides.a": "[1, 2]"}, {"hf-overrides": {"a": [1, 2]}}),
        ({"hf-overrides.a": None}, {"hf-overrides": {"a": None}}),
        ({"compilation-config.mode": 3}, {"compilation-config": {"mode": 3}}),
        ({"compilation-config.sizes+": "1,2"}, {"compilation-config": {"sizes": ["1", "2"]}}),
        ({"hf-overrides": {"a": 1}, "hf-overrides.b": 2}, {"hf-overrides": {"a": 1, "b": 2}}),
        ({"hf-overrides.b": 2, "hf_overrides": '{"b": 3, "c": {"d": 1}}'}, {"hf-overrides": {"b": 3, "c": {"d": 1}}}),
        ({"hf-overrides.c.e": 2, "hf-overrides.c.d": 1}, {"hf-overrides": {"c": {"e": 2, "d": 1}}}),
        ({"enforce-eager": "true", "enable-prefix-caching": "False"}, {"enforce-eager": True, "enable-prefix-caching": False}),
        ({"chat-template": "{{ messages }}", "dtype": "auto"}, {"chat-template": "{{ messages }}", "dtype": "auto"}),
        ({"override-generation-config": "{}"}, {"override-generation-config": {}}),
    ],
)  # fmt: skip
def test_spellings_of_an_argument_are_one(given: dict[str, object], result: dict[str, object]) -> None:
    assert flag_syntax.canonical(given) == result
    assert flag_syntax.canonical(flag_syntax.canonical(given)) == result
    assert flag_syntax.canonical(flag_syntax.flat(given)) == result


def test_arguments_are_changed_key_by_key() -> None:
    below = {"hf_overrides": {"a": 1, "b": 2}, "max-num-seqs": 8}
    assert flag_syntax.changed(below, {"hf-overrides.a": 3, "max_num_seqs": None}) == {"hf-overrides": {"a": 3, "b": 2}}
    assert flag_syntax.changed(below, {"hf-overrides": None}) == {"max-num-seqs": 8}
    assert flag_syntax.without(below, {"hf-overrides.a": 3}) == {"hf-overrides": {"b": 2}, "max-num-seqs": 8}
    assert flag_syntax.without(below, {"hf-overrides": {}}) == {"max-num-seqs": 8}


def test_a_nested_key_goes_by_its_own_name_unless_two_share_it() -> None:
    assert flag_syntax.short_name("hf-overrides.num_experts_per_tok") == "num_experts_per_tok"
    both = {"hf-overrides.text_config.size": 1, "hf-overrides.vision_config.size": 2}
    assert flag_syntax.short_name("hf-overrides.text_config.size", both) == "hf-overrides.text_config.size"
    assert flag_syntax.flat({"x": {"a.b": 1}, "y": {}}) == {"x": {"a.b": 1}, "y": {}}
