"""docs/run-document.md is what the types say, and the types have every metric."""

from typing import Any, get_type_hints

import pytest

from loadgen.analysis.document.run import PaperFigures, ProviderTime, Summary
from loadgen.analysis.figures.figure import Figure
from loadgen.analysis.figures.metrics import METRICS
from loadgen.analysis.stats import Distribution
from tests.scripts import script_module

_HOLDERS: dict[str, Any] = {"": Summary, "paper": PaperFigures, "provider_time": ProviderTime}


def test_the_page_is_what_the_types_say() -> None:
    script = script_module("run_document")
    assert script.PAGE.read_text(encoding="utf-8") == script.page(), "make docs writes the page anew"


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.key)
def test_the_types_have_each_metric_as_what_it_is(metric: Figure) -> None:
    holder, _, key = metric.key.rpartition(".")
    hint = get_type_hints(_HOLDERS[holder])[key]
    assert hint == (Distribution | None if metric.is_distribution else float | None)
