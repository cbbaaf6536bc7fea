"""Tags from flags and files: kept in the record, and no part of what is measured."""

import pytest

from loadgen.errors import UsageError
from loadgen.spec.runs import grid_hash, resolve
from tests.spec.test_sweep_spec import spec


def test_tags_are_kept_once_each_as_given() -> None:
    assert spec(tag=["nightly", " fp8 vs bf16 ", "nightly"]).to_json()["tag"] == ["nightly", "fp8 vs bf16"]
    assert spec(tag="nightly").to_json()["tag"] == ["nightly"], "a file may give one without a list"


def test_tags_change_nothing_that_is_measured() -> None:
    plain, tagged = spec(), spec(tag=["nightly"])
    assert grid_hash(resolve(tagged)) == grid_hash(resolve(plain))
    assert "tag" not in plain.to_json()


@pytest.mark.parametrize(
    ("tag", "message"),
    [
        ("", "--tag must not be empty"),
        ("a,b", "--tag must be of printable characters without a comma"),
        ("a\nb", "--tag must be of printable characters"),
        ("x" * 61, "--tag is longer than 60 characters"),
        ([str(number) for number in range(21)], "--tag gives more than 20"),
    ],
)
def test_a_tag_that_no_list_could_show(tag: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        spec(tag=tag)
