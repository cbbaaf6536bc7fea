"""docs/servers.md names the keys of a profile, and the profiles that come with loadgen."""

import re
from pathlib import Path

from loadgen.servers.profiles.memory_fit import GB, RESERVE_BYTES, VISION_RESERVE_BYTES
from loadgen.servers.profiles.profile_file import read_profile
from loadgen.servers.profiles.schema import ServerProfile

ROOT = Path(__file__).resolve().parents[3]
DOCUMENT = (ROOT / "docs" / "servers.md").read_text(encoding="utf-8")


def section(heading: str) -> str:
    return DOCUMENT.split(f"\n{heading}\n", 1)[1].split("\n## ", 1)[0]


def test_the_keys_are_those_of_the_schema() -> None:
    table = section("## Profiles").split("\n### ", 1)[0]
    heads = re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE)
    documented = {key for head in heads for key in re.findall(r"`([a-z_]+)`", head)}
    assert documented == set(ServerProfile.model_fields) - {"name"} | {"extends"}


def test_the_example_is_a_profile(tmp_path: Path) -> None:
    example = section("## Profiles").split("\n\n    ", 1)[1].split("\n\n", 1)[0]
    path = ROOT / "server_profiles" / "mixtral-tp4.yaml"
    for line in example.splitlines():
        assert line.strip() in path.read_text(encoding="utf-8")
    assert read_profile(str(path)).profile.arguments["tensor-parallel-size"] == 4


def test_the_reserves_are_the_codes() -> None:
    assert f"{RESERVE_BYTES // GB} GB, and {VISION_RESERVE_BYTES // GB} GB more" in section("## Profiles").replace(
        "\n", " "
    )
