"""Servers and studies of a test's own: profiles, the programs that stand in vLLM's place, and what is left of them."""

from collections.abc import Iterable
from pathlib import Path

import psutil

from tests.servers.launcher.launches import free_port, is_gone, state_in, write_program

QUICK_PROFILE = """
description: a quick simulator
launcher: simulator
engine: loadgen-simulator
model: simulated-NAME
arguments: {ttft-s: 0.005, gap-s: 0.001}
"""
FAKE_PROFILE = """
description: a program in vLLM's place
model: fake
executable: ./vllm
needs: {gpus: 0}
"""


def write_profiles(folder: Path, text: str, names: Iterable[str] = ("a", "b")) -> Path:
    """Write a profile for each name, `NAME` in the text, with a free port of its own. Return the folder of profiles."""
    profiles = folder / "server_profiles"
    profiles.mkdir(exist_ok=True)
    for name in names:
        (profiles / f"{name}.yaml").write_text(f"{text.replace('NAME', name)}port: {free_port()}\n")
    return profiles


def write_study(folder: Path, name: str, text: str) -> Path:
    path = folder / "studies" / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def write_vllm(path: Path, script: str) -> None:
    """Write a program that reports vLLM's release 0.32.0, and runs these lines of shell when asked for anything else."""
    write_program(path, f'#!/bin/sh\n[ "$1" = --version ] && echo 0.32.0 && exit\n{script}\n')


def write_failing_vllm(path: Path, said: str) -> None:
    """Write one that says something on its standard error and dies."""
    write_vllm(path, f'echo "{said}" >&2\nexit 1')


def members_of(folder: Path) -> list[psutil.Process]:
    """The processes of the server that is running."""
    return [psutil.Process(one.pid) for one in state_in(folder / "state").family()]


def nothing_is_left(folder: Path, before: list[psutil.Process]) -> bool:
    """Neither by the record nor in the process table."""
    return state_in(folder / "state").family() == [] and all(is_gone(one.pid) for one in before)
