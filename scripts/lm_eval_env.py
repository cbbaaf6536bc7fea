#!/usr/bin/env python3
"""Install lm-eval into a virtual environment of its own, with which `loadgen accuracy` evaluates served models.

Standard library only. A second call returns at once, unless a pin or a script has changed.
"""

import argparse
import sys
from pathlib import Path

from vllm_cpu import PIP_INSTALL, ROOT, InstallError, collect_seldom, compile_imported, once, run

CONSTRAINTS = ROOT / "constraints-lm-eval.txt"
REQUIREMENTS = ("lm-eval[api]", "transformers")
MODULES = ("lm_eval.__main__", "lm_eval.evaluator", "lm_eval.models.openai_completions", "transformers.models.auto")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv-lm-eval", help="the environment to make")
    venv = parser.parse_args().venv
    try:
        made = once(venv, [Path(__file__), CONSTRAINTS], install)
    except InstallError as error:
        print(f"accuracy: {error}", file=sys.stderr)
        return 1
    print(f"lm-eval is in {venv.name}." if made else "lm-eval is up to date.")
    return 0


def install(venv: Path) -> None:
    """Make `venv` with lm-eval in it. A half-made or outdated environment is replaced."""
    print(f"Installing lm-eval into {venv.name} (a minute, 0.9 GB) …", flush=True)
    run([sys.executable, "-m", "venv", "--clear", str(venv)], "the virtual environment could not be made")
    pip = [str(venv / "bin" / "python"), *PIP_INSTALL]
    run(
        [*pip, "-c", str(CONSTRAINTS), *REQUIREMENTS], f"pip could not install {' and '.join(REQUIREMENTS)}", quiet=True
    )
    collect_seldom(venv)
    compile_imported(venv, MODULES)


if __name__ == "__main__":
    sys.exit(main())
