"""A sweep's YAML file: what it means, that flags win, and the line of each mistake."""

from pathlib import Path

import pytest

from loadgen.errors import UsageError
from loadgen.spec.parse import make_spec, read_keys
from loadgen.spec.runs import resolve

GOOD = """\
url: http://127.0.0.1:8000/v1
model: m
concurrency: [1, 16]
input_tokens: 128
output_tokens: "32,64"
repeats: 2
slo: {ttft_s: 0.5}
requests:
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "sweep.yaml"


def test_a_file_is_a_spec(path: Path) -> None:
    path.write_text(GOOD)
    spec = make_spec(*read_keys({}, path))
    assert spec.url == "http://127.0.0.1:8000"
    assert len(resolve(spec)) == 2 * 2 * 2
    assert spec.slo == {"ttft_s": 0.5}


def test_flags_win_over_the_file(path: Path) -> None:
    path.write_text(GOOD)
    assert [run.concurrency for run in resolve(make_spec(*read_keys({"concurrency": "3", "repeats": "1"}, path)))] == [
        3,
        3,
    ]


def test_a_mistake_in_a_flag_is_not_blamed_on_the_file(path: Path) -> None:
    path.write_text(GOOD)
    with pytest.raises(UsageError, match=r"^--concurrency must be at least 1"):
        make_spec(*read_keys({"concurrency": "0"}, path))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("model: m\nconcurency: 3\n", "unknown key 'concurency' in sweep.yaml line 2; did you mean 'concurrency'?"),
        ("zzz: 3\n", "unknown key 'zzz' in sweep.yaml line 1; known keys: name, url, model"),
        (GOOD.replace("[1, 16]", "[1, -2]"), "'concurrency' in sweep.yaml line 3 must be at least 1, not -2"),
        (GOOD.replace("[1, 16]", "[]"), "'concurrency' in sweep.yaml line 3 must list at least one value"),
        (GOOD.replace("repeats: 2", "repeats: yes"), "'repeats' in sweep.yaml line 6 must not be true"),
        (GOOD + "rate: 2\n", "'concurrency' in sweep.yaml line 3 and 'rate' in sweep.yaml line 9 exclude each other"),
        (GOOD + "seed: 2\nseed: 3\n", "sweep.yaml says 'seed' twice, in lines 9 and 10"),
        ("url: [\n", "sweep.yaml line 2 is not YAML"),
        ("url: \x00", "sweep.yaml is not YAML"),
        ("- url\n", "sweep.yaml must be a mapping"),
        ("", "sweep.yaml is empty"),
    ],
)
def test_mistakes_are_named_with_their_line(path: Path, text: str, sentence: str) -> None:
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        make_spec(*read_keys({}, path))
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read(path: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read the spec file .*: No such file"):
        make_spec(*read_keys({}, path))
    with pytest.raises(UsageError, match=r"cannot read the spec file .*: Is a directory"):
        make_spec(*read_keys({}, tmp_path))
    path.write_bytes(b"model: \xff\n")
    with pytest.raises(UsageError, match="not text in UTF-8"):
        make_spec(*read_keys({}, path))
