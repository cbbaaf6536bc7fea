"""Claims about sizes of models, against their real configurations."""

from typing import Any

import pytest
from pydantic import ValidationError

from loadgen.errors import ModelError
from loadgen.moe.table1 import TABLE_1, compare_with_paper
from loadgen.study.claims import Claim, Fact
from loadgen.study.facts import judge_fact
from loadgen.study.judgement import Judgement
from loadgen.study.study_file import read_study


def judged(model: str | list[str], **facts: Any) -> Judgement:
    compare = Fact.model_validate({"kind": "fact", "model": model, "facts": facts})
    return judge_fact(Claim(id="c", place="Table 1", says="A claim.", compare=compare))


@pytest.mark.parametrize(
    ("model", "facts", "verdict"),
    [
        ("mixtral-8x7b", {"layers": 32, "experts": 8, "top_k": 2}, "holds"),
        ("mixtral-8x7b", {"layers": 32, "experts": 16}, "does_not_hold"),
        ("mixtral-8x7b", {"type": "transformer", "modality": "text"}, "holds"),
        ("deepseek-vl2", {"modality": "text and image"}, "holds"),
        ("mixtral-8x7b", {"parameters": "47B", "active_parameters": "12.9B"}, "holds"),
        ("mixtral-8x7b", {"parameters": "46B"}, "holds"),  # cut off
        ("mixtral-8x7b", {"parameters": "45B"}, "does_not_hold"),
        ("deepseek-v2-lite", {"active_parameters": "2.4B"}, "holds"),  # without the embedding
        (
            "deepseek-vl2-tiny",
            {"parameters": "3B", "active_parameters": "1.0B"},
            "holds",
        ),  # by its card, with the vision part
        ("mixtral-8x7b", {"expert_share": {"min": 0.9}}, "holds"),
        ("mixtral-8x7b", {"active_expert_share": {"min": 0.9}}, "does_not_hold"),
        ("olmoe-1b-7b", {"experts_divisible_by": 8}, "holds"),
        ("qwen1.5-moe-a2.7b", {"experts_divisible_by": 8}, "does_not_hold"),
        (["olmoe-1b-7b", "mixtral-8x7b"], {"smallest_parameters": "6.9B", "largest_parameters": "47B"}, "holds"),
        (["olmoe-1b-7b", "mixtral-8x7b"], {"largest_parameters": "70B"}, "does_not_hold"),
        (["olmoe-1b-7b", "mixtral-8x7b"], {"largest_parameters": {"min": 30}}, "holds"),
        (["olmoe-1b-7b", "mixtral-8x7b"], {"layers": 16}, "does_not_hold"),
    ],
)
def test_verdicts(model: str | list[str], facts: dict[str, Any], verdict: str) -> None:
    assert judged(model, **facts).verdict == verdict


def test_the_judgement_shows_each_stated_fact_and_the_real_one() -> None:
    rows = judged("olmoe-1b-7b", layers=16, ffn_size=8192, parameters="7.2B").compared
    assert [(row.of, row.stated, row.found, row.verdict) for row in rows] == [
        ("olmoe-1b-7b, layers", "16", "16", "holds"),
        ("olmoe-1b-7b, FFN size of an expert", "8,192", "1,024", "does_not_hold"),
        ("olmoe-1b-7b, parameters", "7.2B", "6.92B", "does_not_hold"),
    ]


@pytest.mark.parametrize(
    ("stated", "found"), [("2.4B", "2.45B without the embedding"), ("2.7B", "2.66B"), ("3.1B", "2.66B")]
)
def test_the_count_of_active_parameters_that_agrees_is_the_one_shown(stated: str, found: str) -> None:
    (row,) = judged("deepseek-v2-lite", active_parameters=stated).compared
    assert row.found == found


@pytest.mark.parametrize(
    "facts",
    [
        {"layers": "32"},
        {"layers": True},
        {"parameters": 47},
        {"parameters": "47"},
        {"expert_share": 0.5},
        {"heads": 32},
    ],
)
def test_a_fact_of_another_kind_is_refused(facts: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        judged("mixtral-8x7b", **facts)


def test_an_unknown_model() -> None:
    with pytest.raises(ModelError):
        judged("mixtral-9x7b", layers=32)


def test_every_cell_of_table_1_is_a_claim() -> None:
    claims = {claim.id: claim.compare for claim in read_study("table1").study.claims}
    for row in TABLE_1:
        dimensions, sizes = claims[f"table1-{row.name}-dimensions"], claims[f"table1-{row.name}-parameters"]
        assert isinstance(dimensions, Fact)
        assert isinstance(sizes, Fact)
        of_dimensions = [dimensions.facts[key] for key in ("layers", "hidden_size", "ffn_size", "experts", "top_k")]
        assert of_dimensions == [row.layers, row.hidden_size, row.ffn_size, row.experts, row.top_k]
        assert sizes.facts == {"parameters": f"{row.total}B", "active_parameters": f"{row.active}B"}


def test_verdicts_on_table_1_agree_with_the_comparison_of_its_rows() -> None:
    claims = {claim.id: claim for claim in read_study("table1").study.claims}
    for row in TABLE_1:
        agrees = {each.label: each.agrees for each in compare_with_paper(row) if each.agrees is not None}
        found = [
            each.verdict == "holds"
            for part in ("dimensions", "parameters")
            for each in judge_fact(claims[f"table1-{row.name}-{part}"]).compared
            if each.of.partition(", ")[2] in agrees
        ]
        assert found == list(agrees.values())
