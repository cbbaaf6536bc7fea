"""One service on a queue, by whatever spelling of its path and from whichever process."""

from pathlib import Path

import pytest

from loadgen.errors import UsageError
from loadgen.store.exclusive import alone_on_queue
from loadgen.store.repository import Store


def test_the_second_is_refused_until_the_first_ends(any_url: str) -> None:
    with Store.open(any_url) as first, Store.open(any_url) as second:
        with (
            alone_on_queue(first),
            pytest.raises(UsageError, match="another service already works"),
            alone_on_queue(second),
        ):
            raise AssertionError
        with alone_on_queue(second):
            pass


@pytest.mark.parametrize(
    "spelling", ["/proc/self/cwd/q.db", "q.db", "./sub/../q.db", "//{here}/q.db", "linked/q.db", "link.db"]
)
def test_another_spelling_of_the_path_is_the_same_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spelling: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    with Store.open(f"sqlite:///{tmp_path}/q.db") as first:
        (tmp_path / "linked").symlink_to(tmp_path)
        (tmp_path / "link.db").symlink_to(tmp_path / "q.db")
        path = spelling.format(here=tmp_path)
        with (
            alone_on_queue(first),
            Store.open(f"sqlite:///{path}") as second,
            pytest.raises(UsageError),
            alone_on_queue(second),
        ):
            raise AssertionError
