"""Studies on results that came with loadgen, and on one server that did not start."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from loadgen.importers.importing import read_sweep
from loadgen.report.study.library import Shelf, StudyLibrary
from loadgen.store.repository import Store

RESULTS = Path(__file__).resolve().parents[3] / "results"
WAVES = ("deepseek-v2-lite-dummy-waves-128", "deepseek-v2-lite-dummy-waves-2048", "qwen1.5-moe-a2.7b-dummy-waves-128")


@pytest.fixture(scope="session")
def waves(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a database with three sweeps of Figure 6 on an H200."""
    url = f"sqlite:///{tmp_path_factory.mktemp('waves') / 'results.db'}"
    with Store.open(url) as store:
        for name in WAVES:
            found = read_sweep(RESULTS / f"2026-11-30-h200-{name}.json.gz")
            store.add_imported(found.sweep, found.runs)
    return url


@pytest.fixture(scope="session")
def shelf(waves: str) -> Iterator[Shelf]:
    """All studies over them."""
    with Store.open(waves, read_only=True) as store:
        yield StudyLibrary().shelf(store)
