"""A model with other values in its configuration, as the study's grids of made-up models have them."""

import pytest

from loadgen.errors import ModelError
from loadgen.moe.families import architecture
from loadgen.moe.models import configuration, model, model_names
from loadgen.moe.parameters import parameters


def test_a_grid_point_of_mixtrals_skeleton() -> None:
    grid = architecture(
        configuration("mixtral-8x7b", {"intermediate_size": 1792, "num_local_experts": 64, "num_experts_per_tok": 8})
    )
    assert grid.experts is not None
    assert (grid.experts.ffn_size, grid.experts.experts, grid.experts.top_k) == (1792, 64, 8)
    assert parameters(grid).routed_experts == 32 * 64 * 3 * 4096 * 1792
    assert model("mixtral-8x7b").architecture.experts != grid.experts


def test_the_language_models_part_is_changed_key_by_key() -> None:
    changed = architecture(
        configuration("deepseek-vl2-tiny", {"language_config": {"num_hidden_layers": 6}, "architectures": ["X"]})
    )
    assert (changed.layers, changed.hidden_size) == (6, 1280)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ModelError, match="more than there are"):
        architecture(configuration("mixtral-8x7b", {"num_experts_per_tok": 9}))
    with pytest.raises(ModelError, match="no model 'mixtral-8x7'; did you mean 'mixtral-8x7b'"):
        architecture(configuration("mixtral-8x7", {}))


def test_no_two_models_have_an_id_in_common() -> None:
    ids = [hub_id for name in model_names() for hub_id in (model(name).id, *model(name).variants)]
    assert len(ids) == len(set(ids))
    assert "meta-llama/Llama-4-Scout-17B-16E-Instruct" in ids
