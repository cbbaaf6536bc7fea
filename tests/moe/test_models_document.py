"""docs/models.md says what the configurations and the code say: its tables are rebuilt here and compare_with_paper."""

from pathlib import Path

import pytest

from loadgen.moe.memory import kv_cache_bytes_per_token, weight_bytes
from loadgen.moe.models import Model, model, model_names
from loadgen.moe.parameters import (
    MATRICES_OF_A_FFN,
    Parameters,
    active_parameters,
    expected_distinct_experts,
    parameters,
)
from loadgen.moe.table1 import BILLION, TABLE_1, PaperComparison, Table1Row, compare_with_paper

FIGURE_1 = ("mixtral-8x7b", "olmoe-1b-7b", "qwen1.5-moe-a2.7b")  # its models; the paper prints no numbers

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
KINDS = tuple(Parameters().by_kind())


def table(title: str) -> list[str]:
    """The body of the first table of a section, a string a row."""
    section = DOCUMENT.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]
    return [line for line in section.splitlines() if line.startswith("|")][2:]


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def dimensions_row(named: Model) -> str:
    it = named.architecture
    experts = it.experts
    sparse = (
        ("–", "–", "–")
        if experts is None
        else (
            f"{experts.top_k} of {experts.experts}",
            f"{experts.ffn_size:,}",
            f"{experts.shared_experts} ({experts.shared_ffn_size:,})" if experts.shared_experts else "–",
        )
    )
    dense = f"{it.dense_layers} ({it.dense_ffn_size:,})" if it.dense_ffn_size else "–"
    return row(f"`{named.name}`", named.id, str(it.layers), f"{it.hidden_size:,}", it.attention.kind, *sparse, dense)


def sizes_row(named: Model) -> str:
    it, active = named.architecture, active_parameters(named.architecture)
    return row(
        f"`{named.name}`",
        f"{parameters(it).total:,}",
        f"{active.total:,}",
        f"{active.without_embedding:,}",
        f"{named.card_total} / {named.card_active}" if it.experts else named.card_total,
        f"{weight_bytes(it) / 1e9:.1f}",
        f"{weight_bytes(it, 'fp8') / 1e9:.1f}",
        f"{weight_bytes(it, 'int4') / 1e9:.1f}",
        f"{kv_cache_bytes_per_token(it):,}",
    )


def cell(figure: PaperComparison) -> str:
    paper, real = f"{figure.paper:,.{figure.decimals or 0}f}", f"{figure.real:,.{0 if figure.decimals is None else 2}f}"
    if figure.agrees:
        return paper
    if figure.agrees is None:
        return f"{paper} (language model: {real})"
    return f"**{paper}**, really {real} ({figure.difference_ratio:+.0%})".replace("-", "−")


def paper_row(of: Table1Row) -> str:
    return row(of.title, *(cell(figure) for figure in compare_with_paper(of)))


def implied_routed(of: Table1Row) -> int:
    """Parameters of the routed experts alone if the paper's dimensions were true: layers · experts · 3 · hidden · FFN."""
    return of.layers * of.experts * MATRICES_OF_A_FFN * of.hidden_size * of.ffn_size


def implied_row(of: Table1Row) -> str:
    real = parameters(model(of.name).architecture).routed_experts
    return row(of.title, of.total, f"{implied_routed(of) / BILLION:,.1f}", f"{real / BILLION:.1f}")


def breakdown_row(kind: str) -> str:
    cells = []
    for name in FIGURE_1:
        for counted in (parameters(model(name).architecture), active_parameters(model(name).architecture)):
            count = counted.by_kind()[kind]
            cells.append(f"{count / BILLION:.3f} ({count / counted.total:.1%})" if count else "–")
    return row(kind.replace("_", " "), *cells)


def test_the_dimensions_are_the_configurations() -> None:
    assert table("Dimensions") == [dimensions_row(model(name)) for name in model_names()]


def test_the_sizes_are_the_codes() -> None:
    assert table("Sizes") == [sizes_row(model(name)) for name in model_names()]


def test_table_1_is_compared_as_the_code_does() -> None:
    assert table("Table 1 of the paper") == [paper_row(of) for of in TABLE_1]


def test_what_table_1_implies_is_the_codes() -> None:
    assert table("Table 1 against itself") == [implied_row(of) for of in TABLE_1]


def test_figure_1_is_the_codes() -> None:
    assert table("Figure 1 in numbers") == [breakdown_row(kind) for kind in KINDS]


@pytest.mark.parametrize(
    ("name", "told"), [("mixtral-8x7b", "7.9 of its 8"), ("olmoe-1b-7b", "56 of 64"), ("qwen3-30b-a3b", "82 of 128")]
)
def test_the_experts_read_by_16_sequences_are_the_codes(name: str, told: str) -> None:
    experts = model(name).architecture.experts
    assert experts is not None
    read = expected_distinct_experts(experts.experts, experts.top_k, 16)
    assert float(told.split()[0]) == pytest.approx(read, abs=0.5 if read > 10 else 0.05)
    assert told in DOCUMENT


def test_each_note_of_a_configuration_is_told() -> None:
    for name in model_names():
        for note in model(name).notes:
            assert f"- `{name}`: {note}" in DOCUMENT


def test_sound_rows_of_table_1_are_found_sound() -> None:
    sound = {of.name for of in TABLE_1 if all(figure.agrees for figure in compare_with_paper(of))}
    assert sound == {"mixtral-8x7b", "phi-3.5-moe", "deepseek-v2-lite"}


@pytest.mark.parametrize(("name", "billions"), [("qwen3-30b-a3b", 1305), ("olmoe-1b-7b", 51.5)])
def test_dimensions_that_cannot_be_true(name: str, billions: float) -> None:
    (of,) = (of for of in TABLE_1 if of.name == name)
    assert implied_routed(of) / BILLION == pytest.approx(billions, rel=1e-3)


def test_moe_layers_dominate_as_figure_1_says() -> None:
    for name in FIGURE_1:
        for counted in (parameters(model(name).architecture), active_parameters(model(name).architecture)):
            assert (counted.routed_experts + counted.shared_experts) / counted.total > 0.5
