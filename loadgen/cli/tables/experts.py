"""Expert counts for a terminal: a table by layer, distinct experts of a step by its tokens, and two counts next to each other."""

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Column
from rich.text import Text

from loadgen.cli.tables.style import facts_table, numbers, plain_table
from loadgen.moe.expert_counts import ExpertCounts, LayerFigures, StepSize, shares_apart
from loadgen.report.charts.experts import NamedCounts
from loadgen.report.format import MISSING_FIGURE, number

_SOURCES = {
    "worker_extension": "vLLM's workers, by loadgen's extension",
    "routed_experts": "routed experts in the server's replies",
    "transformers": "transformers",
}
_MAX_STEP_ROWS = 12


def experts_tables(named: NamedCounts) -> Iterator[RenderableType]:
    """Yield what was counted, the figures of each layer, and the distinct experts of a step if steps were seen."""
    counts = named.counts
    yield facts_table(
        (
            ("model", Text(counts.model)),
            ("counted by", Text(_SOURCES[counts.source])),
            ("experts", f"{counts.experts} a layer, {counts.experts_per_token} for each token"),
            ("tokens", number(counts.tokens)),
        )
    )
    table = plain_table(*numbers("layer", "max/mean", "entropy", "Gini", "never chosen", "most chosen", "its share"))
    for figures in counts.figures():
        table.add_row(
            str(figures.layer), *_figures(figures), str(figures.unused_experts), *_most_chosen(counts, figures)
        )
    yield table
    if counts.step_sizes:
        yield _step_table(counts)


def _step_table(counts: ExpertCounts) -> RenderableType:
    table = plain_table(
        *numbers("tokens in a step", "steps", "distinct experts", "of uniform routing", "measured/formula")
    )
    for size in shown_sizes(counts.step_sizes or ()):
        measured, expected = counts.mean_distinct(size), counts.expected_distinct(size.tokens)
        table.add_row(
            number(size.tokens), number(size.steps), f"{measured:.2f}", f"{expected:.2f}", f"{measured / expected:.2f}"
        )
    return table


def shown_sizes(sizes: Sequence[StepSize]) -> list[StepSize]:
    """Return the sizes with most steps, a dozen at most, by ascending tokens."""
    frequent = sorted(sizes, key=lambda size: (-size.steps, size.tokens))[:_MAX_STEP_ROWS]
    return sorted(frequent, key=lambda size: size.tokens)


def comparison_table(one: NamedCounts, other: NamedCounts) -> RenderableType:
    """Return the figures of both by layer, B less A, and how far their shares of choices are apart.

    Layers are paired by their place among the sparse ones; those that only one has stand alone.
    """
    table = plain_table(
        *numbers("layer"),
        *numbers("max/mean A", "B", "B − A"),
        *numbers("entropy A", "B", "B − A"),
        *numbers("Gini A", "B", "B − A"),
        Column("apart", justify="right", no_wrap=True),
        caption=_apart_note(one.counts, other.counts),
        caption_justify="left",
        caption_style="dim",
    )
    left, right = one.counts.figures(), other.counts.figures()
    for place in range(max(len(left), len(right))):
        a = left[place] if place < len(left) else None
        b = right[place] if place < len(right) else None
        labels = list(dict.fromkeys(str(each.layer) for each in (a, b) if each is not None))
        cells = [cell for values in zip(_values(a), _values(b), strict=True) for cell in _pair(*values)]
        table.add_row("/".join(labels), *cells, _figure(_apart(one.counts, other.counts, place) if a and b else None))
    return table


def _apart_note(one: ExpertCounts, other: ExpertCounts) -> str:
    """What `apart` means, or why it is unknown."""
    if one.experts != other.experts:
        return f"apart: unknown, since A has {one.experts} experts a layer and B {other.experts}"
    return "apart: half of Σ|p − q|, the share of choices that would have to move"


def _values(figures: LayerFigures | None) -> tuple[float | None, float | None, float | None]:
    return (None, None, None) if figures is None else (figures.max_over_mean, figures.entropy_ratio, figures.gini)


def _apart(one: ExpertCounts, other: ExpertCounts, place: int) -> float | None:
    if one.experts != other.experts:
        return None
    return shares_apart(one.counts[place], other.counts[place])


def _pair(a: float | None, b: float | None) -> tuple[str, str, str]:
    difference = MISSING_FIGURE if a is None or b is None else f"{b - a:+.3f}"
    return _figure(a), _figure(b), difference


def _figures(figures: LayerFigures) -> tuple[str, ...]:
    return tuple(map(_figure, _values(figures)))


def _most_chosen(counts: ExpertCounts, figures: LayerFigures) -> tuple[str, str]:
    row = counts.of_layer(figures.layer)
    total = int(row.sum())
    return (MISSING_FIGURE, MISSING_FIGURE) if not total else (str(int(row.argmax())), f"{row.max() / total:.1%}")


def _figure(value: float | None) -> str:
    return MISSING_FIGURE if value is None else f"{value:.3f}"
