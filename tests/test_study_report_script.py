"""scripts/study_report.py and the report in the repository: made of the results and studies that are there, in one file."""

import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from loadgen.study.study_file import study_names
from tests.scripts import script_module


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return script_module("study_report")


def _files_in(report: str) -> dict[str, str]:
    found = re.search(r'<script type="application/json" id="files">(.*?)</script>', report, re.DOTALL)
    assert found is not None
    files: dict[str, str] = json.loads(found[1])
    return files


def test_the_report_in_the_repository_is_made_of_its_results_and_studies(script: ModuleType) -> None:
    report = script.REPORT.read_text(encoding="utf-8")
    assert f'name="data-sha256" content="{script.digest()}"' in report, (
        "results/ or studies/ changed; run `make study-report`"
    )
    assert len(report.encode()) <= 5_000_000
    files = _files_in(report)
    assert {f"{name}.html" for name in study_names()} | {"index.html", "claims.html"} <= set(files)
    assert "measured, dummy weights" in files["fig03.html"]


def test_the_digest_follows_names_and_contents(script: ModuleType, tmp_path: Path) -> None:
    one, other = tmp_path / "one.json", tmp_path / "other.json"
    one.write_text("{}")
    other.write_text("{}")
    first = script.digest([one])
    assert script.digest([other]) != first
    one.write_text("[]")
    assert script.digest([one]) != first


def test_no_page_ends_the_script_that_holds_it(script: ModuleType) -> None:
    files = {"index.html": "<script>var open = '<!--<script>';</script>", "static/style.css": "a { color: red }"}
    assert _files_in(script.bundle(files, "0")) == files
