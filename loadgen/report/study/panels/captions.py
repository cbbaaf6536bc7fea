"""How to read the charts of a panel, in words: what is better, bars, doubtful marks, the roofline bound, hidden lines."""

from collections import Counter
from collections.abc import Mapping, Sequence

from loadgen.report.charts.load_charts import BOUND_NOTE
from loadgen.report.format import shown_factor
from loadgen.report.study.panels.rows import PanelMark, PanelScales, bound_percent, ends_of, label, stand_ins
from loadgen.report.study.sources import on_one_gpu
from loadgen.study.accuracy import ACCURACY
from loadgen.study.claims import Value

_BAR_BOUND_NOTE = BOUND_NOTE.replace("Thin dotted lines are", "The tick on a bar or beyond its end is")
_LONE_BOUND_NOTE = BOUND_NOTE.replace("Thin dotted lines are", "The tick over or under a mark is")
_MIXED_BOUND_NOTE = BOUND_NOTE.replace(
    "Thin dotted lines are", "Thin dotted lines, and the tick over or under a mark without a line, are"
)
_UNSEEN_BOUND_NOTE = BOUND_NOTE.replace(
    "Thin dotted lines are the roofline bound", "Beyond the edge is the roofline bound"
)
_COVERED_RATIO = 0.006  # of the highest mark: two lines closer than so cover each other


def caption(scales: PanelScales, marks: Sequence[PanelMark]) -> str:
    """How to read the charts of one series."""
    words = [{"lower": "Lower is better.", "higher": "Higher is better.", None: ""}[scales.figure.better]]
    if stand_ins(marks):
        words.append(f"Measured on {stand_ins(marks)}.")
    one_gpu = on_one_gpu(mark.point for mark in marks)
    if one_gpu:
        words.append(f"On one GPU: {', '.join(one_gpu)}.")
    if scales.panel.kind == "heat map":
        return " ".join(filter(None, [*words, _doubtful_words("Those with ?", marks)]))
    if any(mark.pooled.low is not None for mark in marks):
        of_tasks, of_repeats = "by the tasks' standard errors", "of the mean, or the range of two repeats"
        which = "Thin lines on bars" if scales.is_bar else "Bars"
        words.append(f"{which} are the 95 % interval {of_tasks if scales.figure is ACCURACY else of_repeats}.")
        if any(_is_cut(scales, mark) for mark in marks):
            words.append("Longer ones are cut off at the edge; the values have them whole.")
    words.append(_doubtful_words(f"Hollow {'bars' if scales.is_bar else 'marks'}", marks))
    words.append(_bound_words(scales, marks))
    words.append(_coinciding_words(scales, marks))
    return " ".join(filter(None, words))


def _doubtful_words(which: str, marks: Sequence[PanelMark]) -> str:
    """How many marks are doubtful and why; empty if none is."""
    doubtful = [mark for mark in marks if mark.status == "doubtful"]
    if not doubtful:
        return ""
    reasons = Counter(reason for mark in doubtful for reason in mark.point.doubts)
    why = "; ".join(reason if count == len(doubtful) else f"{reason} ({count})" for reason, count in reasons.items())
    return f"{which} are doubtful ({len(doubtful)} of {len(marks):,}){': ' if why else ''}{why}."


def _bound_words(scales: PanelScales, marks: Sequence[PanelMark]) -> str:
    """What the bound is, and how much of it is reached; empty if it is not known."""
    reached = [share for mark in marks if (share := bound_percent(scales, mark)) is not None]
    if not reached:
        return ""
    bounded = [mark for mark in marks if mark.bound is not None]
    seen = [mark for mark in bounded if not _is_beyond(scales, mark)]
    words = [_bound_note(scales, bounded, seen)]
    if 0 < len(seen) < len(bounded):
        words.append(f"{'Ticks' if scales.is_bar else 'Parts'} beyond the edge are not drawn.")
    low, high = f"{min(reached):.0f}", f"{max(reached):.0f}"
    words.append(f"What is drawn reaches {low if low == high else f'{low} to {high}'} % of it.")
    return " ".join(words)


def _bound_note(scales: PanelScales, bounded: Sequence[PanelMark], seen: Sequence[PanelMark]) -> str:
    """What the bounds that are `seen` inside of the charts are drawn as."""
    if not seen:
        return _UNSEEN_BOUND_NOTE
    if scales.is_bar:
        return _BAR_BOUND_NOTE
    sizes = Counter((mark.facet, mark.colour, mark.rest) for mark in bounded)
    lone = {sizes[mark.facet, mark.colour, mark.rest] == 1 for mark in seen}
    return _MIXED_BOUND_NOTE if len(lone) > 1 else _LONE_BOUND_NOTE if lone == {True} else BOUND_NOTE


def _coinciding_words(scales: PanelScales, marks: Sequence[PanelMark]) -> str:
    """The lines that hide each other in every chart that has both; empty if none does."""
    if not scales.is_line:
        return ""
    lines: dict[Value | None, dict[Value | None, dict[tuple[Value, str], float]]] = {}
    for mark in marks:
        lines.setdefault(mark.colour, {}).setdefault(mark.facet, {})[mark.x, mark.rest] = mark.pooled.mean
    groups: list[list[Value]] = []
    for colour in (each for each in scales.colours if each in lines):
        of = [group for group in groups if all(_coincide(scales, lines[other], lines[colour]) for other in group)]
        if of:
            of[0].append(colour)
        else:
            groups.append([colour])
    words = [" with ".join(label(str(scales.panel.colour), each) for each in group) for group in groups if group[1:]]
    return f"Lines that cover each other: {'; '.join(words)}." if words else ""


def _coincide(
    scales: PanelScales,
    first: Mapping[Value | None, Mapping[tuple[Value, str], float]],
    second: Mapping[Value | None, Mapping[tuple[Value, str], float]],
) -> bool:
    both = [facet for facet in first if facet in second]
    return bool(both) and all(
        len(shared := first[facet].keys() & second[facet].keys()) > 1
        and all(
            abs(first[facet][at] - second[facet][at]) < _COVERED_RATIO * scales.by_facet[facet].highest for at in shared
        )
        for facet in both
    )


def _is_cut(scales: PanelScales, mark: PanelMark) -> bool:
    high = mark.pooled.high
    return high is not None and high * shown_factor(scales.figure.unit) > ends_of(scales, [mark])[2]


def _is_beyond(scales: PanelScales, mark: PanelMark) -> bool:
    if mark.bound is None:
        return False
    _, floor, ceiling = ends_of(scales, [mark])
    return not floor <= mark.bound * shown_factor(scales.figure.unit) <= ceiling
