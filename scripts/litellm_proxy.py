#!/usr/bin/env python3
"""Install LiteLLM's proxy into a virtual environment of its own, for the tests that measure through a gateway.

Standard library only. A second call returns at once, unless a pin or a script has changed.
"""

import argparse
import sys
from pathlib import Path

from vllm_cpu import PIP_INSTALL, ROOT, InstallError, collect_seldom, once, run

CONSTRAINTS = ROOT / "constraints-litellm.txt"
REQUIREMENT = "litellm[proxy]"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv-litellm", help="the environment to make")
    venv = parser.parse_args().venv
    try:
        made = once(venv, [Path(__file__), CONSTRAINTS], install)
    except InstallError as error:
        print(f"litellm-proxy: {error}", file=sys.stderr)
        return 1
    print(f"LiteLLM's proxy is in {venv.name}." if made else "LiteLLM's proxy is up to date.")
    return 0


def install(venv: Path) -> None:
    """Make `venv` with the proxy in it. A half-made or outdated environment is replaced."""
    print(f"Installing LiteLLM's proxy into {venv.name} (a minute, 0.8 GB) …", flush=True)
    run([sys.executable, "-m", "venv", "--clear", str(venv)], "the virtual environment could not be made")
    pip = [str(venv / "bin" / "python"), *PIP_INSTALL]
    run([*pip, "-c", str(CONSTRAINTS), REQUIREMENT], f"pip could not install {REQUIREMENT}", quiet=True)
    collect_seldom(venv)


if __name__ == "__main__":
    sys.exit(main())
