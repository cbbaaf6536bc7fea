"""docs/architecture.md names packages, modules and functions that exist, in the order that the layer test holds."""

import re

import pytest

from tests.test_layers import INNER_ORDER, ORDER, PACKAGE

ROOT = PACKAGE.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PATHS = sorted(set(re.findall(r"`((?:[a-z_0-9]+/)+[a-z_0-9]+(?:\.py)?)`", PAGE)))
FUNCTIONS = re.findall(r"`([a-z/_]+\.py)`, `([a-z_]+)`", PAGE)


@pytest.mark.parametrize("path", PATHS)
def test_a_path_that_it_names_exists(path: str) -> None:
    assert any((root / path).exists() or (root / f"{path}.py").exists() for root in (PACKAGE, ROOT))


@pytest.mark.parametrize(("path", "function"), FUNCTIONS)
def test_a_function_that_it_names_exists(path: str, function: str) -> None:
    assert f"\ndef {function}(" in (PACKAGE / path).read_text(encoding="utf-8")


@pytest.mark.parametrize("path", ["experiments/run.py", "experiments/sweep.py"])
def test_the_steps_that_it_names_are_called_in_that_order(path: str) -> None:
    (line,) = [line for line in PAGE.splitlines() if f"`{path}`, " in line]
    steps = re.findall(r"`([a-z_]+)`", line.split(":", 1)[1].split(". ")[0])
    source = (PACKAGE / path).read_text(encoding="utf-8")
    calls = [source.index(f"{step}(", source.index(f"def {re.findall(r'`([a-z_]+)`', line)[0]}(")) for step in steps]
    assert len(steps) > 3
    assert calls == sorted(calls)


def block(first_word: str) -> list[list[str]]:
    """The names in the indented block that begins with a word, line by line."""
    (text,) = [each for each in re.findall(r"(?:^    .*\n)+", PAGE, re.MULTILINE) if each.split()[0] == first_word]
    return [re.findall(r"[a-z_]+", line) for line in text.splitlines()]


def test_the_order_of_packages_is_the_tested_one() -> None:
    assert block("errors") == [list(names) for names in ORDER]


@pytest.mark.parametrize("package", ["engine", "report", "cli"])
def test_the_inner_order_is_the_tested_one(package: str) -> None:
    (line,) = [names[1:] for names in block("engine") if names[0] == package]
    rank = {name: at for at, names in enumerate(INNER_ORDER[package]) for name in names}
    assert [rank[name] for name in line] == sorted(rank[name] for name in line)
