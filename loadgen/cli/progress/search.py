"""How the progress of a search names its runs: which load they try, whether it is a repeat, and whether it met the SLO."""

from rich.text import Text

from loadgen.analysis.document.run import RunDocument
from loadgen.experiments.search import met_by
from loadgen.report.format import percent


class Probes:
    """The loads that a search has tried so far. `needed_ratio` of a run's requests must meet the SLO."""

    def __init__(self, needed_ratio: float) -> None:
        self._needed_ratio = needed_ratio
        self._positions: dict[str, list[int]] = {}  # of the runs of each load, by its label

    def begun(self, position: int, load_label: str) -> str:
        """`rate 24/s`, of a load that was tried before `rate 24/s again (run 2 of it)`."""
        positions = self._positions.setdefault(load_label, [])
        if position not in positions:
            positions.append(position)
        return load_label if len(positions) == 1 else f"{load_label} again (run {len(positions)} of it)"

    def judged(self, document: RunDocument) -> Text:
        """` · met (100 %, need 99 %)`, and that it was a repeat."""
        met = met_by(document, self._needed_ratio)
        ratio = document["goodput_ratio"]
        shares = f"{percent(ratio)}, " if ratio is not None else ""
        word, style = {True: ("met", "green"), False: ("missed", "red"), None: ("undecided", "yellow")}[met]
        runs = len(self._positions.get(document["spec"]["load_label"], ()))
        text = Text(" · ", style="dim").append(f"SLO {word}", style=style)
        text.append(f" ({shares}need {percent(self._needed_ratio)})", style="dim")
        return text.append(f" · run {runs} of this load" if runs > 1 else "", style="dim")
