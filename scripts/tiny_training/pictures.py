"""Questions about pictures as training data: the vocabulary, pictures as pixels, and which of them are held out of the training.

The tasks of loadgen/load/image_questions.py have fewer different pictures than a training draws examples (162 with one shape),
so pictures are held out by a checksum: none of those that a model is scored with has been trained on.
"""

import io
import re
import string
import zlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import torch
from PIL import Image
from torch import Tensor
from transformers import Blip2Processor, PreTrainedTokenizerFast
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

from loadgen.load.image_questions import COLOURS, IMAGE_TASKS, SHAPES, ImageQuestion, image_question
from tiny_training.vocabulary import ASSISTANT, BEGIN, END, SPECIAL_TOKENS, SYSTEM, USER, tokenizer_of

SIDE_PIXELS, PATCH_PIXELS = 24, 8  # a patch for each place of a shape
PATCHES = (SIDE_PIXELS // PATCH_PIXELS) ** 2

IMAGE = "<image>"
_WORDS = "What Which How Reply colour shape is the in image many are with one word of".split()
WORDS = (*_WORDS, *COLOURS, *(form for shape in SHAPES for form in (shape, shape + "s")))
TOKENS = (*SPECIAL_TOKENS, IMAGE, *WORDS, *("\n ,.?:;!-'\"()" + string.digits + string.ascii_lowercase))
TOKEN_IDS = {token: number for number, token in enumerate(TOKENS)}

CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}<|{{ message.role }}|>"
    "{% if message.content is string %}{{ message.content }}"
    "{% else %}{% for part in message.content %}{% if part.type == 'text' %}{{ part.text }}{% endif %}{% endfor %}{% endif %}"
    "{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)

_EXAMPLES_A_PROCESS = 500
_HELD_OUT_OF = 5  # one picture of so many


def is_held_out(png: bytes) -> bool:
    """Whether a picture is kept for scores: one of five is."""
    return zlib.crc32(png) % _HELD_OUT_OF == 0


def image_processor() -> BlipImageProcessorPil:
    """How transformers and vLLM make pixels of a picture."""
    return BlipImageProcessorPil(size={"height": SIDE_PIXELS, "width": SIDE_PIXELS})


def tokenizer() -> PreTrainedTokenizerFast:
    """One token for each word of the questions, and for each other character. The chat template leaves pictures to the processor."""
    words = "|".join(sorted(WORDS, key=len, reverse=True))
    special = (SYSTEM, USER, ASSISTANT, IMAGE)
    return tokenizer_of(TOKEN_IDS, pieces=rf"\b(?:{words})\b|[\s\S]", special=special, template=CHAT_TEMPLATE)


def processor() -> Blip2Processor:
    """What makes a model's input of a picture and a text."""
    return Blip2Processor(image_processor=image_processor(), tokenizer=tokenizer(), num_query_tokens=PATCHES)


def encoded(*parts: str) -> list[int]:
    """The ids of special tokens and of texts, which are taken apart as the tokenizer does."""
    found: list[int] = []
    for part in parts:
        pieces = [part] if part in SPECIAL_TOKENS else re.findall(r"[A-Za-z]+|[^A-Za-z]", part)
        found += [TOKEN_IDS[token] for piece in pieces for token in ([piece] if piece in TOKEN_IDS else piece)]
    return found


def encoded_question(question: ImageQuestion) -> tuple[list[int], list[int]]:
    """Prompt and reply as the chat template has them; the picture's places are before the prompt."""
    return encoded(BEGIN, USER, question.question, END, ASSISTANT), encoded(question.reply, END)


def drawn(per_task: int, *, held_out: bool, seed: int, processes: int) -> tuple[list[ImageQuestion], Tensor]:
    """Return the different questions among the first of each task, and their pixels, float32 of shape (questions, 3, side, side).

    Only pictures of the training, or only those held out.
    """
    shares = [
        (task, held_out, seed, begin, min(begin + _EXAMPLES_A_PROCESS, per_task))
        for task in IMAGE_TASKS
        for begin in range(0, per_task, _EXAMPLES_A_PROCESS)
    ]
    found: dict[tuple[bytes, str], ImageQuestion] = {}
    with ProcessPoolExecutor(processes) as pool:
        for share in pool.map(_share, shares):
            found |= {(each.png, each.question): each for each in share}
    return list(found.values()), pixels([each.png for each in found.values()])


def pixels(pngs: list[bytes]) -> Tensor:
    """Return pictures as a model takes them."""
    process = image_processor()
    made = [process(images=_opened(png), return_tensors="pt")["pixel_values"][0] for png in pngs]
    return torch.stack(made)


@torch.no_grad()
def logits(model: torch.nn.Module, tokens: Tensor, seen: Tensor) -> Tensor:
    """Return the logits of the text by transformers' model, for ids (batch, tokens) and pixels."""
    places = torch.full((len(tokens), PATCHES), TOKEN_IDS[IMAGE], device=tokens.device)
    found: Tensor = model(input_ids=torch.cat((places, tokens), 1), pixel_values=seen).logits[:, PATCHES:]
    return found


def _opened(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png)).convert("RGB")


def _share(share: tuple[str, bool, int, int, int]) -> list[ImageQuestion]:
    return list(_questions(*share))


def _questions(task: str, held_out: bool, seed: int, begin: int, end: int) -> Iterator[ImageQuestion]:
    for index in range(begin, end):
        question = image_question(task, seed=seed, index=index)
        if is_held_out(question.png) == held_out:
            yield question
