"""Score checkpoints with transformers, as their cards do.

    python -m tiny_training.evaluation FOLDER … [--examples N]

Run it in scripts/, or with scripts/ on PYTHONPATH. Prints one JSON object: the share of right replies by task, by folder.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # for loadgen.load.tasks, which needs nothing else

from tiny_training.network import Routing
from tiny_training.scoring import TestSet, scores
from tiny_training.vocabulary import TOKEN_IDS


class Checkpoint(torch.nn.Module):
    """A model of transformers, called like a network that is being trained."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def forward(self, tokens: torch.Tensor, routing: Routing) -> torch.Tensor:
        return self._model(tokens).logits


def main() -> None:
    parser = argparse.ArgumentParser(description="Score checkpoints with transformers.")
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--examples", type=int, default=100, help="of each task (default: 100)")
    asked = parser.parse_args()
    tests = TestSet.of(asked.examples, torch.device("cpu"))
    found = {}
    for folder in asked.folders:
        if AutoTokenizer.from_pretrained(folder).get_vocab() != TOKEN_IDS:
            raise SystemExit(f"{folder} has another vocabulary than the one that models are trained with")
        found[folder.name] = scores(Checkpoint(folder), tests)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
