#!/usr/bin/env python3
"""Install a program that loadgen calls into a virtual environment of its own: `program_env.py litellm`, `program_env.py lm-eval`.

Standard library only. A second call returns at once, unless a pin or this script has changed.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from vllm_cpu import PIP_INSTALL, ROOT, InstallError, collect_seldom, compile_imported, once, run


@dataclass(frozen=True)
class Program:
    """What is installed into `.venv-KEY` under the pins of `constraints-KEY.txt`."""

    title: str
    size: str
    requirements: tuple[str, ...]
    modules: tuple[str, ...] = ()  # that are compiled at once, for those who forbid Python to write


PROGRAMS = {
    "litellm": Program(
        "LiteLLM's proxy", "0.8 GB", ("litellm[proxy]",)
    ),  # for the tests that measure through a gateway
    "lm-eval": Program(  # with which `loadgen accuracy` evaluates served models
        "lm-eval",
        "0.9 GB",
        ("lm-eval[api]", "transformers"),
        ("lm_eval.__main__", "lm_eval.evaluator", "lm_eval.models.openai_completions", "transformers.models.auto"),
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", choices=PROGRAMS)
    parser.add_argument("--venv", type=Path, help="the environment to make (default: .venv-PROGRAM)")
    options = parser.parse_args()
    program, constraints = PROGRAMS[options.program], ROOT / f"constraints-{options.program}.txt"
    venv = options.venv or ROOT / f".venv-{options.program}"
    try:
        made = once(venv, [Path(__file__), constraints], lambda venv: install(program, constraints, venv))
    except InstallError as error:
        print(f"{options.program}: {error}", file=sys.stderr)
        return 1
    print(f"{program.title} is in {venv.name}." if made else f"{program.title} is up to date.")
    return 0


def install(program: Program, constraints: Path, venv: Path) -> None:
    """Make `venv` with the program in it. A half-made or outdated environment is replaced."""
    print(f"Installing {program.title} into {venv.name} (a minute, {program.size}) …", flush=True)
    run([sys.executable, "-m", "venv", "--clear", str(venv)], "the virtual environment could not be made")
    pip = [str(venv / "bin" / "python"), *PIP_INSTALL, "-c", str(constraints), *program.requirements]
    run(pip, f"pip could not install {' and '.join(program.requirements)}", quiet=True)
    collect_seldom(venv)
    if program.modules:
        compile_imported(venv, program.modules)


if __name__ == "__main__":
    sys.exit(main())
