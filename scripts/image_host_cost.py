"""Measure what a prompt's image takes the CPU of a vLLM server that runs DeepSeek-VL2: `.venv-vllm/bin/python scripts/image_host_cost.py`.

Does what vLLM 0.32 does with a picture between its arrival and the engine, with the same libraries: read the JSON of the
request, decode base64 and PNG (multimodal/media/image.py), hash the file for the cache of processed pictures
(multimodal/hasher.py), make the global view and the tiles (transformers_utils/processors/deepseek_vl2.py), and copy the tensor
to the engine's process. Prints milliseconds of CPU time, the least of some rounds, and fits them to seconds for each pixel of
the picture and each tile; the constants in loadgen/servers/prediction/images.py are from here.
"""

import argparse
import io
import json
import pickle
import time
from collections.abc import Callable, Sequence

import numpy as np
import pybase64
import torch
from blake3 import blake3
from PIL import Image, ImageOps

from loadgen.load.prompts import data_url
from loadgen.moe.models import model
from loadgen.moe.vision import grid_of, resized_pixels, tiles_of

TILE = 384
SIZES = (
    (384, 384),
    (300, 200),
    (768, 384),
    (600, 700),
    (768, 768),
    (1100, 700),
    (1152, 1152),
    (2000, 2000),
    (4000, 500),
)
MADE = ("tiles", "send")  # steps whose time depends on the tiles; that of the others on the pixels
GREY = (127, 127, 127)


def view(picture: Image.Image) -> torch.Tensor:
    """A tile as numbers from -1 to 1, of shape (3, 384, 384)."""
    pixels = torch.from_numpy(np.array(picture, copy=True)).permute(2, 0, 1).contiguous()
    return pixels.to(torch.float32).div(255).sub_(0.5).div_(0.5)


def views_of(picture: Image.Image, columns: int, rows: int) -> torch.Tensor:
    whole = ImageOps.pad(picture, (columns * TILE, rows * TILE), color=GREY)
    boxes = [(x * TILE, y * TILE, (x + 1) * TILE, (y + 1) * TILE) for y in range(rows) for x in range(columns)]
    views = [view(ImageOps.pad(picture, (TILE, TILE), color=GREY)), *(view(whole.crop(box)) for box in boxes)]
    return torch.stack(views).to(torch.bfloat16)


def least_s(run: Callable[[], object], rounds: int) -> float:
    def once() -> float:
        begun = time.process_time()
        run()
        return time.process_time() - begun

    once()
    return min(once() for _ in range(rounds))


def steps_of(width: int, height: int, grid: tuple[int, int]) -> dict[str, Callable[[], object]]:
    """What the server does with one picture, by name."""
    url = data_url(width, height, np.random.default_rng(0))
    body = json.dumps({"messages": [{"content": [{"image_url": {"url": url}}]}]}).encode()
    encoded = url.partition(",")[2]
    file = pybase64.b64decode(encoded, validate=True)
    picture = Image.open(io.BytesIO(file)).convert("RGB")
    views = views_of(picture, *grid)
    return {
        "json": lambda: json.loads(body),
        "base64": lambda: pybase64.b64decode(encoded, validate=True),
        "png": lambda: Image.open(io.BytesIO(file)).convert("RGB"),
        "hash": lambda: blake3(file).digest(),
        "tiles": lambda: views_of(picture, *grid),
        "send": lambda: pickle.dumps(views.view(torch.uint8).numpy(), protocol=5),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the CPU time of an image in a server's processes.")
    parser.add_argument("--rounds", type=int, default=20, help="measurements of each step, of which the least counts")
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    tower = model("deepseek-vl2").architecture.vision
    assert tower is not None
    pixels, views, read_s, made_s = [], [], [], []
    for width, height in SIZES:
        grid = grid_of(tower, width, height)
        took_s = {name: least_s(run, rounds) for name, run in steps_of(width, height, grid).items()}
        pixels.append((width * height,))
        views.append((tiles_of(grid), resized_pixels(tower, width, height, grid)))
        made_s.append(sum(took_s[name] for name in MADE))
        read_s.append(sum(took_s.values()) - made_s[-1])
        print(f"{width} x {height}:", ", ".join(f"{name} {1e3 * each:.2f}" for name, each in took_s.items()), "ms")
    (pixel_s,), (tile_s, resized_pixel_s) = fitted(pixels, read_s), fitted(views, made_s)
    print(
        f"a pixel {pixel_s * 1e9:.1f} ns, a tile {tile_s * 1e3:.2f} ms, a pixel to resize {resized_pixel_s * 1e9:.1f} ns"
    )
    predicted = np.array(pixels) @ [pixel_s] + np.array(views) @ [tile_s, resized_pixel_s]
    off = predicted / (np.array(read_s) + np.array(made_s)) - 1
    print("off by", ", ".join(f"{each:+.0%}" for each in off))


def fitted(rows: Sequence[Sequence[float]], times_s: Sequence[float]) -> list[float]:
    """The factors of the columns that make the least relative errors."""
    weights = 1 / np.array(times_s)
    found, *_ = np.linalg.lstsq(np.array(rows) * weights[:, None], np.ones(len(rows)), rcond=None)
    return [float(each) for each in found]


if __name__ == "__main__":
    main()
