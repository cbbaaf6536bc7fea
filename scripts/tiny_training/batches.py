"""Training sequences: examples of all tasks end to end, made once and kept on the device."""

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
_SEQUENCES_AT_ONCE = 20_000

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

    def sequences(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Random examples end to end: ids and whether each is of a reply, of shape (count, SEQUENCE_TOKENS + 1)."""
        tokens = SEQUENCE_TOKENS + 1
        chosen = torch.randint(len(self.lengths), (count, -(-tokens // self.shortest) + 1), generator=generator)
        ends = self.lengths[chosen].cumsum(1)
        places = torch.arange(tokens).expand(count, -1).contiguous()
        which = torch.searchsorted(ends, places, right=True)
        offsets = places - torch.where(which > 0, ends.gather(1, (which - 1).clamp(min=0)), 0)
        rows = chosen.gather(1, which)
        return self.tokens[rows, offsets], self.is_reply[rows, offsets]


@dataclass
class Bank:
    """Sequences of SEQUENCE_TOKENS + 1 tokens: ids as uint8 and where replies are."""

    ids: Tensor
    is_reply: Tensor

    @staticmethod
    def made(examples_per_task: int, sequences: int, *, seed: int, processes: int) -> "Bank":
        """Make it of `examples_per_task` training examples of each task."""
        drawn = list(_training_examples(examples_per_task, seed, processes))
        generator = torch.Generator().manual_seed(seed)
        pools = Pool.of(map(plain, drawn)), Pool.of(map(chat, drawn))
        counts = round((1 - CHAT_RATIO) * sequences), round(CHAT_RATIO * sequences)
        pieces = [
            _begun(*pool.sequences(min(_SEQUENCES_AT_ONCE, count - begin), generator), generator)
            for pool, count in zip(pools, counts, strict=True)
            for begin in range(0, count, _SEQUENCES_AT_ONCE)
        ]
        return Bank(torch.cat([ids for ids, _ in pieces]), torch.cat([is_reply for _, is_reply in pieces]))

    @staticmethod
    def read(path: Path) -> "Bank":
        return Bank(*torch.load(path))

    def write(self, path: Path) -> None:
        torch.save((self.ids, self.is_reply), path)


class Batches:
    """Draws batches of sequences from a bank on the device."""

    def __init__(self, bank: Bank, batch: int, *, seed: int, device: torch.device) -> None:
        self._ids, self._is_reply = bank.ids.to(device), bank.is_reply.to(device)
        self._batch, self._device = batch, device
        self._generator = torch.Generator().manual_seed(seed)

    def draw(self) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs, targets and weights of shape (batch, SEQUENCE_TOKENS)."""
        rows = torch.randint(len(self._ids), (self._batch,), generator=self._generator).to(self._device)
        ids, is_reply = self._ids[rows].long(), self._is_reply[rows]
        return ids[:, :-1], ids[:, 1:], torch.where(is_reply[:, 1:], 1.0, PROMPT_WEIGHT)


def _begun(ids: Tensor, is_reply: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Put <s> before most of the sequences, which lose their last token."""
    begins = torch.rand(len(ids), 1, generator=generator) < BEGIN_RATIO
    begin = torch.full_like(ids[:, :1], TOKEN_IDS[BEGIN])
    return (
        torch.where(begins, torch.cat((begin, ids[:, :-1]), 1), ids),
        torch.where(begins, torch.cat((torch.zeros_like(is_reply[:, :1]), is_reply[:, :-1]), 1), is_reply),
    )


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
