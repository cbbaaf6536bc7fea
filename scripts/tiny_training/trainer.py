"""Training of one network; on a GPU a whole step is one CUDA graph."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from tiny_training.batches import Batches
from tiny_training.network import Network, Routing
from tiny_training.recipes import Recipe

WARM_UP = 0.03  # of the training
LAST_RATE = 0.01  # of the peak
_EAGER_STEPS = 3  # before a graph is captured


class Trainer:
    """AdamW with a warm-up and a cosine; `loss` is of the last step."""

    def __init__(self, recipe: Recipe, batches: Batches, *, seed: int, device: torch.device) -> None:
        self.recipe, self._batches, self._device = recipe, batches, device
        generator = torch.Generator().manual_seed(seed)
        network = Network(recipe.config(), router_spread=recipe.router_spread, generator=generator)
        self.network = network.to(device)
        on_gpu = device.type == "cuda"
        self._rate = torch.tensor(0.0, device=device)
        matrices = [weight for weight in self.network.parameters() if weight.dim() > 1]
        vectors = [weight for weight in self.network.parameters() if weight.dim() == 1]
        self._optimizer = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}],
            lr=self._rate,
            betas=(0.9, 0.98),
            capturable=on_gpu,
            fused=on_gpu,
        )
        self._inputs, self._targets, self._weights = batches.draw()
        self.loss = torch.zeros((), device=device)
        self.steps = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        if on_gpu:
            try:
                self._capture()
            except RuntimeError as error:
                print(f"{recipe.name}: no CUDA graph, {error}", flush=True)
                self._graph = None

    def step(self, progress: float) -> None:
        """Train on one batch; `progress` from 0 to 1 sets the learning rate."""
        self._rate.fill_(self.recipe.peak_rate * _share_of_peak(progress))
        for held, drawn in zip((self._inputs, self._targets, self._weights), self._batches.draw(), strict=True):
            held.copy_(drawn)
        if self._graph is None:
            self._learn()
        else:
            self._graph.replay()
        self.steps += 1

    def _learn(self) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        routing = Routing()
        with torch.autocast(
            self._device.type, dtype=torch.bfloat16, enabled=self._device.type == "cuda", cache_enabled=False
        ):
            logits = self.network(self._inputs, routing)
        loss = _weighted(logits, self._targets, self._weights)
        self.loss.copy_(loss.detach())
        if self.recipe.balancing:
            loss = loss + self.recipe.balancing * routing.balancing_loss()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self._optimizer.step()

    def _capture(self) -> None:
        """Record one step, at a learning rate of 0."""
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_EAGER_STEPS):
                self._learn()
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._learn()


def _share_of_peak(progress: float) -> float:
    if progress < WARM_UP:
        return progress / WARM_UP
    done = min(1.0, (progress - WARM_UP) / (1 - WARM_UP))
    return LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * done))


def _weighted(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    losses = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
    return (losses * weights.flatten()).sum() / weights.sum()
