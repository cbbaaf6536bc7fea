"""docs/claims.md names every kind of comparison, every quantifier and every verdict that there is."""

import re
from pathlib import Path
from typing import get_args

from loadgen.study.claims import Comparison, Over
from loadgen.study.judgement import Verdict

PAGE = (Path(__file__).parents[2] / "docs" / "claims.md").read_text(encoding="utf-8")


def first_column(heading: str) -> list[str]:
    """What the rows of the table under a heading begin with."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [row.strip("`") for row in re.findall(r"^\| (.+?) \|", section, re.MULTILINE)[1:]]


def test_kinds_of_comparison() -> None:
    kinds = [get_args(each.model_fields["kind"].annotation)[0] for each in get_args(get_args(Comparison)[0])]
    assert first_column("Kinds of comparison") == kinds


def test_quantifiers() -> None:
    assert sorted(first_column("Which points are compared")) == sorted(get_args(Over))


def test_verdicts() -> None:
    assert sorted(first_column("Verdicts")) == sorted(verdict.replace("_", " ") for verdict in get_args(Verdict))
