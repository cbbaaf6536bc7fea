"""Flags, values and variables of all profiles and studies against the oldest and the newest release of vLLM that they are for.

`vllm_flags.json` is what the parsers of these releases know; scripts/vllm_flags.py writes it.
"""

import json
from pathlib import Path

import pytest

from loadgen.servers.profiles.checks import is_served_by_vllm
from loadgen.servers.profiles.command import arguments, environment
from loadgen.servers.profiles.profile_file import ProfileFile, read_profile
from loadgen.servers.profiles.schema import fits
from loadgen.servers.profiles.vllm_parser import Parsed, wrong_arguments
from tests.scripts import script_module

ROOT = Path(__file__).resolve().parents[3]
TABLE = {
    release: Parsed(**known, complaints={})
    for release, known in json.loads(Path(__file__).with_name("vllm_flags.json").read_text()).items()
}


@pytest.fixture(scope="module")
def servers() -> list[tuple[str, ProfileFile]]:
    script = script_module("vllm_flags")
    return [each for each in script.servers() if is_served_by_vllm(each[1].profile)]


def mistakes(file: ProfileFile, release: str) -> list[str]:
    flags, variables = arguments(file.profile, release), environment(file.profile, release)
    return wrong_arguments(flags, variables, None, TABLE[release], file.origin)


@pytest.mark.parametrize("release", TABLE)
def test_vllm_knows_every_flag(servers: list[tuple[str, ProfileFile]], release: str) -> None:
    meant = [(name, file) for name, file in servers if fits(release, file.profile.releases)]
    assert len(meant) > 300
    assert {name: found for name, file in meant if (found := mistakes(file, release))} == {}


def test_the_parsers_of_both_ends_of_the_range_were_read() -> None:
    releases = read_profile("vllm").profile.releases
    assert list(TABLE) == ["0.26.0", "0.33.0"]
    assert all(fits(release, releases) for release in TABLE)
    assert not fits("0.25.1", releases)


def test_a_flag_that_is_gone_is_found(tmp_path: Path) -> None:
    path = tmp_path / "old.yaml"
    path.write_text(
        "extends: mixtral-tp4\ndescription: as of 0.26\nneeds: {gpus: 4, gpu_memory_gb: 80}\n"
        "arguments: {max-num-partial-prefills: 2}\n"
    )
    file = read_profile(str(path))
    assert mistakes(file, "0.26.0") == []
    assert "'arguments.max-num-partial-prefills'" in mistakes(file, "0.33.0")[0]
