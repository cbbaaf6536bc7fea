"""docs/pruning.md has the layouts of the code."""

import re

from loadgen.checkpoints.layouts import LAYOUTS
from tests.test_layers import PACKAGE

PAGE = (PACKAGE.parent / "docs" / "pruning.md").read_text(encoding="utf-8")


def test_the_layouts_are_those_of_the_page() -> None:
    rows = [
        line.strip("| ").split(" | ") for line in PAGE.split("## Layouts")[1].splitlines() if line.startswith("| ")
    ][1:]
    listed = {row[0]: tuple(tuple(re.findall(r"`([^`]+)`", cell)) for cell in row[1:]) for row in rows}
    assert listed == {
        layout.name: (
            layout.families,
            (f"{layout.block}.experts.N.{layout.names.gate}", layout.names.up, layout.names.down),
            (f"{layout.block}.gate",),
            layout.experts_keys,
            (layout.ffn_key,),
        )
        for layout in LAYOUTS
    }
