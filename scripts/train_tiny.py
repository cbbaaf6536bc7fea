#!/usr/bin/env python3
"""Train the small models of trained_models/ from scratch, on the tasks of loadgen/load/tasks.py and image_questions.py.

    train_tiny.py OUT [--only NAME …] [--steps N] [--seconds S] [--device cuda|cpu] [--batch N] [--seed N]

Needs torch, tokenizers and transformers. Each model is trained by a process of its own, all at once: minutes on one GPU, hours
on a CPU. Training ends after N steps or S seconds, whichever is first, and the learning rate follows whichever is nearer, so
that what is written at the end of the time is a finished model.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for loadgen.load.tasks, which needs nothing else

from tiny_training.batches import Batches, TrainingExamples
from tiny_training.export import Training, load, measured, rounded, trainings_of, write
from tiny_training.picture_batches import PictureBatches, PictureExamples, picture_tests
from tiny_training.recipes import RECIPES, Recipe
from tiny_training.scoring import TestSet, mean, reply_loss, scores
from tiny_training.trainer import Trainer

WRITING_LIMIT_S = 300.0  # after the training, until a process is killed
QUICK_TESTS, FINAL_TESTS = 100, 500
PROCESSES = os.cpu_count() or 1


def main() -> None:
    asked = arguments()
    began = time.monotonic()
    asked.out.mkdir(parents=True, exist_ok=True)
    if asked.drawn is not None:
        train_one(asked, asked.only[0], asked.drawn, began)
        return
    with tempfile.TemporaryDirectory() as folder:
        for kind, number in kinds_of(asked).items():
            kind.drawn(number, seed=asked.seed, processes=PROCESSES).write(Path(folder) / kind.__name__)
            say(began, f"{number} examples a task drawn")
        train_all(asked, Path(folder), began)


def kinds_of(asked: argparse.Namespace) -> dict[type[TrainingExamples] | type[PictureExamples], int]:
    """What is drawn for the models that are trained, and how many examples a task."""
    sees = {RECIPES[name].sees for name in asked.only or RECIPES}
    kinds = {False: (TrainingExamples, asked.examples), True: (PictureExamples, asked.pictures)}
    return dict(kinds[each] for each in sees)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train the small models of trained_models/.")
    parser.add_argument("out", type=Path, help="folder for the models, one folder and one log each")
    parser.add_argument("--only", nargs="+", choices=list(RECIPES), metavar="NAME", help=f"of {', '.join(RECIPES)}")
    parser.add_argument("--steps", type=int, default=20_000, help="for each model (default: 20000)")
    parser.add_argument("--seconds", type=float, help="end of training, from the start")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cuda or cpu")
    parser.add_argument("--batch", type=int, default=128, help="sequences a step (default: 128)")
    parser.add_argument("--examples", type=int, default=60_000, help="training examples a task (default: 60000)")
    parser.add_argument("--pictures", type=int, default=12_000, help="pictures a task (default: 12000)")
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate (default: 0.002)")
    parser.add_argument("--last-rate", type=float, default=2e-5, help="learning rate at the end (default: 0.00002)")
    parser.add_argument("--start", type=Path, help="folder of models to go on from (default: new ones)")
    parser.add_argument("--balancing", type=float, help="weight of the balancing loss (default: as the model has it)")
    parser.add_argument("--router-scale", type=float, default=1.0, help="by which routers of --start are multiplied")
    parser.add_argument("--router-z", type=float, default=0.0, help="weight of the routers' z-loss (default: 0)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and examples (default: 0)")
    parser.add_argument("--report-every", type=float, default=15.0, metavar="S", help="seconds (default: 15)")
    parser.add_argument("--drawn", type=Path, help=argparse.SUPPRESS)  # of a process that trains one model
    return parser.parse_args()


def train_all(asked: argparse.Namespace, drawn: Path, began: float) -> None:
    """Train each model in a process of its own, and print the end of each log. Exits 1 if one failed or took too long."""
    names = asked.only or list(RECIPES)
    left_s = None if asked.seconds is None else asked.seconds - (time.monotonic() - began)
    running = {name: started(asked, name, drawn, left_s) for name in names}
    for name, process in running.items():
        limit_s = None if left_s is None else max(1.0, asked.seconds + WRITING_LIMIT_S - (time.monotonic() - began))
        try:
            process.wait(limit_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        say(began, f"{name} ended with status {process.returncode}")
        lines = (asked.out / f"{name}.log").read_text().splitlines()
        print("\n".join(lines if len(lines) < 50 else [*lines[:3], "…", *lines[-46:]]), flush=True)
    if any(process.returncode for process in running.values()):
        raise SystemExit(1)


def started(asked: argparse.Namespace, name: str, drawn: Path, seconds: float | None) -> "subprocess.Popen[bytes]":
    command = [sys.executable, __file__, str(asked.out), "--only", name, "--drawn", str(drawn)]
    for option in ("steps", "device", "batch", "seed", "rate", "last_rate", "router_scale", "router_z", "report_every"):
        command += [f"--{option.replace('_', '-')}", str(getattr(asked, option))]
    if seconds is not None:
        command += ["--seconds", str(seconds)]
    if asked.balancing is not None:
        command += ["--balancing", str(asked.balancing)]
    if asked.start is not None:
        command += ["--start", str(asked.start)]
    with (asked.out / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env={"OMP_NUM_THREADS": "2", **os.environ}
        )


def train_one(asked: argparse.Namespace, name: str, drawn: Path, began: float) -> None:
    """Train one model, and write it with its card."""
    device = torch.device(asked.device)
    recipe = RECIPES[name]
    made = (PictureBatches, PictureExamples) if recipe.sees else (Batches, TrainingExamples)
    batches = made[0](made[1].read(drawn / made[1].__name__), asked.batch, seed=asked.seed, device=device)
    tests = tests_of(recipe, FINAL_TESTS, device)
    quick = tests if recipe.sees else tests_of(recipe, QUICK_TESTS, device)
    if asked.balancing is not None:
        recipe = replace(recipe, balancing=asked.balancing)
    trainer = Trainer(
        recipe,
        batches,
        seed=asked.seed,
        device=device,
        rate=asked.rate,
        last_rate=asked.last_rate,
        router_z=asked.router_z,
    )
    before = []
    if asked.start is not None:
        load(trainer.network, asked.start / name, router_scale=asked.router_scale)
        before = trainings_of(asked.start / name)
    losses = train(trainer, quick, asked, began=began)
    training = Training(
        steps=trainer.steps,
        seconds=time.monotonic() - began,
        tokens_per_step=batches.tokens_per_step,
        device=f"an {torch.cuda.get_device_name()}" if device.type == "cuda" else "a CPU",
        seed=asked.seed,
        rates=(asked.rate, asked.last_rate),
        balancing=recipe.balancing,
        router_z=asked.router_z,
        router_scale=asked.router_scale,
        losses=losses,
    )
    network = rounded(trainer.network)
    result = measured(recipe, network, tests, [*before, training])
    difference = write(asked.out / name, network, result, tests)
    say(began, f"{name} written, logits within {difference:.1e} of transformers', {trainer.skipped} steps skipped")
    print((asked.out / name / "README.md").read_text(), flush=True)


def tests_of(recipe: Recipe, examples_per_task: int, device: torch.device) -> TestSet:
    """Return the held-out examples; of pictures, which are few, those among six times as many."""
    if recipe.sees:
        return picture_tests(6 * examples_per_task, device, processes=PROCESSES)
    return TestSet.of(examples_per_task, device)


def train(trainer: Trainer, quick: TestSet, asked: argparse.Namespace, *, began: float) -> list[tuple[int, float]]:
    """Train to the end of the steps or of the time; return (step, loss) at each report."""
    losses = []
    steps, seconds = asked.steps, asked.seconds
    first = reported = time.monotonic()
    for step in range(steps):
        now = time.monotonic()
        elapsed_ratio = 0.0 if seconds is None else (now - first) / (began + seconds - first)
        if elapsed_ratio >= 1:
            break
        trainer.step(max(step / steps, elapsed_ratio))
        if step < 2 or now - reported > asked.report_every or step == steps - 1:
            reported = now
            losses.append((trainer.steps, trainer.loss))
            say(began, f"step {trainer.steps} loss {trainer.loss:.3f} {report(trainer, quick)}")
    return losses


def report(trainer: Trainer, quick: TestSet) -> str:
    found = scores(trainer.network, quick)
    shown = " ".join(f"{task} {score:.2f}" for task, score in found.items())
    return f"replies {reply_loss(trainer.network, quick):.3f} mean {mean(found):.3f} ({shown})"


def say(began: float, text: str) -> None:
    print(f"{time.monotonic() - began:6.1f} s  {text}", flush=True)


if __name__ == "__main__":
    main()
