"""Results that an older loadgen stored show the same figures, tables, pages and charts as they did then."""

import difflib

import pytest

from tests.golden import stored
from tests.golden.printed import printed

_MAX_LINES = 40  # of one difference


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the code under test makes of a copy of the results."""
    return printed(stored.database(tmp_path_factory.mktemp("golden")))


def test_every_view_of_stored_results_is_what_it_was(shown: dict[str, str]) -> None:
    expected: dict[str, str] = stored.read(stored.PRINTED)
    assert list(shown) == list(expected)
    changed = [name for name in expected if shown[name] != expected[name]]
    assert not changed, "\n\n".join(
        [
            f"{len(changed)} views differ: {', '.join(changed)}",
            *(_difference(expected[n], shown[n]) for n in changed[:3]),
        ]
    )


def _difference(before: str, now: str) -> str:
    lines = difflib.unified_diff(before.splitlines(), now.splitlines(), "then", "now", lineterm="", n=1)
    return "\n".join(line[:300] for line in list(lines)[:_MAX_LINES])
