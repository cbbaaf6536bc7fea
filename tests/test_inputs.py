"""A YAML mapping and the line of every key in it; mistakes at any depth are told with their line."""

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from loadgen.errors import UsageError
from loadgen.inputs import FileLine, Origin, read_yaml

NESTED = """\
needs:
  gpus: 2
list:
  - releases: ">=1"
    arguments: {a: 1,
      b: 2}
"""


class Needs(BaseModel):
    model_config = ConfigDict(extra="forbid")
    gpus: int
    memory: float = 1.0


class Item(BaseModel):
    model_config = ConfigDict(extra="forbid")
    releases: str
    arguments: dict[str, int] = {}


class Thing(BaseModel):
    model_config = ConfigDict(extra="forbid")
    needs: Needs | None = None
    list: tuple[Item, ...] = ()


def read_thing(path: Path) -> Thing:
    values, places = read_yaml(path, "file", example="needs: {gpus: 1}")
    return Origin(places, path).validated(Thing, values)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "thing.yaml"


def test_every_key_has_its_line_at_any_depth(path: Path) -> None:
    path.write_text(NESTED)
    lines = {key: place.line for key, place in read_yaml(path, "file", example="a: 1")[1].items()}
    assert lines == {
        "needs": 1,
        "needs.gpus": 2,
        "list": 3,
        "list.0.releases": 4,
        "list.0.arguments": 5,
        "list.0.arguments.a": 5,
        "list.0.arguments.b": 6,
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (NESTED.replace("gpus: 2", "gpu: 2"), "unknown key 'needs.gpu' in thing.yaml line 2; did you mean 'gpus'?"),
        (NESTED.replace("gpus: 2", "zzz: 2"), "unknown key 'needs.zzz' in thing.yaml line 2; known keys: gpus, memory"),
        (NESTED.replace("releases", "release"), "unknown key 'list.0.release' in thing.yaml line 4; did you mean 'releases'?"),
        (NESTED.replace("gpus: 2", "gpus: two"), "'needs.gpus' in thing.yaml line 2 must be a whole number, not two"),
        (NESTED.replace("b: 2", "b: x"), "'list.0.arguments.b' in thing.yaml line 6 must be a whole number, not x"),
        (NESTED.replace("gpus: 2", "memory: 2"), "'needs' in thing.yaml line 1 lacks 'gpus'"),
        ("needs: 3\n", "'needs' in thing.yaml line 1 must be a mapping of keys to values, not 3"),
        ("needs:\n  gpus: 1\n  gpus: 2\n", "thing.yaml says 'needs.gpus' twice, in lines 2 and 3"),
        (f"needs: {'[' * 900}{']' * 900}", "thing.yaml nests too deeply to be read; write it with fewer levels"),
        (f"needs: {'[' * 100_000}", "thing.yaml nests too deeply to be read; write it with fewer levels"),
        (f"needs:\n  {'- ' * 100_000}a", "thing.yaml nests too deeply to be read; write it with fewer levels"),
        (
            f"needs: {'9' * 5_000}",
            "thing.yaml is not YAML: Exceeds the limit (4300 digits) for integer string conversion: value has 5000 digits",
        ),
    ],
)  # fmt: skip
def test_mistakes_inside_are_named_with_their_line(path: Path, text: str, sentence: str) -> None:
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_thing(path)
    assert str(caught.value) == sentence


def test_an_alias_is_followed_once_and_a_circle_is_none(path: Path) -> None:
    path.write_text("a: &x {b: 1}\nc: *x\nd: &y [*y]\n")
    assert list(read_yaml(path, "file", example="a: 1")[1]) == ["a", "a.b", "c", "d"]


def test_an_origin_of_a_part_names_its_keys_alone() -> None:
    origin = Origin({"sweep": FileLine(Path("p.yaml"), 1), "sweep.rate": FileLine(Path("p.yaml"), 2)}, Path("p.yaml"))
    assert origin.under("sweep").name("rate") == "'rate' in p.yaml line 2"
    assert origin.under("sweep").name("wave") == "'wave' in p.yaml"
    assert origin.without({"sweep"}).places == {}
