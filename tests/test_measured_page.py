"""docs/measured.md: its tables are those that scripts/measured_page.py writes from results/."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "measured.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("measured_page", ROOT / "scripts" / "measured_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def measured(script: ModuleType) -> Any:
    return script.Measured.read()


def test_every_table_is_of_the_results_that_are_there(script: ModuleType, measured: Any) -> None:
    for name in script.TABLES:
        assert script.filled(PAGE, measured, [name]) == PAGE, f"table {name}: run make study-report"


def test_the_drawing_in_the_readme_is_of_the_runs_that_are_there(script: ModuleType, measured: Any) -> None:
    text, digest = script.throughput(measured)
    assert f"<!-- runs: {digest} -->" in script.DRAWING.read_text(encoding="utf-8"), "run make study-report"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    low, high = re.findall(r"\| fig06 \|[^|]+\| > 8x \| ([\d.]+)× to ([\d.]+)× \|", PAGE)[0]
    assert f"grows {low} to {high} times" in readme
    (reached,) = re.findall(r"reaches (\d+ to \d+ %)", re.sub("<[^>]+>", " ", text))
    assert f"{reached} of what the GPU's datasheet allows" in readme


def test_every_table_has_a_place_in_the_page(script: ModuleType) -> None:
    assert sorted(re.findall(r"<!-- table: (\w+) -->", PAGE)) == sorted(script.TABLES)


def test_a_table_that_is_out_of_date_is_written_anew(script: ModuleType, measured: Any) -> None:
    page = "before\n<!-- table: reference -->\nold\n<!-- end -->\nafter\n"
    written = script.filled(page, measured)
    assert "old" not in written
    assert "| olmoe-1b-7b | 1 × 128/128 |" in written
    assert written.startswith("before\n<!-- table")
    assert written.endswith("<!-- end -->\nafter\n")
