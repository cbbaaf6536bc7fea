"""How well a network does on held-out examples, and how it routes them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from loadgen.load.tasks import TASKS, examples
from tiny_training.batches import plain
from tiny_training.image_network import ImageNetwork
from tiny_training.network import Network, Routing
from tiny_training.vocabulary import BEGIN, TOKEN_IDS

TEST_SEED = 1


@dataclass(frozen=True)
class TestSet:
    """Held-out prompts with their replies, padded: ids and where replies are, of shape (examples, longest), by task.

    `pictures` has what else a network takes: the pixels of tasks about pictures.
    """

    tokens: Mapping[str, Tensor]
    is_reply: Mapping[str, Tensor]
    pictures: Mapping[str, tuple[Tensor, ...]] = field(default_factory=dict)

    def pictures_of(self, task: str) -> tuple[Tensor, ...]:
        return self.pictures.get(task, ())

    @staticmethod
    def of(examples_per_task: int, device: torch.device) -> "TestSet":
        tokens, is_reply = {}, {}
        for task in TASKS:
            pairs = [plain(drawn) for drawn in examples(task, "test", seed=TEST_SEED, count=examples_per_task)]
            longest = max(len(prompt) + len(reply) for prompt, reply in pairs)
            rows = [
                [TOKEN_IDS[BEGIN], *prompt, *reply] + [0] * (longest - len(prompt) - len(reply))
                for prompt, reply in pairs
            ]
            places = [[0] * (1 + len(prompt)) + [1] * len(reply) for prompt, reply in pairs]
            marks = [place + [0] * (longest + 1 - len(place)) for place in places]
            tokens[task] = torch.tensor(rows, device=device)
            is_reply[task] = torch.tensor(marks, device=device, dtype=torch.bool)
        return TestSet(tokens, is_reply)


@dataclass(frozen=True)
class Balance:
    """How evenly one layer's experts are used: 1 and 1 if all alike."""

    layer: int
    max_over_mean: float
    entropy: float  # of the shares, divided by its maximum


@torch.no_grad()
def scores(network: nn.Module, tests: TestSet, routing: Routing | None = None) -> dict[str, float]:
    """Share of replies that greedy decoding gets right to the end of the reply, by task.

    One pass over prompt and reply is enough: decoding writes the reply if each of its tokens is the likeliest after those before.
    """
    found = {}
    for task, tokens in tests.tokens.items():
        used = Routing() if routing is None else Routing(top_k=routing.top_k, removed=routing.removed)
        likeliest = network(tokens[:, :-1], used, *tests.pictures_of(task)).argmax(-1)
        right = (likeliest == tokens[:, 1:]) | ~tests.is_reply[task][:, 1:]
        found[task] = right.all(1).float().mean().item()
    return found


@torch.no_grad()
def expert_counts(network: Network | ImageNetwork, tests: TestSet) -> dict[int, Tensor]:
    """How often each expert is chosen over all held-out tokens, int64 of shape (experts,), by layer."""
    counts: dict[int, Tensor] = {}
    layers = [number for number, layer in enumerate(network.model.layers) if hasattr(layer.mlp, "gate")]
    for task, tokens in tests.tokens.items():
        routing = Routing()
        network(tokens, routing, *tests.pictures_of(task))
        is_text = (tests.is_reply[task].flip(1).cumsum(1) > 0).flip(1)  # not the padding
        is_text = F.pad(is_text, (network.places_before, 0), value=True).flatten()
        for layer, chosen in zip(layers, routing.chosen, strict=True):
            counts[layer] = counts.get(layer, 0) + chosen[is_text].sum(0)
    return counts


def balance(counts: Mapping[int, Tensor]) -> list[Balance]:
    found = []
    for layer, used in counts.items():
        shares = used.double() / used.sum()
        entropy = -torch.xlogy(shares, shares).sum() / torch.tensor(float(len(shares))).log()
        found.append(Balance(layer, (shares.max() * len(shares)).item(), entropy.item()))
    return found


def half_removed(counts: Mapping[int, Tensor]) -> Routing:
    """Without the less used half of each layer's experts."""
    removed = {}
    for layer, used in counts.items():
        without = torch.zeros_like(used, dtype=torch.bool)
        without[used.argsort()[: len(used) // 2]] = True
        removed[layer] = without
    return Routing(removed=removed)


def mean(by_task: Mapping[str, float]) -> float:
    return fmean(by_task.values())


@torch.no_grad()
def reply_loss(network: Network | ImageNetwork, tests: TestSet) -> float:
    """Mean cross-entropy of the replies' tokens in nats, over all tasks."""
    losses = []
    for task, tokens in tests.tokens.items():
        logits = network(tokens[:, :-1], Routing(), *tests.pictures_of(task))
        losses.append(F.cross_entropy(logits[tests.is_reply[task][:, 1:]], tokens[:, 1:][tests.is_reply[task][:, 1:]]))
    return torch.stack(losses).mean().item()
