"""Programs that serve models: where one is, and of which release."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from loadgen.servers.profiles.vllm_parser import python_of

_LIMIT_S = 120.0  # `vllm --version` imports all of torch
_ASK = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"


def find_program(name: str) -> Path | None:
    """An executable by its path, or by its name on PATH; absolute, links kept (a virtual environment's python is one)."""
    found = shutil.which(name)
    return Path(found).absolute() if found else None


def release_of(program: Path, distribution: str) -> str | None:
    """The release of the package that a program belongs to, such as `0.32.0+cpu`; None where it does not tell.

    A script of a Python environment is answered by that Python, in a tenth of a second; anything else is asked `--version`.
    """
    python = python_of(program)
    if os.access(python, os.X_OK) and (answer := _said([str(python), "-c", _ASK, distribution])):
        return answer.strip()
    match = re.search(r"\d+(?:\.\d+)+\S*", _said([str(program), "--version"]) or "")
    return match[0] if match else None


def _said(command: list[str]) -> str | None:
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout
