"""Run by the Python of an installed vLLM, never imported: hands commands to vLLM's own argument parser and starts nothing.

Stdin is one JSON object, {"commands": {name: [the words after `vllm`]}}. Stdout is one too:

    {"flags": every flag of `vllm serve`, "keys": {flag: keys of its JSON value, where vLLM has a class for it},
     "quantizations": values of --quantization, "variables": names of environment variables that vLLM reads,
     "complaints": {name: what the parser says}, of those that it refuses}

The standard library and vLLM are all that is there.
"""

import dataclasses
import json
import os
import sys
from typing import Any, NoReturn


class ArgumentsRefused(Exception):
    """What vLLM's parser would have printed before it exits."""


def main() -> None:
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 (no module of ours may stand before theirs)
    sys.path[:] = [folder for folder in sys.path if os.path.abspath(folder or ".") != here]  # noqa: PTH100
    with os.fdopen(os.dup(1), "w") as answer:
        os.dup2(2, 1)  # vLLM's log is no part of the answer
        json.dump(examined(json.load(sys.stdin)["commands"]), answer)


def examined(commands: dict[str, list[str]]) -> dict[str, object]:
    """What the parser says of each command, and what it knows."""
    import vllm.config
    import vllm.envs
    from vllm import platforms

    if platforms.current_platform.is_unspecified():  # a build for GPUs where there is none; `vllm bench` does the same
        from vllm.platforms.cpu import CpuPlatform

        platforms.current_platform = CpuPlatform()

    from vllm.entrypoints.cli.serve import cmd_init
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    def refuse(_: object, message: str) -> NoReturn:
        raise ArgumentsRefused(message)

    FlexibleArgumentParser.error = refuse
    parser = FlexibleArgumentParser(prog="vllm")
    (serve,) = cmd_init()
    flags = sorted(serve.subparser_init(parser.add_subparsers(dest="subparser"))._option_string_actions)
    complaints = {}
    for name, words in commands.items():
        try:
            serve.validate(parser.parse_args(words))
        except (Exception, SystemExit) as refused:
            complaints[name] = " ".join(str(refused).split()) or type(refused).__name__
    return {
        "flags": flags,
        "keys": keys_of_json(flags, vllm.config),
        "quantizations": quantizations(),
        "variables": sorted(vllm.envs.environment_variables),
        "complaints": complaints,
    }


def keys_of_json(flags: list[str], config: Any) -> dict[str, list[str]]:
    """The keys that the value of `--some-config` may have: the fields of vLLM's class SomeConfig."""
    classes = {name.lower(): value for name, value in vars(config).items() if dataclasses.is_dataclass(value)}
    return {
        flag: [field.name for field in dataclasses.fields(classes[named])]
        for flag in flags
        if (named := flag.strip("-").replace("-", "")) in classes
    }


def quantizations() -> list[str]:
    """Empty where this release keeps its list elsewhere."""
    try:
        from vllm.model_executor.layers.quantization import QUANTIZATION_METHODS
    except ImportError:
        return []
    return sorted(QUANTIZATION_METHODS)


if __name__ == "__main__":
    main()
