"""How many experts and columns stay, and which."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from loadgen.checkpoints.checkpoint import read_checkpoint
from loadgen.checkpoints.moe_layers import MoeCheckpoint, read_moe
from loadgen.checkpoints.norms import floats
from loadgen.checkpoints.prune import prune
from loadgen.checkpoints.selection import Pruning, Rule, select
from loadgen.checkpoints.shard import Tensor
from loadgen.errors import UsageError
from loadgen.moe.expert_counts import ExpertCounts
from tests.checkpoints.small_checkpoints import EXPERTS, FFN, HIDDEN, LAYERS, SMALL, TOP_K, tensors_of, write


@pytest.fixture
def mixtral(tmp_path: Path) -> MoeCheckpoint:
    return read_moe(read_checkpoint(write(tmp_path / "small-mixtral")))


@pytest.mark.parametrize(
    ("ratio", "stay"), [(0.125, 7), (0.2, 6), (0.25, 6), (0.5, 4), (0.56, 4), (0.5625, 3), (0.75, 2)]
)
def test_half_an_expert_to_remove_removes_one(mixtral: MoeCheckpoint, ratio: float, stay: int) -> None:
    selection = select(mixtral, Pruning("inter", ratio, "norm"))
    assert selection.experts == stay
    assert [len(kept) for kept in selection.kept_experts.values()] == [stay, stay]


@pytest.mark.parametrize(
    ("dtype", "ratio", "stay"),
    [(np.float32, 0.125, 28), (np.uint16, 0.25, 24), (np.uint16, 0.3, 24), (np.uint16, 0.5, 16), (np.uint8, 0.3, 16)],
)
def test_columns_stay_in_multiples_of_16_bytes(dtype: type, ratio: float, stay: int, tmp_path: Path) -> None:
    source = write(tmp_path / "source", tensors=tensors_of(SMALL["mixtral"], dtype))
    assert select(read_moe(read_checkpoint(source)), Pruning("intra", ratio, "random")).ffn_size == stay


REFUSED: list[tuple[Pruning, str]] = [
    (Pruning("inter", 0.9, "norm"), f"inter-pruning of 0.9 leaves 1 of {EXPERTS} experts, and each token passes {TOP_K}; remove fewer"),
    (Pruning("inter", 0.01, "norm"), f"inter-pruning of 0.01 removes no expert of {EXPERTS}; remove at least 0.125"),
    (Pruning("intra", 0.01, "norm"), f"intra-pruning of 0.01 would leave {FFN} of {FFN} columns, since they stay in multiples of 8"),
    (Pruning("intra", 0.99, "norm"), f"intra-pruning of 0.99 would leave 0 of {FFN} columns"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("pruning", "sentence"), REFUSED, ids=lambda value: "" if isinstance(value, str) else f"{value.kind} {value.ratio}"
)
def test_a_ratio_that_leaves_too_little_or_all(mixtral: MoeCheckpoint, pruning: Pruning, sentence: str) -> None:
    with pytest.raises(UsageError) as refused:
        select(mixtral, pruning)
    assert str(refused.value).startswith(sentence)


@pytest.mark.parametrize("ratio", [0.0, 1.0, -0.5, 12.5, float("nan")])
def test_a_ratio_that_is_no_share(ratio: float) -> None:
    with pytest.raises(UsageError, match="--inter is a share between 0 and 1"):
        Pruning("inter", ratio, "norm")


def counts_of(*layers: list[int], model: str = "small-mixtral", top_k: int = TOP_K) -> ExpertCounts:
    return ExpertCounts(
        model=model, source="transformers", experts_per_token=top_k, layers=tuple(range(len(layers))),
        counts=np.array(layers, dtype=np.int64), tokens=100,
    )  # fmt: skip


BUSY = [5, 40, 40, 2, 0, 60, 3, 50]


def test_the_experts_that_most_tokens_went_to_stay(mixtral: MoeCheckpoint) -> None:
    selection = select(mixtral, Pruning("inter", 0.5, "frequency", counts=counts_of(BUSY, BUSY[::-1])))
    assert [list(kept) for kept in selection.kept_experts.values()] == [[1, 2, 5, 7], [0, 2, 5, 6]]


def test_columns_are_chosen_by_norm_where_experts_were_counted(mixtral: MoeCheckpoint) -> None:
    by_norm = select(mixtral, Pruning("intra", 0.5, "norm")).kept_columns
    counted = select(mixtral, Pruning("intra", 0.5, "frequency", counts=counts_of(BUSY, BUSY))).kept_columns
    assert {key: list(kept) for key, kept in by_norm.items()} == {key: list(kept) for key, kept in counted.items()}


OF_OTHERS: list[tuple[ExpertCounts, str]] = [
    (counts_of(BUSY, BUSY, model="tiny-olmoe"), "the counts are of the model tiny-olmoe, and the checkpoint is small-mixtral"),
    (counts_of(BUSY), "the counts are of 8 experts in 1 layers, 2 for each token, and small-mixtral has 8 in 2, 2 for each token"),
    (counts_of(BUSY[:6], BUSY[:6]), "the counts are of 6 experts in 2 layers"),
    (counts_of(BUSY, BUSY, top_k=4), "the counts are of 8 experts in 2 layers, 4 for each token"),
]  # fmt: skip


@pytest.mark.parametrize(("counts", "sentence"), OF_OTHERS, ids=["model", "layers", "experts", "top-k"])
@pytest.mark.parametrize("kind", ["inter", "intra"])
def test_counts_of_another_model(mixtral: MoeCheckpoint, kind: str, counts: ExpertCounts, sentence: str) -> None:
    with pytest.raises(UsageError) as refused:
        select(mixtral, Pruning("inter" if kind == "inter" else "intra", 0.5, "frequency", counts=counts))
    assert str(refused.value).startswith(sentence)


def test_counts_that_say_nothing_are_refused() -> None:
    with pytest.raises(UsageError, match="--counts is for --rule frequency, not for --rule norm"):
        Pruning("inter", 0.5, "norm", counts=counts_of(BUSY, BUSY))
    with pytest.raises(UsageError, match="of 0 tokens"):
        Pruning("inter", 0.5, "frequency", counts=replace(counts_of(BUSY, BUSY), tokens=0))


def test_a_frequency_needs_counts() -> None:
    with pytest.raises(UsageError, match=r"--rule frequency needs --counts FILE, what `loadgen moe experts` wrote"):
        Pruning("inter", 0.5, "frequency")


@pytest.mark.parametrize("rule", ["norm", "random"])
def test_groups_keep_equally_many(rule: Rule, tmp_path: Path) -> None:
    """A token's experts come from the best groups, which are found by position."""
    moe = read_moe(read_checkpoint(write(tmp_path / "deepseek", SMALL["deepseek_v3"])))
    for kept in select(moe, Pruning("inter", 0.5, rule)).kept_experts.values():
        assert sum(kept < EXPERTS // 2) == sum(kept >= EXPERTS // 2) == EXPERTS // 4
    with pytest.raises(UsageError, match="leaves 2 of 8 experts, of which a token reaches 1 in 1 of 2 groups"):
        select(moe, Pruning("inter", 0.75, rule))


def test_values_of_eight_bits() -> None:
    """From table 1 of Micikevicius et al. 2022: the largest, the smallest normal and subnormal, and none that is no number."""

    def value(dtype: str, code: int) -> float:
        return float(floats(Tensor("a", dtype, (1,), Path(), 0), np.array([code], dtype=np.uint8))[0])

    assert [value("F8_E4M3", code) for code in (0x7E, 0xFE, 0x08, 0x01, 0x38, 0x7F)] == [448, -448, 2**-6, 2**-9, 1, 0]
    assert [value("F8_E5M2", code) for code in (0x7B, 0xFB, 0x04, 0x01, 0x3C, 0x7C)] == [
        57344,
        -57344,
        2**-14,
        2**-16,
        1,
        0,
    ]


@pytest.mark.parametrize("shape", [(), (1,), (FFN, 1), (2, 1)], ids=["matrix", "matrix as a list", "rows", "blocks"])
def test_quantised_weights_count_with_their_scale(shape: tuple[int, ...], tmp_path: Path) -> None:
    """Experts whose elements are alike differ by their scales alone."""
    codes = np.full((FFN, HIDDEN), 0x38, np.uint8)  # 1.0
    tensors = tensors_of(SMALL["olmoe"], np.uint8)
    order = np.random.default_rng(1).permutation(EXPERTS)
    for layer in range(LAYERS):
        for expert in range(EXPERTS):
            prefix = f"model.layers.{layer}.mlp.experts.{expert}"
            for name in ("gate_proj", "up_proj", "down_proj"):
                tensors[f"{prefix}.{name}.weight"] = codes if name != "down_proj" else codes.T.copy()
                rows = (
                    shape
                    if name != "down_proj" or shape in ((), (1,))
                    else ((HIDDEN, 1) if shape[0] == FFN else (1, 2))
                )
                tensors[f"{prefix}.{name}.weight_scale_inv"] = np.full(rows, 1.0 + order[expert], np.float32)
    block = {"quant_method": "fp8", "weight_block_size": [FFN // 2, FFN // 2]}
    source = write(tmp_path / "fp8", SMALL["olmoe"], tensors=tensors, quantization_config=block)
    selection = select(read_moe(read_checkpoint(source)), Pruning("inter", 0.5, "norm"))
    assert list(selection.kept_experts[0]) == sorted(np.argsort(order)[EXPERTS // 2 :])


def test_blocks_are_not_cut_into_columns(tmp_path: Path) -> None:
    tensors = tensors_of(SMALL["olmoe"], np.uint8)
    tensors["model.layers.0.mlp.experts.0.gate_proj.weight_scale_inv"] = np.ones((2, 1), np.float32)
    source = write(tmp_path / "fp8", SMALL["olmoe"], tensors=tensors)
    with pytest.raises(UsageError, match=r"gate_proj.weight_scale_inv of shape \[2, 1\], which is quantised in blocks"):
        prune(source, tmp_path / "pruned", Pruning("intra", 0.5, "random"))


@pytest.mark.parametrize(
    ("counted", "folder", "fits"),
    [
        ("mixtral-8x7b", "Mixtral-8x7B-v0.1", True),  # our name of what the hub has under the other
        ("mistralai/Mixtral-8x7B-v0.1", "models--mistralai--Mixtral-8x7B-v0.1/snapshots/0123abcd", True),
        (".tiny-models/Tiny-Mixtral", "tiny-mixtral", True),
        ("trained-mixtral", "trained-mixtral-unbalanced", False),
        ("mixtral-8x7b", "models--mistralai--Mixtral-8x22B-v0.1/snapshots/0123abcd", False),
    ],
)
def test_counts_belong_to_the_model_of_their_name(counted: str, folder: str, fits: bool, tmp_path: Path) -> None:
    moe = read_moe(read_checkpoint(write(tmp_path / folder)))
    pruning = Pruning("inter", 0.5, "frequency", counts=counts_of(BUSY, BUSY, model=counted))
    if fits:
        assert select(moe, pruning).experts == 4
        return
    with pytest.raises(UsageError, match=f"the counts are of the model {counted}"):
        select(moe, pruning)


@pytest.mark.parametrize("groups", [(3, 1), (-2, -2), (2, 4), ("2", 1)])
def test_groups_that_cannot_be(groups: tuple[object, int], tmp_path: Path) -> None:
    source = write(tmp_path / "deepseek", SMALL["deepseek_v3"], n_group=groups[0], topk_group=groups[1])
    with pytest.raises(
        UsageError, match=f"config.json has 8 experts in {groups[0]!r} groups, of which a token reaches"
    ):
        read_moe(read_checkpoint(source))
