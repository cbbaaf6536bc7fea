"""Score checkpoints with transformers, as their cards do.

    python -m tiny_training.evaluation FOLDER … [--examples N]

Run it in scripts/, or with scripts/ on PYTHONPATH. Prints one JSON object: the share of right replies by task, by folder.
"""

import argparse
import json
import sys
from functools import cache
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # for loadgen.load.tasks, which needs nothing else

from tiny_training import pictures
from tiny_training.network import Routing
from tiny_training.picture_batches import picture_tests
from tiny_training.scoring import TestSet, scores
from tiny_training.vocabulary import TOKEN_IDS


class Checkpoint(torch.nn.Module):
    """A model of transformers, called like a network that is being trained."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.sees = hasattr(AutoConfig.from_pretrained(folder), "vision_config")
        kind = AutoModelForImageTextToText if self.sees else AutoModelForCausalLM
        self._model = kind.from_pretrained(folder, dtype=torch.float32).eval()

    def forward(self, tokens: torch.Tensor, routing: Routing, *seen: torch.Tensor) -> torch.Tensor:
        return pictures.logits(self._model, tokens, *seen) if seen else self._model(tokens).logits


def main() -> None:
    parser = argparse.ArgumentParser(description="Score checkpoints with transformers.")
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--examples", type=int, default=100, help="of each task (default: 100)")
    asked = parser.parse_args()
    found = {}
    for folder in asked.folders:
        model = Checkpoint(folder)
        if AutoTokenizer.from_pretrained(folder).get_vocab() != (pictures.TOKEN_IDS if model.sees else TOKEN_IDS):
            raise SystemExit(f"{folder} has another vocabulary than the one that models are trained with")
        found[folder.name] = scores(model, _tests(asked.examples, sees=model.sees))
    print(json.dumps(found))


@cache
def _tests(examples: int, *, sees: bool) -> TestSet:
    device = torch.device("cpu")
    return picture_tests(6 * examples, device, processes=1) if sees else TestSet.of(examples, device)


if __name__ == "__main__":
    main()
