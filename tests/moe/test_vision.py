"""Images of DeepSeek-VL2: tiles, tokens, and the work of its encoder."""

import pytest

from loadgen.errors import ModelError
from loadgen.moe.architecture import VisionTower
from loadgen.moe.families import architecture
from loadgen.moe.hardware import hardware
from loadgen.moe.models import configuration, model
from loadgen.moe.parameters import parameters
from loadgen.moe.roofline import Roofline
from loadgen.moe.step import PrefillChunk, Step
from loadgen.moe.vision import grid_of, parameters_of, resized_pixels, tiles_of, tokens_of, works_of


def tower_of(name: str = "deepseek-vl2-tiny") -> VisionTower:
    tower = model(name).architecture.vision
    assert tower is not None
    return tower


@pytest.mark.parametrize(
    ("size", "grid", "tokens"),
    [
        # 14 tokens a side: the view of the whole has 14 lines of 15, one token separates it from the tiles.
        ((384, 384), (1, 1), 210 + 1 + 14 * 15),
        ((500, 300), (2, 1), 210 + 1 + 14 * 29),  # fits in two tiles whole, and in one only when it is made smaller
        ((768, 768), (2, 2), 210 + 1 + 28 * 29),
        ((1152, 768), (3, 2), 210 + 1 + 28 * 43),
        ((2000, 2000), (3, 3), 210 + 1 + 42 * 43),  # larger than all: made smaller
        ((200, 4000), (1, 9), 210 + 1 + 126 * 15),
    ],
)
def test_an_image_is_cut_into_the_grid_that_keeps_most_of_it(
    size: tuple[int, int], grid: tuple[int, int], tokens: int
) -> None:
    tower = tower_of()
    assert grid_of(tower, *size) == grid
    assert tokens_of(tower, grid) == tokens
    assert tiles_of(grid) == grid[0] * grid[1] + 1


def test_of_more_than_two_images_each_is_one_tile() -> None:
    assert grid_of(tower_of(), 2000, 2000, images=2) == (3, 3)
    assert grid_of(tower_of(), 2000, 2000, images=3) == (1, 1)


def test_views_of_another_size_are_resized() -> None:
    tower = tower_of()
    assert resized_pixels(tower, 384, 384, (1, 1)) == 0
    assert (
        resized_pixels(tower, 768, 768, (2, 2)) == 768 * 768
    )  # for the view of the whole; the tiles are its own pixels
    assert resized_pixels(tower, 192, 192, (1, 1)) == 2 * 384 * 384  # both views are made larger


@pytest.mark.parametrize(
    ("name", "billions"), [("deepseek-vl2-tiny", 3.37), ("deepseek-vl2-small", 16.1), ("deepseek-vl2", 27.5)]
)
def test_with_the_encoder_a_model_has_the_parameters_of_its_checkpoint(name: str, billions: float) -> None:
    of = model(name).architecture
    tower = tower_of(name)
    pooling = 4 * tower.width**2 + 2 * tower.width * tower.ffn_size  # in the checkpoint, and never passed
    total = parameters(of).total + parameters_of(tower) + pooling
    assert float(f"{total / 1e9:.3g}") == billions  # of the tensors at the hub


def test_a_tile_takes_two_flops_for_each_weight_and_patch() -> None:
    products, attention, elementwise = works_of(tower_of(), 1)
    patches = 28 * 28  # 384 pixels are padded to 28 patches of 14
    layers = 27 * (4 * 1152**2 + 2 * 1152 * 4304)
    assert products.flops == 2 * (patches * (layers + 3 * 14**2 * 1152) + 196 * (4608 * 1280 + 1280**2))
    assert attention.flops == 2 * 27 * 2 * 1152 * patches**2
    assert (elementwise.flops, elementwise.weight_bytes) == (0, 0)
    more = works_of(tower_of(), 10)
    assert more[0].flops == pytest.approx(10 * products.flops)
    assert more[0].weight_bytes == products.weight_bytes


def test_a_step_with_images_takes_their_encoding_longer() -> None:
    roofline = Roofline(model("deepseek-vl2-tiny").architecture, hardware("h200"))
    chunk = (PrefillChunk(1445),)
    text, images = roofline.step_time(Step(chunks=chunk)), roofline.step_time(Step(chunks=chunk, images=1, tiles=2))
    vision_s = sum(part.time_s for part in images.parts if part.kind.startswith("vision"))
    assert images.total_s == pytest.approx(text.total_s + vision_s)
    assert 1.5e-3 < vision_s < 3e-3  # 1.3 TFLOP, and as many bytes again as a language model's products would not move


def test_a_configuration_of_the_language_model_alone_has_no_encoder() -> None:
    whole = configuration("deepseek-vl2", {})
    cut = {key: value for key, value in whole.items() if key in ("model_type", "language_config")}
    assert architecture(cut).vision is None
    with pytest.raises(ModelError, match="mlp_ratio"):
        architecture(configuration("deepseek-vl2", {"vision_config": {"mlp_ratio": "wide"}}))
