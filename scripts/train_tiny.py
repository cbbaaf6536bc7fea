#!/usr/bin/env python3
"""Train the small models of trained_models/ from scratch on the tasks of loadgen/load/tasks.py.

    train_tiny.py OUT [--only NAME …] [--steps N] [--seconds S] [--device cuda|cpu] [--batch N] [--seed N]

Needs torch, tokenizers and transformers. All models are trained side by side: minutes on one GPU, hours on a CPU. Training ends
after N steps or S seconds, whichever is first, and the learning rate follows whichever is nearer, so that what is written at the
end of the time is a finished model.
"""

import argparse
import os
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for loadgen.load.tasks, which needs nothing else

from tiny_training.batches import SEQUENCE_TOKENS, Batches
from tiny_training.export import measured, rounded, write
from tiny_training.recipes import RECIPES
from tiny_training.scoring import TestSet, mean, reply_loss, scores
from tiny_training.trainer import Trainer

REPORT_EVERY_S = 15.0
STEPS_IN_FLIGHT = 20  # between looks at the clock on a GPU
QUICK_TESTS, FINAL_TESTS = 100, 500


def main() -> None:
    asked = arguments()
    device = torch.device(asked.device)
    torch.set_float32_matmul_precision("high")
    began = time.monotonic()
    batches = Batches(asked.examples, asked.batch, seed=asked.seed, processes=os.cpu_count() or 1, device=device)
    quick = TestSet.of(QUICK_TESTS, device)
    say(began, f"{asked.examples} examples a task")
    trainers = [Trainer(RECIPES[name], batches, seed=asked.seed, device=device) for name in asked.only or RECIPES]
    say(began, f"{len(trainers)} models, {asked.batch} × {SEQUENCE_TOKENS} tokens a step")
    losses = train(trainers, quick, steps=asked.steps, seconds=asked.seconds, began=began)
    training_s = time.monotonic() - began
    torch.set_float32_matmul_precision("highest")  # for the comparison with transformers
    tests = TestSet.of(FINAL_TESTS, device)
    for trainer in trainers:
        network = rounded(trainer.network)
        result = measured(
            trainer.recipe,
            network,
            tests,
            steps=trainer.steps,
            training_s=training_s,
            tokens_per_step=asked.batch * SEQUENCE_TOKENS,
            seed=asked.seed,
            losses=losses[trainer.recipe.name],
        )
        difference = write(asked.out / trainer.recipe.name, network, result, tests)
        say(began, f"{trainer.recipe.name} written, logits within {difference:.1e} of transformers'")
        print((asked.out / trainer.recipe.name / "README.md").read_text(), flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train the small models of trained_models/.")
    parser.add_argument("out", type=Path, help="folder for the models, one folder each")
    parser.add_argument("--only", nargs="+", choices=list(RECIPES), metavar="NAME", help=f"of {', '.join(RECIPES)}")
    parser.add_argument("--steps", type=int, default=20_000, help="for each model (default: 20000)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="end of training, from the start")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cuda or cpu")
    parser.add_argument("--batch", type=int, default=256, help="sequences a step (default: 256)")
    parser.add_argument("--examples", type=int, default=60_000, help="training examples a task (default: 60000)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and examples (default: 0)")
    return parser.parse_args()


def train(
    trainers: list[Trainer], quick: TestSet, *, steps: int, seconds: float, began: float
) -> dict[str, list[tuple[int, float]]]:
    """Train all models step by step; return (step, loss) by model at each report."""
    losses: dict[str, list[tuple[int, float]]] = {trainer.recipe.name: [] for trainer in trainers}
    on_gpu = torch.cuda.is_available() and next(trainers[0].network.parameters()).is_cuda
    streams = [torch.cuda.Stream() for _ in trainers] if on_gpu else []
    first = reported = time.monotonic()
    for step in range(steps):
        now = time.monotonic()
        if (elapsed_ratio := (now - first) / (began + seconds - first)) >= 1:
            break
        progress = max(step / steps, elapsed_ratio)
        for place, trainer in enumerate(trainers):
            stream: AbstractContextManager[object] = torch.cuda.stream(streams[place]) if on_gpu else nullcontext()
            with stream:
                trainer.step(progress)
        if on_gpu and step % STEPS_IN_FLIGHT == 0:
            torch.cuda.synchronize()
        if now - reported > REPORT_EVERY_S or step == steps - 1:
            reported = now
            report(trainers, quick, losses, began)
    if on_gpu:
        torch.cuda.synchronize()
    return losses


def report(trainers: list[Trainer], quick: TestSet, losses: dict[str, list[tuple[int, float]]], began: float) -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    for trainer in trainers:
        losses[trainer.recipe.name].append((trainer.steps, trainer.loss.item()))
        found = scores(trainer.network, quick)
        shown = " ".join(f"{task} {score:.2f}" for task, score in found.items())
        say(
            began,
            f"{trainer.recipe.name} step {trainer.steps} loss {trainer.loss.item():.3f} "
            f"replies {reply_loss(trainer.network, quick):.3f} mean {mean(found):.3f} ({shown})",
        )


def say(began: float, text: str) -> None:
    print(f"{time.monotonic() - began:6.1f} s  {text}", flush=True)


if __name__ == "__main__":
    main()
