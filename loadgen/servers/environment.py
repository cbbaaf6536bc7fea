"""What a run ran on: host, kernel, processor, memory, versions, git commit. Facts for the record, none of them a secret.

A fact that cannot be had is None.
"""

import platform
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

import loadgen

# Those whose version can change a figure or how it is read.
_PACKAGES = ("httpx2", "httptools", "numpy", "pydantic", "sqlalchemy")


@cache
def environment() -> Mapping[str, Any]:
    """The run document's `environment`; read once in a process, since none of it changes while it lives."""
    return {
        "host": {
            "name": platform.node(),
            "system": platform.system(),
            "machine": platform.machine(),
        },
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "loadgen_version": loadgen.__version__,
        "git_commit": _git_commit(Path(loadgen.__file__).resolve().parent.parent),
        "cpu_model": _cpu_model(),
        "cpu_count": psutil.cpu_count() or None,
        "cpu_governor": _first_line(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
        "memory_bytes": psutil.virtual_memory().total,
        "kernel": platform.release(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name)) is not None},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _first_line(path: Path) -> str | None:
    try:
        return path.read_text().splitlines()[0].strip() or None
    except (OSError, IndexError):
        return None


def _cpu_model() -> str | None:
    if sys.platform == "linux":
        try:
            lines = Path("/proc/cpuinfo").read_text().splitlines()
        except OSError:
            lines = []
        for line in lines:
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model", "Hardware") and value.strip():
                return value.strip()
    return platform.processor() or None


def _git_commit(checkout: Path) -> str | None:
    """The commit of the checkout that loadgen runs from, `+` behind it when tracked files differ; None when installed."""
    if not (checkout / ".git").exists():
        return None
    try:
        commit = _git(checkout, "rev-parse", "HEAD").strip()
        changed = _git(checkout, "status", "--porcelain", "--untracked-files=no").strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{commit}+" if changed else commit


def _git(checkout: Path, *arguments: str) -> str:
    answer = subprocess.run(
        ["git", "-C", str(checkout), *arguments], capture_output=True, text=True, timeout=10, check=True
    )
    return answer.stdout
