"""Training batches and test sets of questions about pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from loadgen.load.image_questions import IMAGE_TASKS, ImageQuestion
from tiny_training.pictures import PATCHES, drawn, encoded_question
from tiny_training.scoring import TEST_SEED, TestSet


@dataclass
class PictureExamples:
    """Questions of all tasks: ids and where replies are, (questions, longest); pixels; the number of each one's task."""

    tokens: Tensor
    is_reply: Tensor
    pixels: Tensor
    tasks: Tensor

    @staticmethod
    def drawn(per_task: int, *, seed: int, processes: int, held_out: bool = False) -> "PictureExamples":
        """Draw the different questions among the first of each task, of the pictures of the training or of those held out."""
        questions, pixels = drawn(per_task, held_out=held_out, seed=seed, processes=processes)
        names = list(IMAGE_TASKS)
        return PictureExamples(
            *_padded(questions), pixels, torch.tensor([names.index(each.task) for each in questions])
        )

    @staticmethod
    def read(path: Path) -> "PictureExamples":
        return PictureExamples(*torch.load(path))

    def write(self, path: Path) -> None:
        torch.save((self.tokens, self.is_reply, self.pixels, self.tasks), path)

    def to(self, device: torch.device) -> "PictureExamples":
        return PictureExamples(*(each.to(device) for each in (self.tokens, self.is_reply, self.pixels, self.tasks)))


class PictureBatches:
    """Draws batches of about `batch` questions, as many of each task; only replies count in the loss."""

    def __init__(self, examples: PictureExamples, batch: int, *, seed: int, device: torch.device) -> None:
        self._examples = examples.to(device)
        self._by_task = [(self._examples.tasks == task).nonzero().flatten() for task in range(len(IMAGE_TASKS))]
        self._of_task = max(1, batch // len(IMAGE_TASKS))
        self._generator = torch.Generator(device).manual_seed(seed)
        positions = self._examples.tokens.shape[1] - 1 + PATCHES
        self.tokens_per_step = self._of_task * len(IMAGE_TASKS) * positions

    def draw(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Inputs, targets and weights of shape (questions, longest), and pixels."""
        rows = torch.cat([of_task[self._places(len(of_task))] for of_task in self._by_task])
        tokens, is_reply = self._examples.tokens[rows], self._examples.is_reply[rows]
        return tokens[:, :-1], tokens[:, 1:], is_reply[:, 1:].float(), self._examples.pixels[rows]

    def _places(self, count: int) -> Tensor:
        device = self._examples.tasks.device
        return torch.randint(count, (self._of_task,), generator=self._generator, device=device)


def picture_tests(per_task: int, device: torch.device, *, processes: int) -> TestSet:
    """Return the questions about held-out pictures among the first of each task."""
    found = PictureExamples.drawn(per_task, held_out=True, seed=TEST_SEED, processes=processes).to(device)
    rows = {task: found.tasks == number for number, task in enumerate(IMAGE_TASKS)}
    return TestSet(
        {task: found.tokens[chosen] for task, chosen in rows.items()},
        {task: found.is_reply[chosen] for task, chosen in rows.items()},
        {task: (found.pixels[chosen],) for task, chosen in rows.items()},
    )


def _padded(questions: Sequence[ImageQuestion]) -> tuple[Tensor, Tensor]:
    pairs = [encoded_question(each) for each in questions]
    longest = max(len(prompt) + len(reply) for prompt, reply in pairs)
    tokens = torch.zeros(len(pairs), longest, dtype=torch.long)
    is_reply = torch.zeros(len(pairs), longest, dtype=torch.bool)
    for row, (prompt, reply) in enumerate(pairs):
        end = len(prompt) + len(reply)
        tokens[row, :end] = torch.tensor(prompt + reply)
        is_reply[row, len(prompt) : end] = True
    return tokens, is_reply
