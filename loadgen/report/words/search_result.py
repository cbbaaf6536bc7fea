"""What a search found, from the `search` of its sweep's document: in sentences, and as the first tile of a page."""

from loadgen.analysis.document.sweep import SearchDocument, SearchedLoad
from loadgen.report.format import number, percent, plural
from loadgen.report.points import limits_label
from loadgen.report.words.run_facts import Highlight


def search_sentences(search: SearchDocument) -> str:
    """The highest load that met the SLO, the lowest that did not, and how the search ended if that is not all."""
    met, not_met, terms = search["highest_met"], search["lowest_not_met"], search["terms"]
    slo = f"the SLO ({limits_label(search['slo'])}, for {percent(terms['goodput_ratio'])} of requests)"
    sentences = []
    match search["ended"]:
        case "undecided":
            sentences.append(f"The search ended undecided: {search['trouble']}")
        case "max_runs":
            runs = plural(terms["max_runs"], "run")
            sentences.append(f"The search stopped after {runs} (--max-runs), before the edge was certain.")
        case "interrupted":
            sentences.append("The search was cut short.")
        case "running":
            sentences.append("The search has not ended.")
    if met is not None:
        sentences.append(f"Highest load that met {slo}: {_tried(search, met)}.")
    if search["ended"] == "all_met":
        sentences.append("That is the highest load asked for: search higher to find one that does not.")
    if not_met is not None:
        described = _tried(search, not_met)
        if not_met["answer"] == "missed":
            sentences.append(f"Lowest load that missed {'it' if met else slo}: {described}.")
        else:
            sentences.append(f"Inconclusive {'' if met else f'for {slo} '}at {described}.")
    if search["ended"] == "none_met":
        sentences.append("That is the lowest load asked for: search lower, or allow more.")
    return " ".join(sentences)


def search_highlight(search: SearchDocument | None) -> tuple[Highlight, ...]:
    """The tile with the answer of a search; none for a sweep that is no search."""
    if search is None:
        return ()
    met, not_met = search["highest_met"], search["lowest_not_met"]
    words = [limits_label(search["slo"])]
    if met is not None:
        words.append(f"{percent(met['goodput_ratio'])} of requests within it")
    if not_met is not None:
        word = "missed" if not_met["answer"] == "missed" else "inconclusive"
        words.append(f"{word} at {number(not_met['load'])} ({percent(not_met['goodput_ratio'])})")
    if search["ended"] in ("running", "interrupted", "max_runs", "undecided"):
        words.append("the search did not finish" if search["ended"] != "running" else "the search has not ended")
    unit = "callers" if search["load"] == "concurrency" else "requests/s"
    value = "none" if met is None else number(met["load"])
    return (Highlight("Highest load within the SLO", value, unit, " · ".join(words)),)


def _tried(search: SearchDocument, tried: SearchedLoad) -> str:
    is_closed = search["load"] == "concurrency"
    load = f"concurrency {tried['load']:g}" if is_closed else f"{tried['load']:g} requests/s"
    figures = f"{percent(tried['goodput_ratio'])} of requests within it"
    low, high = tried["interval"] or (0.0, 0.0)
    if low < high:
        figures += f", 95 % interval {percent(low)} to {percent(high)}"
    failed = ", the server failed too many" if tried["overloaded"] else ""
    return f"{load} ({figures}, {plural(tried['runs'], 'run')}{failed})"
