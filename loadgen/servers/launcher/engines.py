"""Programs that serve models: where one is, and of which release."""

import os
import re
import shutil
import subprocess
from pathlib import Path

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
    python = _interpreter(program)
    if python is not None and (answer := _said([str(python), "-c", _ASK, distribution])):
        return answer.strip()
    match = re.search(r"\d+(?:\.\d+)+\S*", _said([str(program), "--version"]) or "")
    return match[0] if match else None


def _interpreter(program: Path) -> Path | None:
    """The Python of a script's first line."""
    try:
        with program.open("rb") as file:
            first = file.readline(4096)
    except OSError:
        return None
    words = first.removeprefix(b"#!").decode(errors="replace").split() if first.startswith(b"#!") else []
    if not words or "python" not in Path(words[-1]).name:
        return None
    found = shutil.which(words[-1]) if Path(words[0]).name == "env" else words[0]
    return Path(found) if found and os.access(found, os.X_OK) else None


def _said(command: list[str]) -> str | None:
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout
