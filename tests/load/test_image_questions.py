"""Questions about drawn images: the same again for the same seed, valid PNG files, and replies that the image bears out."""

import struct
import zlib

import pytest

from loadgen.load.image_questions import COLOURS, IMAGE_TASKS, SIDE_PIXELS, image_question


def pixels_of(png: bytes) -> list[bytes]:
    """The rows of an RGB file without filters, after checking its checksums."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    at, data = 8, b""
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        content = png[at + 8 : at + 8 + length]
        assert struct.unpack(">I", png[at + 8 + length : at + 12 + length]) == (zlib.crc32(kind + content),)
        data += content if kind == b"IDAT" else b""
        at += 12 + length
    raw, width = zlib.decompress(data), 1 + 3 * SIDE_PIXELS
    rows = [raw[start : start + width] for start in range(0, len(raw), width)]
    assert len(rows) == SIDE_PIXELS
    assert {row[0] for row in rows} == {0}
    return [row[1:] for row in rows]


def coloured(rows: list[bytes]) -> set[tuple[int, ...]]:
    found = {tuple(row[at : at + 3]) for row in rows for at in range(0, len(row), 3)}
    return found - {(255, 255, 255)}


def pieces(rows: list[bytes]) -> int:
    """How many separate areas are not white."""
    inside = {
        (x, y) for y, row in enumerate(rows) for x in range(SIDE_PIXELS) if row[3 * x : 3 * x + 3] != b"\xff\xff\xff"
    }
    count = 0
    while inside:
        count, edge = count + 1, [inside.pop()]
        while edge:
            x, y = edge.pop()
            near = {(x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1)} & inside
            inside -= near
            edge += near
    return count


@pytest.mark.parametrize("task", IMAGE_TASKS)
def test_a_question_is_the_same_again_and_names_its_choices(task: str) -> None:
    questions = [image_question(task, seed=1, index=index) for index in range(12)]
    assert questions == [image_question(task, seed=1, index=index) for index in range(12)]
    assert len({question.png for question in questions}) > 6
    for question in questions:
        assert question.reply in question.choices
        assert all(choice in question.question for choice in question.choices)


def test_the_colour_is_the_one_that_is_drawn() -> None:
    for index in range(8):
        question = image_question("image_colour", seed=0, index=index)
        assert coloured(pixels_of(question.png)) == {COLOURS[question.reply]}


def test_the_count_is_the_number_of_separate_shapes() -> None:
    for index in range(8):
        question = image_question("image_count", seed=0, index=index)
        assert pieces(pixels_of(question.png)) == int(question.reply)


def test_the_shape_has_the_width_of_its_kind() -> None:
    for index in range(8):
        question = image_question("image_shape", seed=0, index=index)
        widths = [
            sum(row[at : at + 3] != b"\xff\xff\xff" for at in range(0, len(row), 3)) for row in pixels_of(question.png)
        ]
        drawn = [width for width in widths if width]
        first, middle, last = drawn[0], drawn[len(drawn) // 2], drawn[-1]
        kind = "square" if first == middle else "circle" if first == last else "triangle"
        assert kind == question.reply


def test_another_task_is_unknown() -> None:
    with pytest.raises(KeyError):
        image_question("image_taste", seed=0, index=0)
