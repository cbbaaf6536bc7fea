"""Speculative decoding on a real vLLM: the larger of the trained drafts has more of its tokens accepted, by dataset."""

import json
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

import pytest

from loadgen.load.tasks import examples
from tests.real.command import Loadgen
from tests.real.vllm_server import serving

pytestmark = pytest.mark.vllm

EXAMPLES = 48  # of each task
DATASETS = ("copy", "find")


@dataclass(frozen=True, slots=True)
class Drafted:
    """What became of the drafted tokens of one run."""

    drafted: int
    accepted: int

    @property
    def ratio(self) -> float:
        return self.accepted / self.drafted

    @property
    def error(self) -> float:
        """One standard deviation of the ratio, were each token accepted or not by itself."""
        return sqrt(self.ratio * (1 - self.ratio) / self.drafted)


def dataset(task: str, folder: Path) -> Path:
    """The held-out examples of a task, each asked for a reply of the right one's length and the newline after it."""
    path = folder / f"{task}.jsonl"
    drawn = examples(task, "test", seed=0, count=EXAMPLES)
    entries = ({"prompt": each.prompt, "output_tokens": len(each.reply) + 1} for each in drawn)
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


def drafted(loadgen: Loadgen, profile: str, folder: Path) -> dict[str, Drafted]:
    """By dataset, from the server's counters as loadgen reads them."""
    found = {}
    with serving(profile, folder / profile) as server:
        for task in DATASETS:
            load = ("--dataset", str(dataset(task, folder)), "--output-tokens", "8", "--concurrency", "4")
            target = ("--url", server.url, "--model", server.model, "--db", f"sqlite:///{folder}/it.db")
            done = loadgen("run", *target, *load, "--requests", str(EXAMPLES), "--json")
            assert done.returncode in (0, 3), done.stderr  # 3: this machine was too busy for a valid run
            speculation = json.loads(done.stdout)["server_account"]["speculation"]
            assert speculation["acceptance_ratio"] == pytest.approx(
                speculation["accepted_tokens"] / speculation["draft_tokens"]
            )
            found[task] = Drafted(speculation["draft_tokens"], speculation["accepted_tokens"])
    return found


def test_the_larger_draft_has_more_of_its_tokens_accepted(loadgen: Loadgen, tmp_path: Path) -> None:
    small, large = (drafted(loadgen, f"trained-mixtral-draft-{size}", tmp_path) for size in ("small", "large"))
    for task in DATASETS:
        assert large[task].ratio - small[task].ratio > 3 * sqrt(large[task].error ** 2 + small[task].error ** 2), (
            small,
            large,
        )
