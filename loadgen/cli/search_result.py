"""What a search came to, in sentences. Imports experiments and report; prints nothing."""

from loadgen.experiments.search import Search, Tried
from loadgen.experiments.spec import SweepSpec
from loadgen.report.labels import limits_label
from loadgen.report.readable import percent, plural


def sentences(search: Search, spec: SweepSpec) -> str:
    """The highest load that met the SLO, the first that did not, and how the search ended where that is not all."""
    met, not_met = search.highest_met, search.lowest_not_met
    terms = search.terms
    slo = f"the SLO ({limits_label(spec.slo)}, for {percent(terms.goodput_ratio)} of requests)"
    said = []
    if search.trouble is not None:
        said.append(f"The search ended undecided: {search.trouble}")
    elif search.ended == "max_runs":
        said.append(
            f"The search stopped after {plural(terms.max_runs, 'run')} (--max-runs), before the edge was certain."
        )
    elif search.ended == "interrupted":
        said.append("The search was cut short.")
    if met is not None:
        said.append(f"Highest load that met {slo}: {_of(met, spec)}.")
    if search.ended == "all_met":
        said.append("That is the highest load asked for: search higher to find one that does not.")
    if not_met is not None:
        told = not_met.answer(terms.goodput_ratio) == "missed"
        word = "First that did not" if told else "First of which it can't be told"
        said.append(f"{word}: {_of(not_met, spec)}." if met else f"{word} meet {slo}: {_of(not_met, spec)}.")
    if search.ended == "none_met":
        said.append("That is the lowest load asked for: search lower, or allow more.")
    return " ".join(said)


def _of(tried: Tried, spec: SweepSpec) -> str:
    load = f"concurrency {tried.load:g}" if spec.concurrency else f"{tried.load:g} requests/s"
    figures = f"{percent(sum(tried.ratios) / len(tried.ratios))} of requests within it"
    low, high = tried.interval or (0.0, 0.0)
    if low < high:
        figures += f", 95 % interval {percent(low)} to {percent(high)}"
    failed = ", the server failed too many" if tried.overloaded else ""
    return f"{load} ({figures}, {plural(len(tried.ratios), 'run')}{failed})"
