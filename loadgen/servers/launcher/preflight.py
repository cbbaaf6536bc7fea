"""What can be known before a server is started: too few GPUs, no engine, no model, a port that somebody else holds."""

import errno
import os
import shutil
import socket
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from loadgen.servers.gpu.watch import installed_gpus, visible_with
from loadgen.servers.launcher.failure import FailureKind, StartFailure
from loadgen.servers.launcher.launch import Launch
from loadgen.servers.local_server import processes_of

_OUR_FOLDERS = {
    ".tiny-models": " (`make vllm-cpu` makes the tiny ones)",
    "trained_models": " (loadgen's repository has the trained ones, and is to be the working directory)",
}


def check(launch: Launch) -> None:
    """Raises StartFailure with the first reason why this launch cannot succeed on this machine."""
    _check_gpus(launch)
    _check_program(launch)
    _check_model(launch)
    _check_port(launch)


def _check_gpus(launch: Launch) -> None:
    if launch.gpus == 0:
        return
    found = installed_gpus()
    seen = visible_with(launch.environment, found)
    if len(seen) >= launch.gpus:
        return
    needed = f"{launch.gpus} GPU{'s' if launch.gpus > 1 else ''}"
    hidden = f" (of {len(found)}; CUDA_VISIBLE_DEVICES hides the others)" if len(found) > len(seen) else ""
    raise StartFailure(
        FailureKind.TOO_FEW_GPUS, f"{launch.profile_name} needs {needed} and found {len(seen) or 'none'}{hidden}"
    )


def _check_program(launch: Launch) -> None:
    program = launch.argv[0]
    if shutil.which(program) is not None:
        return
    if launch.kind == "compose":
        raise StartFailure(
            FailureKind.NO_ENGINE,
            f"{launch.profile_name} runs in a container, and there is no '{program}' here; install Docker with its compose plugin",
        )
    where = "on PATH" if "/" not in program else "there"
    hint = " (for a CPU: `make vllm-cpu`)" if launch.engine == "vllm" else ""
    raise StartFailure(
        FailureKind.NO_ENGINE,
        f"{launch.profile_name} needs {launch.engine}, and there is no program '{program}' {where}; install it{hint}",
    )


def _check_model(launch: Launch) -> None:
    source = launch.model_source
    if source is None or not source.startswith(("/", "./", "../", "~", ".")):
        return  # an id of the hub, as far as one can see
    if not Path(source).expanduser().is_dir():
        hint = next((hint for folder, hint in _OUR_FOLDERS.items() if folder in source), "")
        raise StartFailure(
            FailureKind.MISSING_MODEL,
            f"{launch.profile_name} serves the model in '{source}', and there is no such folder{hint}; "
            "name where it is with --model PATH",
        )


def _check_port(launch: Launch) -> None:
    parts = urlsplit(launch.url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    if not is_taken(host, port):
        return
    holder = _holder(launch.url)
    raise StartFailure(
        FailureKind.PORT_IN_USE,
        f"port {port} on {host} is in use{f' by {holder}' if holder else ''}; end that, or choose another with --port",
    )


def is_taken(host: str, port: int) -> bool:
    """Whether somebody listens on this port already."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def _holder(url: str) -> str | None:
    """`name (process 123)` of who listens there; None where the system does not tell us."""
    for one in processes_of(url):
        if one.pid == os.getpid():
            return "this very process"
        with suppress(psutil.Error):
            return f"{one.name()} (process {one.pid})"
    return None
