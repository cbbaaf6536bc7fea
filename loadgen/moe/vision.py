"""What an image is to a model that reads them: tiles for its encoder, tokens for its language model, bytes and FLOPs for both.

DeepSeek-VL2 (§2.1): an image is cut into a grid of tiles, and shown whole as one more. The encoder makes patches of each, the
projector joins neighbouring patches to tokens. Each row of tokens ends with one for the line, and one separates the two views.
"""

import math

from loadgen.moe.architecture import VisionTower
from loadgen.moe.memory import KEPT_BYTES
from loadgen.moe.step_work import ACTIVATION_BYTES, FLOPS_OF_A_MULTIPLY_ADD, Work

_MAX_IMAGES_CUT = 2  # in a prompt; of more, each is shown whole, and again as its only tile


def grid_of(tower: VisionTower, width: int, height: int, *, images: int = 1) -> tuple[int, int]:
    """Return the (columns, rows) of tiles that an image of so many pixels is cut into, in a prompt with `images`.

    Of the grids that keep most of its pixels, the one with the fewest pixels to fill (vLLM's `select_best_resolution`).
    """
    if images > _MAX_IMAGES_CUT:
        return 1, 1

    def kept(grid: tuple[int, int]) -> int:
        columns, rows = (count * tower.tile_size for count in grid)
        scale = min(columns / width, rows / height)
        return min(int(width * scale) * int(height * scale), width * height)

    return max(tower.grids, key=lambda grid: (kept(grid), -grid[0] * grid[1]))


def tokens_of(tower: VisionTower, grid: tuple[int, int]) -> int:
    """Return the tokens of an image in the prompt."""
    columns, rows = grid
    side = math.ceil(tower.tile_size // tower.patch_size / tower.downsampling)
    return side * (side + 1) + 1 + rows * side * (columns * side + 1)


def tiles_of(grid: tuple[int, int]) -> int:
    """Return what passes the encoder: the tiles, and the image whole."""
    return grid[0] * grid[1] + 1


def resized_pixels(tower: VisionTower, width: int, height: int, grid: tuple[int, int]) -> int:
    """Return the pixels to resize: of each view that has another size than the image, those before or after, whichever are more."""
    side = tower.tile_size
    views = ((side, side), (grid[0] * side, grid[1] * side))
    scales = [min(wide / width, high / height) for wide, high in views]
    return sum(round(width * height * max(1.0, scale * scale)) for scale in scales if scale != 1)


def parameters_of(tower: VisionTower) -> int:
    """Return the elements of the encoder and the projector, without the pooling head, which no token passes."""
    width, ffn = tower.width, tower.ffn_size
    patches = (tower.tile_size // tower.patch_size) ** 2
    embedding = (3 * tower.patch_size**2 + 1 + patches) * width
    layer = 4 * width * width + 2 * width * ffn + (4 + 1 + 4) * width + ffn  # biases, and two norms
    joined, projected = tower.downsampling**2 * width, tower.projected_size
    projector = joined * projected + projected * projected + 2 * projected
    return embedding + tower.layers * layer + 2 * width + projector + 2 * projected  # the last norm; line and separator


def works_of(tower: VisionTower, tiles: float, *, tensor: int = 1) -> tuple[Work, ...]:
    """Return what encoding some tiles moves and computes on one GPU.

    vLLM runs the encoder kernel by kernel, so that norms, activation, residuals and the attention's transpose read and write
    what they work on, and pads a tile to whole patches. Tensor parallelism splits the feed-forward parts alone.
    """
    width, ffn = tower.width, tower.ffn_size / tensor
    side = math.ceil(tower.tile_size / tower.patch_size)
    patches, rows = side * side, tiles * side * side
    joined, projected = tower.downsampling**2 * width, tower.projected_size
    tokens = rows / tower.downsampling**2
    layer = 4 * width * width + 2 * width * ffn
    projector = joined * projected + projected * projected
    patch = 3 * tower.patch_size**2 * width
    products = tower.layers * layer * rows + projector * tokens + patch * rows
    moved = tower.layers * (8 * width + 2 * ffn) * rows + (joined + 3 * projected) * tokens
    elementwise = tower.layers * (12 * width + 2 * ffn) * rows
    return (
        Work(
            "vision_products",
            FLOPS_OF_A_MULTIPLY_ADD * products,
            weight_bytes=KEPT_BYTES * (tower.layers * layer + projector + patch),
            activation_bytes=ACTIVATION_BYTES * moved,
        ),
        Work(
            "vision_attention",
            FLOPS_OF_A_MULTIPLY_ADD * tower.layers * 2 * width * rows * patches,
            activation_bytes=ACTIVATION_BYTES * tower.layers * 4 * width * rows,
        ),
        Work("vision_elementwise", activation_bytes=ACTIVATION_BYTES * elementwise),
    )
