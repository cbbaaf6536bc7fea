"""Training batches: examples of all tasks, drawn once, put together into sequences on the device."""

import random
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from loadgen.load.tasks import TASKS, Example, example
from tiny_training.vocabulary import ASSISTANT, BEGIN, END, TOKEN_IDS, USER, encoded

SEQUENCE_TOKENS = 128
CHAT_RATIO = 0.25
BEGIN_RATIO = 0.75  # sequences that begin with <s>, as a server's completions do; lm-eval sends none
PROMPT_WEIGHT = 0.05  # of a prompt's tokens in the loss: models also write prompts of their own
_EXAMPLES_A_PROCESS = 5000

Tokens = list[int]


def plain(drawn: Example) -> tuple[Tokens, Tokens]:
    """Prompt and reply as a text completion; a line ends a reply."""
    return encoded(drawn.prompt), encoded(drawn.reply, "\n")


def chat(drawn: Example) -> tuple[Tokens, Tokens]:
    """Prompt and reply as the chat template has them."""
    return encoded(USER, drawn.prompt, END, ASSISTANT), encoded(drawn.reply, END)


@dataclass
class Pool:
    """Encoded examples: ids, uint8 of shape (examples, longest); where replies are, of the same shape; lengths."""

    tokens: Tensor
    is_reply: Tensor
    lengths: Tensor
    shortest: int

    @staticmethod
    def of(pairs: Iterable[tuple[Tokens, Tokens]]) -> "Pool":
        rows = list(pairs)
        lengths = [len(prompt) + len(reply) for prompt, reply in rows]
        shape = len(rows), max(lengths)
        tokens = b"".join(bytes(prompt + reply).ljust(shape[1], b"\0") for prompt, reply in rows)
        is_reply = b"".join((bytes(len(prompt)) + b"\1" * len(reply)).ljust(shape[1], b"\0") for prompt, reply in rows)
        return Pool(
            torch.frombuffer(bytearray(tokens), dtype=torch.uint8).view(shape),
            torch.frombuffer(bytearray(is_reply), dtype=torch.bool).view(shape),
            torch.tensor(lengths),
            min(lengths),
        )

    def to(self, device: torch.device) -> "Pool":
        return Pool(self.tokens.to(device), self.is_reply.to(device), self.lengths.to(device), self.shortest)

    def sequences(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Random examples end to end: ids and whether each is of a reply, of shape (count, SEQUENCE_TOKENS + 1)."""
        device, tokens = self.lengths.device, SEQUENCE_TOKENS + 1
        enough = -(-tokens // self.shortest) + 1
        chosen = torch.randint(len(self.lengths), (count, enough), generator=generator, device=device)
        ends = self.lengths[chosen].cumsum(1)
        places = torch.arange(tokens, device=device).expand(count, -1).contiguous()
        which = torch.searchsorted(ends, places, right=True)
        offsets = places - torch.where(which > 0, ends.gather(1, (which - 1).clamp(min=0)), 0)
        rows = chosen.gather(1, which)
        return self.tokens[rows, offsets].long(), self.is_reply[rows, offsets]


@dataclass
class TrainingExamples:
    """The same examples as completions and as chats."""

    plain: Pool
    chat: Pool

    @staticmethod
    def drawn(per_task: int, *, seed: int, processes: int) -> "TrainingExamples":
        """Draw `per_task` training examples of each task."""
        found = list(_training_examples(per_task, seed, processes))
        return TrainingExamples(Pool.of(map(plain, found)), Pool.of(map(chat, found)))

    @staticmethod
    def read(path: Path) -> "TrainingExamples":
        return TrainingExamples(*(Pool(*parts) for parts in torch.load(path)))

    def write(self, path: Path) -> None:
        pools = (self.plain, self.chat)
        torch.save([(each.tokens, each.is_reply, each.lengths, each.shortest) for each in pools], path)


class Batches:
    """Draws batches of `batch` sequences, which it puts together of the examples on the device."""

    def __init__(self, examples: TrainingExamples, batch: int, *, seed: int, device: torch.device) -> None:
        self._plain, self._chat = examples.plain.to(device), examples.chat.to(device)
        self._batch, self._device = batch, device
        self._generator = torch.Generator(device).manual_seed(seed)
        self.tokens_per_step = batch * SEQUENCE_TOKENS

    def draw(self) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs, targets and weights of shape (batch, SEQUENCE_TOKENS)."""
        chats = round(CHAT_RATIO * self._batch)
        plain_ids, plain_replies = self._plain.sequences(self._batch - chats, self._generator)
        chat_ids, chat_replies = self._chat.sequences(chats, self._generator)
        ids, is_reply = torch.cat((plain_ids, chat_ids)), torch.cat((plain_replies, chat_replies))
        begins = torch.rand(self._batch, 1, generator=self._generator, device=self._device) < BEGIN_RATIO
        begin, no_reply = torch.full_like(ids[:, :1], TOKEN_IDS[BEGIN]), torch.zeros_like(is_reply[:, :1])
        ids = torch.where(begins, torch.cat((begin, ids[:, :-1]), 1), ids)
        is_reply = torch.where(begins, torch.cat((no_reply, is_reply[:, :-1]), 1), is_reply)
        return ids[:, :-1], ids[:, 1:], torch.where(is_reply[:, 1:], 1.0, PROMPT_WEIGHT)


def _training_examples(per_task: int, seed: int, processes: int) -> Iterator[Example]:
    shares = [
        (task, seed, begin, min(begin + _EXAMPLES_A_PROCESS, per_task))
        for task in TASKS
        for begin in range(0, per_task, _EXAMPLES_A_PROCESS)
    ]
    random.Random(seed).shuffle(shares)
    with ProcessPoolExecutor(processes) as pool:
        for share in pool.map(_share, shares):
            yield from share


def _share(share: tuple[str, int, int, int]) -> list[Example]:
    task, seed, begin, end = share
    return [example(task, "train", seed=seed, index=index) for index in range(begin, end)]
