"""The tables of `loadgen study`."""

from collections.abc import Iterable, Sequence
from math import prod

from rich.console import Group
from rich.table import Table
from rich.text import Text

from loadgen.cli.tables.style import numbers, plain_table, words
from loadgen.report.format import MISSING_FIGURE, plural
from loadgen.study.claims import Claim, Value
from loadgen.study.points import Point, coordinate_values, values_shown
from loadgen.study.schema import Study, matrix_of
from loadgen.study.study_file import StudyFile
from loadgen.study.variants import StudyVariant


def studies_table(files: Iterable[StudyFile]) -> Table:
    table = plain_table(*words("study", "place"), "title", *numbers("servers", "claims"))
    for file in files:
        study = file.study
        servers = str(server_count(study)) if study.servers else MISSING_FIGURE
        table.add_row(study.name, study.place or MISSING_FIGURE, study.title, servers, str(len(study.claims)))
    return table


def server_count(study: Study) -> int:
    """How many servers a study asks for: every combination of each one's matrix."""
    return sum(prod(len(setting.values) for setting in matrix_of(study, server).values()) for server in study.servers)


def study_tables(file: StudyFile, variants: Sequence[StudyVariant], points: Sequence[Point]) -> Group:
    """What a study asks, its servers and loads, the coordinates of its points, and its claims."""
    study = file.study
    head = Text.assemble((study.title, "bold"), "\n", study.question)
    parts: list[Text | Table] = [head]
    if study.setting:
        parts.append(Text(f"\n{study.setting}"))
    if variants:
        servers = _table("server", "needs", "")
        for variant in variants:
            needs = variant.variant.served.profile.needs
            gpus = "–" if needs is None or not needs.gpus else plural(needs.gpus, "GPU")
            servers.add_row(variant.label, gpus, variant.cannot_run or "")
        parts.append(servers)
        for load in study.loads:
            parts.append(Text("load: " + ", ".join(f"{key} {values_shown(value)}" for key, value in load.items())))
        parts.append(
            Text(f"repeats: {study.repeats}, each with a seed of its own" if study.repeats > 1 else "repeats: 1")
        )
        if study.accuracy is not None:
            parts.append(Text(f"accuracy: {', '.join(study.accuracy.tasks)}, {study.accuracy.when} the load"))
        coordinates = _table("coordinate, for --only", "values")
        for name, values in coordinate_values(points).items():
            coordinates.add_row(name, ", ".join(map(_written, values)))
        parts.append(coordinates)
    if study.claims:
        claims = _table("claim", "place", "kind", "says")
        for claim in study.claims:
            claims.add_row(claim.id, claim.place, _kind(claim), claim.says)
        parts.append(claims)
    return Group(*parts)


def _kind(claim: Claim) -> str:
    return "not testable" if claim.not_testable is not None else claim.compare.kind.replace("_", " ")


def _written(value: Value) -> str:
    """A value as `--only` takes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _table(*headings: str) -> Table:
    table = plain_table()
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table
