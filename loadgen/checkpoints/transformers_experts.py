"""Count the experts that a model chooses, with transformers: a script for an environment that has torch and transformers.

    python transformers_experts.py CHECKPOINT PROMPTS.json COUNTS.json

PROMPTS.json is `{"prompts": [text or token ids, …], "output_tokens": N, "trust_remote_code": false, "dtype": "auto"}`. Each prompt is prefilled
and continued greedily by N tokens, one prompt at a time, so that there is no padding. A token is counted when it passes the
routers: those of the prompt, and all that were generated but the last. After each prompt a line `passed N` says how many it were.
Imports nothing of loadgen.
"""

import json
import sys
from pathlib import Path
from typing import Any, TypedDict


class Asked(TypedDict, total=False):
    """What is read from PROMPTS.json."""

    prompts: "list[str | list[int]]"
    output_tokens: int
    trust_remote_code: bool
    dtype: str


def choices_of(model: Any) -> "dict[int, list[Any]]":
    """Have the model's sparse layers note their choices: the lists that are returned grow by a tensor (tokens × k) at each forward.

    Keys number the sparse layers by the decoder layer that they are in. Raises ValueError for a model without any that is known.
    """
    noted: dict[int, list[Any]] = {}
    for name, module in model.named_modules():
        layer = next((int(part) for part in name.split(".") if part.isdigit()), None)
        if layer is None:
            continue
        if type(module).__name__.endswith("Experts") and not name.split(".")[-1].isdigit():
            module.register_forward_pre_hook(_note_index(noted.setdefault(layer, [])), with_kwargs=True)
        elif _is_linear_router(module):
            module.gate.register_forward_hook(_note_logits(noted.setdefault(layer, []), _top_k(module)))
    if not noted:
        raise ValueError(
            "none of its layers chooses experts in a way that is known here, a call of all experts with the choice or a gate over them"
        )
    return noted


def _note_index(noted: "list[Any]") -> Any:
    """A hook on a module of experts, which is called with hidden states, indices (tokens × k) and weights."""

    def hook(module: Any, args: Any, kwargs: Any) -> None:
        index = kwargs.get("top_k_index", kwargs.get("router_indices"))
        if index is None:
            index = next(each for each in args[1:] if not each.is_floating_point())
        noted.append(index.detach().reshape(-1, index.shape[-1]).cpu())

    return hook


def _note_logits(noted: "list[Any]", top_k: int) -> Any:
    """A hook on the linear layer of a router: the experts of its largest scores."""

    def hook(module: Any, args: Any, output: Any) -> None:
        scores = output[0] if isinstance(output, tuple) else output
        noted.append(scores.detach().float().reshape(-1, scores.shape[-1]).topk(top_k, -1).indices.cpu())

    return hook


def _is_linear_router(module: Any) -> bool:
    """Whether a module chooses among a list of experts by the logits of its own linear gate, as models with code of their own do."""
    import torch

    return (
        isinstance(getattr(module, "gate", None), torch.nn.Linear)
        and isinstance(getattr(module, "experts", None), torch.nn.ModuleList)
        and _top_k(module) > 0
    )


def _top_k(module: Any) -> int:
    for name in ("top_k", "num_experts_per_tok", "moe_top_k"):
        if isinstance(value := getattr(module, name, None), int):
            return value
    return 0


def experts_of(config: Any) -> int:
    """Return the number of routed experts of a layer. Raises ValueError if the configuration does not say."""
    for each in (config, getattr(config, "text_config", None), getattr(config, "language_config", None)):
        for name in ("num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts"):
            if isinstance(value := getattr(each, name, None), int):
                return value
    raise ValueError("the configuration does not say how many experts a layer has")


def count(checkpoint: str, asked: Asked) -> "dict[str, object]":
    """Return the counts over the prompts, in the form of `loadgen moe experts`."""
    import torch
    from transformers import AutoTokenizer

    trusts = bool(asked.get("trust_remote_code"))
    model = _language_model(checkpoint, dtype=asked.get("dtype", "auto"), trusts=trusts)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint, trust_remote_code=trusts)
    noted, experts = choices_of(model), experts_of(model.config)
    layers = sorted(noted)
    counts = torch.zeros(len(layers), experts, dtype=torch.int64)
    tokens, top_k = 0, 0
    for number, prompt in enumerate(asked["prompts"], 1):
        ids = tokenizer(prompt).input_ids if isinstance(prompt, str) else prompt
        _continue(model, torch.tensor([ids]), asked["output_tokens"])
        for place, layer in enumerate(layers):
            chosen = torch.cat(noted[layer])
            noted[layer].clear()
            counts[place] += torch.bincount(chosen.reshape(-1), minlength=experts)
            if place == 0:
                tokens, top_k = tokens + len(chosen), int(chosen.shape[1])
        print(f"passed {number}", flush=True)  # noqa: T201
    return {
        "schema_version": 1,
        "model": checkpoint,
        "source": "transformers",
        "experts_per_token": top_k,
        "tokens": tokens,
        "layers": [{"layer": layer, "counts": row} for layer, row in zip(layers, counts.tolist(), strict=True)],
        "step_sizes": None,
    }


def _language_model(checkpoint: str, *, dtype: str, trusts: bool) -> Any:
    """Load a model that continues text; of one that reads images (BLIP-2), the part that does."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

    config = AutoConfig.from_pretrained(checkpoint, trust_remote_code=trusts)
    reads_images = hasattr(config, "vision_config") and not getattr(config, "auto_map", None)
    kind: Any = AutoModelForImageTextToText if reads_images else AutoModelForCausalLM
    model = kind.from_pretrained(checkpoint, dtype=dtype, trust_remote_code=trusts).eval()
    inner = getattr(model, "language_model", None)
    return inner if hasattr(inner, "generate") else model


def _continue(model: Any, ids: Any, output_tokens: int) -> None:
    """Pass the prompt and the tokens that follow it greedily, but the last, through the model."""
    import torch

    with torch.inference_mode():
        if output_tokens == 0:
            model(ids)
            return
        stops = model.generation_config
        stops.eos_token_id = None  # exactly as many tokens as asked
        model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=output_tokens, do_sample=False, pad_token_id=0
        )


def main() -> int:
    """Read what is asked, and write the counts, or why there are none."""
    checkpoint, prompts, written = sys.argv[1:]
    asked: Asked = json.loads(Path(prompts).read_text())
    # Our safetensors.py is not the package.
    sys.path[:] = [place for place in sys.path if place != str(Path(__file__).parent)]
    try:
        result: dict[str, object] = count(checkpoint, asked)
    except Exception as error:  # the environment and the checkpoint are the user's: the first line says what is wrong
        first_line = next(iter(str(error).strip().splitlines()), "")
        kind = "" if isinstance(error, ValueError) and first_line else f"{type(error).__name__}: "
        result = {"problem": kind + first_line}
    Path(written).write_text(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
