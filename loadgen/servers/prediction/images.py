"""What the images of a request take: tokens of the prompt, tiles of the encoder, and the CPU of the server's front end.

vLLM 0.32 reads images and makes their tiles in the HTTP process: one thread does it for all requests, one after the other
(renderers/base.py, `_mm_executor`). It keeps tiles by a hash of the file, so that an image is made once while it is in that cache
(`mm-processor-cache-gb`). loadgen's images are noise, each unlike all others, so none is ever found there.
"""

from dataclasses import dataclass

from loadgen.load.workload import Images
from loadgen.moe.architecture import VisionTower
from loadgen.moe.vision import grid_of, resized_pixels, tiles_of, tokens_of
from loadgen.servers.prediction.engine_steps import FrontEnd


@dataclass(frozen=True, slots=True)
class ImageLoad:
    """The images of one request, all together."""

    images: int = 0
    tiles: int = 0
    tokens: int = 0
    front_end_s: float = 0.0


NO_IMAGES = ImageLoad()


def image_load(images: Images | None, tower: VisionTower | None, front_end: FrontEnd) -> ImageLoad:
    """Return what the images of a request take. ValueError if the model's encoder is not known."""
    if images is None:
        return NO_IMAGES
    if tower is None:
        raise ValueError("a load with images is not predicted: the sizes of the model's encoder are not known")
    count, width, height = images.per_request, images.width, images.height
    grid = grid_of(tower, width, height, images=count)
    tiles = tiles_of(grid)
    resized_s = resized_pixels(tower, width, height, grid) * front_end.resized_pixel_s
    made_s = front_end.image_s + width * height * front_end.pixel_s + tiles * front_end.tile_s + resized_s
    return ImageLoad(count, count * tiles, count * tokens_of(tower, grid), count * made_s)
