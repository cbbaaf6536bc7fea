"""Training of one network."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from tiny_training.batches import Batches
from tiny_training.image_network import ImageNetwork
from tiny_training.network import Network, Routing
from tiny_training.picture_batches import PictureBatches
from tiny_training.recipes import Recipe

WARM_UP = 0.03  # of the training
MAX_GRADIENT_NORM = 1.0


class Trainer:
    """AdamW with a warm-up and a cosine; `loss` is of the last step, `skipped` counts steps without finite gradients.

    `router_z` is the weight of a loss that keeps the routers' logits small, so that each expert that a token passes matters.
    """

    def __init__(
        self,
        recipe: Recipe,
        batches: Batches | PictureBatches,
        *,
        seed: int,
        device: torch.device,
        rate: float,
        last_rate: float,
        router_z: float,
    ) -> None:
        self.recipe, self._batches, self._device = recipe, batches, device
        generator = torch.Generator().manual_seed(seed)
        kind = ImageNetwork if recipe.sees else Network
        self.network = kind(recipe.config(), router_spread=recipe.router_spread, generator=generator).to(device)
        matrices = [weight for weight in self.network.parameters() if weight.dim() > 1]
        vectors = [weight for weight in self.network.parameters() if weight.dim() == 1]
        groups = [{"params": matrices, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}]
        self._optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98))
        self._peak_rate, self._last_rate, self._router_z = rate, last_rate, router_z
        self.loss = math.nan
        self.steps = self.skipped = 0

    def step(self, progress: float) -> None:
        """Train on one batch; `progress` from 0 to 1 sets the learning rate."""
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate(progress)
        inputs, targets, weights, *pictures = self._batches.draw()
        self._optimizer.zero_grad(set_to_none=True)
        routing = Routing()
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._device.type == "cuda"):
            logits = self.network(inputs, routing, *pictures)
        loss = _weighted(logits, targets, weights)
        total = loss
        if self.recipe.balancing:
            total = loss + self.recipe.balancing * routing.balancing_loss()
        if self._router_z:
            total = total + self._router_z * routing.z_loss()
        total.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), MAX_GRADIENT_NORM)
        self.loss, norm_now = torch.stack((loss.detach(), norm)).tolist()
        self.steps += 1
        if math.isfinite(norm_now):
            self._optimizer.step()
        else:
            self.skipped += 1

    def _rate(self, progress: float) -> float:
        if progress < WARM_UP:
            return self._peak_rate * progress / WARM_UP
        done = min(1.0, (progress - WARM_UP) / (1 - WARM_UP))
        return self._last_rate + (self._peak_rate - self._last_rate) * 0.5 * (1 + math.cos(math.pi * done))


def _weighted(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    losses = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
    return (losses * weights.flatten()).sum() / weights.sum()
