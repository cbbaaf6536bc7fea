"""A trained network as a checkpoint that transformers and vLLM load, with a model card."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, GenerationConfig

from loadgen.load.image_questions import IMAGE_TASKS
from tiny_training import pictures
from tiny_training.image_network import ImageNetwork
from tiny_training.network import Network, Routing
from tiny_training.recipes import Recipe
from tiny_training.scoring import Balance, TestSet, balance, expert_counts, half_removed, mean, scores
from tiny_training.vocabulary import tokenizer

CHECKED_EXAMPLES = 16
MAX_DIFFERENCE = 1e-3


@dataclass(frozen=True)
class Training:
    """How a network was trained, from new weights or from those that the training before it left."""

    steps: int
    seconds: float
    tokens_per_step: int
    device: str
    seed: int
    rates: tuple[float, float]  # the highest and the last
    balancing: float
    router_z: float = 0.0
    router_scale: float = 1.0
    losses: list[tuple[int, float]] = field(default_factory=list)  # (step, loss)

    def __str__(self) -> str:
        parts = [f"{self.steps:,} steps of {self.tokens_per_step:,} tokens in {self.seconds:.0f} s on {self.device}"]
        parts += [f"learning rate {self.rates[0]:g} to {self.rates[1]:g}", f"seed {self.seed}"]
        if self.balancing:
            parts.append(f"balancing loss × {self.balancing}")
        if self.router_scale != 1:
            parts.append(f"routers begun at {self.router_scale} of their weights")
        if self.router_z:
            parts.append(f"router z-loss × {self.router_z}")
        curve = ", ".join(f"{step:,}: {loss:.3f}" for step, loss in self.losses)
        return f"{', '.join(parts)}. Loss by step: {curve}."


@dataclass(frozen=True)
class Result:
    """What a model card says; scores are shares of right replies by task."""

    name: str
    title: str
    parameters: int
    trainings: list[Training]
    test_examples_per_task: int  # at least
    scores: dict[str, float]
    scores_top_1: dict[str, float] | None
    scores_half_of_experts: dict[str, float] | None
    balance: list[Balance]


def trainings_of(folder: Path) -> list[Training]:
    """How the model in a folder was trained."""
    return [Training(**each) for each in json.loads((folder / "training.json").read_text())["trainings"]]


def load(network: Network | ImageNetwork, folder: Path, *, router_scale: float) -> None:
    """Take the weights of a checkpoint of the same configuration, those of routers multiplied by `router_scale`."""
    network.load_state_dict(kind_of(network).from_pretrained(folder, dtype=torch.float32).state_dict())
    with torch.no_grad():
        for layer in network.model.layers:
            if hasattr(layer.mlp, "gate"):
                layer.mlp.gate.weight.mul_(router_scale)


def kind_of(network: Network | ImageNetwork) -> type[AutoModelForCausalLM] | type[AutoModelForImageTextToText]:
    """Return what transformers makes the same model with."""
    return AutoModelForImageTextToText if isinstance(network, ImageNetwork) else AutoModelForCausalLM


def rounded(network: Network | ImageNetwork) -> Network | ImageNetwork:
    """Round all weights to bfloat16, in place."""
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(weight.bfloat16().float())
    return network


def measured(recipe: Recipe, network: Network | ImageNetwork, tests: TestSet, trainings: list[Training]) -> Result:
    """Score a network as it is, with one expert a token, and without half of its experts."""
    counts = expert_counts(network, tests)
    return Result(
        name=recipe.name,
        title=recipe.title,
        parameters=sum(weight.numel() for weight in network.parameters()),
        trainings=trainings,
        test_examples_per_task=min(map(len, tests.tokens.values())),
        scores=scores(network, tests),
        scores_top_1=scores(network, tests, Routing(top_k=1)) if counts else None,
        scores_half_of_experts=scores(network, tests, half_removed(counts)) if counts else None,
        balance=balance(counts),
    )


def write(folder: Path, network: Network | ImageNetwork, result: Result, tests: TestSet) -> float:
    """Write configuration, weights, tokenizer and card; return the largest difference of logits from transformers' model.

    Raises ValueError, after writing, if they differ by more than rounding.
    """
    config = network.config
    config.dtype = torch.float32
    model = kind_of(network).from_config(config, dtype=torch.float32)
    model.load_state_dict({name: weight.cpu() for name, weight in network.state_dict().items()})
    difference = _difference(model.eval(), network.cpu(), tests)
    config.dtype = torch.bfloat16
    model = model.to(torch.bfloat16)
    text = config.get_text_config()
    model.generation_config = GenerationConfig(
        bos_token_id=text.bos_token_id, eos_token_id=text.eos_token_id, pad_token_id=text.pad_token_id
    )
    model.save_pretrained(folder)
    (pictures.processor() if isinstance(network, ImageNetwork) else tokenizer()).save_pretrained(folder)
    (folder / "training.json").write_text(json.dumps(asdict(result), indent=1) + "\n")
    (folder / "README.md").write_text(card(result))
    if difference > MAX_DIFFERENCE:
        raise ValueError(f"{result.name}: logits differ from transformers' by {difference}")
    return difference


@torch.no_grad()
def _difference(model: torch.nn.Module, network: Network | ImageNetwork, tests: TestSet) -> float:
    worst = 0.0
    for task, tokens in tests.tokens.items():
        some, seen = (
            tokens[:CHECKED_EXAMPLES].cpu(),
            [each[:CHECKED_EXAMPLES].cpu() for each in tests.pictures_of(task)],
        )
        logits = pictures.logits(model, some, *seen) if seen else model(some).logits
        worst = max(worst, (logits - network(some, Routing(), *seen)).abs().max().item())
    return worst


def card(result: Result) -> str:
    """The model card, in Markdown."""
    columns = {"as trained": result.scores}
    sees = set(result.scores) == set(IMAGE_TASKS)
    if result.scores_top_1 is not None and result.scores_half_of_experts is not None:
        columns["one expert a token"] = result.scores_top_1
        columns["half of the experts"] = result.scores_half_of_experts
    lines = [
        f"# {result.name}",
        "",
        f"A {result.title}, {result.parameters:,} parameters in bfloat16, trained from scratch by `scripts/train_tiny.py` on "
        f"the tasks of `loadgen/load/{'image_questions' if sees else 'tasks'}.py`. For tests of tools, not for use.",
        "",
        "Share of right replies by greedy decoding, "
        f"{'at least ' if sees else ''}{result.test_examples_per_task} held-out examples a task:",
        "",
        f"| task | {' | '.join(columns)} |",
        f"|---|{'---|' * len(columns)}",
    ]
    for task in result.scores:
        lines.append(f"| {task} | {' | '.join(f'{column[task]:.3f}' for column in columns.values())} |")
    lines += [f"| mean | {' | '.join(f'{mean(column):.3f}' for column in columns.values())} |", ""]
    if result.balance:
        lines += [
            "The half of the experts that stays is the one used most. Use of experts over the same examples (even use: 1 and 1):",
            "",
            "| layer | busiest over mean | entropy over its maximum |",
            "|---|---|---|",
            *(f"| {each.layer} | {each.max_over_mean:.2f} | {each.entropy:.3f} |" for each in result.balance),
            "",
        ]
    lines += [f"{'Training' if place == 0 else 'Then'}: {each}" for place, each in enumerate(result.trainings)]
    lines.append("")
    return "\n".join(lines)
