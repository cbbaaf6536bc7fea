"""Questions about small images that are drawn here: a colour, a shape, or how many there are. For models that read images.

An example follows from the name of its task, a seed and its index alone.
"""

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from types import MappingProxyType

SIDE_PIXELS = 224
_CELLS = 3  # places for shapes, across and down
_CELL_PIXELS = SIDE_PIXELS // _CELLS
_RADIUS_PIXELS = _CELL_PIXELS // 2 - 8
_WHITE = (255, 255, 255)
_SIGNATURE = b"\x89PNG\r\n\x1a\n"

Colour = tuple[int, int, int]

COLOURS: Mapping[str, Colour] = MappingProxyType(
    {
        "red": (220, 20, 20),
        "green": (20, 150, 40),
        "blue": (20, 60, 220),
        "yellow": (240, 210, 0),
        "black": (0, 0, 0),
        "purple": (130, 30, 160),
    }
)
SHAPES = ("circle", "square", "triangle")
_MAX_COUNT = 6


@dataclass(frozen=True, slots=True)
class ImageQuestion:
    """A PNG file, a question about it that names the possible replies, and the right one."""

    task: str
    png: bytes
    question: str
    reply: str
    choices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A shape at a place of the image, which count from 0 along the rows."""

    shape: str
    colour: str
    place: int


IMAGE_TASKS: Mapping[str, str] = MappingProxyType(
    {
        "image_colour": "name the colour of the only shape",
        "image_shape": "name the only shape",
        "image_count": f"count 1 to {_MAX_COUNT} shapes",
    }
)
"""What each task asks, by name."""


def image_question(task: str, *, seed: int, index: int) -> ImageQuestion:
    """Return question `index` of a task; equal arguments give equal questions. Raises KeyError for another task."""
    if task not in IMAGE_TASKS:
        raise KeyError(task)
    rng = Random(f"{task}/{seed}/{index}")
    count = rng.randint(1, _MAX_COUNT) if task == "image_count" else 1
    shape, colour = rng.choice(SHAPES), rng.choice(tuple(COLOURS))
    places = rng.sample(range(_CELLS * _CELLS), k=count)
    image = _png([_Drawn(shape, colour, place) for place in places])
    match task:
        case "image_colour":
            question, reply, choices = f"What colour is the {shape}?", colour, tuple(COLOURS)
        case "image_shape":
            question, reply, choices = "Which shape is in the image?", shape, SHAPES
        case _:
            question, reply = f"How many {shape}s are in the image?", str(count)
            choices = tuple(str(number) for number in range(1, _MAX_COUNT + 1))
    asked = f"{question} Reply with one word of: {', '.join(choices)}."
    return ImageQuestion(task, image, asked, reply, choices)


def _png(shapes: list[_Drawn]) -> bytes:
    """A white RGB image with these shapes on it, after the PNG specification (ISO/IEC 15948)."""
    by_row: dict[int, list[_Drawn]] = {}
    for drawn in shapes:
        by_row.setdefault(drawn.place // _CELLS, []).append(drawn)
    rows = bytearray()
    for y in range(SIDE_PIXELS):
        row = bytearray(bytes(_WHITE) * SIDE_PIXELS)
        for drawn in by_row.get(y // _CELL_PIXELS, ()):
            _draw_on(row, drawn, y)
        rows += b"\0" + row  # each row begins with its filter: 0, none
    header = struct.pack(">IIBBBBB", SIDE_PIXELS, SIDE_PIXELS, 8, 2, 0, 0, 0)
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(bytes(rows))) + _chunk(b"IEND", b"")


def _draw_on(row: bytearray, drawn: _Drawn, y: int) -> None:
    """Colour what row `y` of the image has of a shape."""
    middle = (drawn.place % _CELLS) * _CELL_PIXELS + _CELL_PIXELS // 2
    below = y - (drawn.place // _CELLS) * _CELL_PIXELS - _CELL_PIXELS // 2  # of the shape's middle, in pixels
    half = _half_width(drawn.shape, below)
    if half is not None:
        left, right = middle - half, middle + half + 1
        row[3 * left : 3 * right] = bytes(COLOURS[drawn.colour]) * (right - left)


def _half_width(shape: str, below: int) -> int | None:
    """Half the width of a shape so many pixels below its middle; None outside of it."""
    if abs(below) > _RADIUS_PIXELS:
        return None
    match shape:
        case "square":
            return _RADIUS_PIXELS
        case "triangle":
            return (below + _RADIUS_PIXELS) // 2
        case _:
            return int((_RADIUS_PIXELS**2 - below**2) ** 0.5)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
