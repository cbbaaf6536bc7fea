"""A matrix of arguments: each combination's GPUs, memory and label, in whatever spelling the arguments are written."""

import json
from pathlib import Path
from typing import Any

import pytest

from loadgen.errors import UsageError
from loadgen.experiments.sweep_plan import plan_group
from loadgen.experiments.sweep_request import PlannedSweep, read_request
from loadgen.servers.launcher.variant import Overrides, Variant

LOAD = {"concurrency": 1, "requests": 4, "input_tokens": 64, "output_tokens": 8}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def parts(profile: str, arguments: object) -> tuple[PlannedSweep, ...]:
    Path("spec.yaml").write_text(json.dumps({"matrix": {"profile": profile, "arguments": arguments}} | LOAD))
    return read_request({}, Path("spec.yaml")).sweeps()


def planned(profile: str, arguments: object) -> list[dict[str, object]]:
    document: Any = plan_group("sqlite:///none.db", parts(profile, arguments), interleave=False).to_json()
    return list(document["sweeps"])


@pytest.mark.parametrize(
    ("arguments", "gpus"),
    [
        ({"pipeline-parallel-size": [1, 4]}, [1, 4]),
        ({"pipeline_parallel_size": ["2", 4]}, [2, 4]),
        ({"tensor-parallel-size": [2], "pipeline-parallel-size": [2], "data-parallel-size": [1, 2]}, [4, 8]),
        ({"data-parallel-size": [2], "enable-expert-parallel": [True]}, [2]),
        ({"max-num-seqs": [8, 16]}, [1, 1]),
        ({"tensor-parallel-size": [None, 2]}, [1, 2]),
    ],
)
def test_the_gpus_of_a_combination_are_counted(arguments: object, gpus: list[int]) -> None:
    found = planned("olmoe-tp1", arguments)
    assert [each["gpus"] for each in found] == gpus
    for part, count in zip(parts("olmoe-tp1", arguments), gpus, strict=True):
        assert part.variant is not None
        assert part.variant.launch().gpus == count


def test_gpus_by_the_hour_are_those_of_the_combination(tmp_path: Path) -> None:
    (tmp_path / "paid.yaml").write_text(
        "extends: olmoe-tp1\ndescription: paid\nprice: {usd_per_gpu_hour: 2}\n", encoding="utf-8"
    )
    prices = [part.spec.price_list for part in parts("./paid.yaml", {"tensor-parallel-size": [1, 4]})]
    assert [price and price.gpus for price in prices] == [1, 4]


def test_a_profile_on_the_processor_takes_no_gpus() -> None:
    assert [each["gpus"] for each in planned("tiny-mixtral", {"tensor-parallel-size": [1, 2]})] == [0, 0]


@pytest.mark.parametrize(
    "arguments",
    [
        {"hf-overrides": [{"num_experts_per_tok": 1}, {"num_experts_per_tok": 4}]},
        {"hf_overrides": [{"num_experts_per_tok": 1}, {"num_experts_per_tok": 4}]},
        {"hf-overrides": ['{"num_experts_per_tok": 1}', '{"num_experts_per_tok": 4}']},
        {"hf-overrides.num_experts_per_tok": [1, 4]},
        {"hf_overrides.num_experts_per_tok": ["1", "4"]},
    ],
)
def test_a_key_of_the_models_configuration_is_a_dimension_of_its_own(arguments: object) -> None:
    found = parts("olmoe-tp1", arguments)
    variants = [part.variant for part in found if part.variant is not None]
    assert [each.label for each in variants] == [
        "olmoe-tp1 with num_experts_per_tok 1",
        "olmoe-tp1 with num_experts_per_tok 4",
    ]
    words = [each.launch().argv for each in variants]
    assert ['{"num_experts_per_tok":4}' in each for each in words] == [False, True]
    assert not any("." in word for each in words for word in each if word.startswith("--"))
    assert variants[0].to_json()["overrides"] == {"arguments": {"hf-overrides.num_experts_per_tok": 1}}


def test_the_spellings_of_one_combination_are_the_same_combination() -> None:
    with pytest.raises(UsageError, match="twice"):
        parts("olmoe-tp1", {"hf-overrides": [{"a": 1}, '{"a": 1}']})


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"hf-overrides.num_experts": [64, 512]}, [None, "it does not fit (bf16, one GPU)"]),
        ({"hf-overrides": [{"num_hidden_layers": 8}, {"num_hidden_layers": 200}]}, [None, "it does not fit"]),
        ({"max-model-len": ["4k", "40M", "auto"]}, [None, "not one sequence fits", None]),
        ({"max-model-len": ["4k", "5k", "auto"]}, [None, "5,000 is more than the 4,096 tokens of the model's own", None]),
        ({"max-model-len": [64, "71", 72, "1.5K"]}, ["72 tokens of input", "72 tokens of input", None, "max-model-len is"]),
        ({"tensor-parallel-size": [3]}, ["cannot be split evenly"]),
    ],
)  # fmt: skip
def test_the_plan_says_which_combination_cannot_start(arguments: object, problem: list[str | None]) -> None:
    found = [each["problem"] for each in planned("olmoe-tp1", arguments)]
    for told, expected in zip(found, problem, strict=True):
        assert told is None if expected is None else expected in str(told)


def test_an_argument_of_the_command_line_merges_with_the_profiles_own(tmp_path: Path) -> None:
    (tmp_path / "it.yaml").write_text(
        "extends: olmoe-tp1\ndescription: it\narguments: {hf_overrides: {num_experts: 32}, hf-overrides.x.y: 1k}\n"
    )
    given = ["hf-overrides.num_experts_per_tok=4", 'hf-overrides={"x": {"z": true}}', "max_model_len=2k"]
    launch = Variant.of("./it.yaml", Overrides.parse(None, None, given)).launch()
    made = launch.argv[launch.argv.index("--hf-overrides") + 1]
    assert json.loads(made) == {"num_experts": 32, "num_experts_per_tok": 4, "x": {"y": 1000, "z": True}}
    assert launch.argv[launch.argv.index("--max-model-len") + 1] == "2k"
    assert launch.argv.count("--hf-overrides") == launch.argv.count("--max-model-len") == 1
