"""THE table of figures: every figure of a run, whether made from records, of the server's counters and GPUs, or of a price.

To add one is to add a row here or to a table named here, beside the code that computes it. A figure that a run does not have is
None, never 0.
"""

from loadgen.analysis.client import CLIENT_FIGURES
from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.experts import EXPERT_FIGURES
from loadgen.analysis.figures.cost import COST_FIGURES
from loadgen.analysis.figures.figure import Figure
from loadgen.analysis.figures.metrics import METRICS
from loadgen.analysis.server.account import ACCOUNT_FIGURES
from loadgen.analysis.server.gpu import GPU_FIGURES
from loadgen.analysis.server.served_gpus import gpu_count
from loadgen.analysis.utilisation import UTILISATION_FIGURES

TPOT = next(metric for metric in METRICS if metric.key == "tpot_s")


def _per_gpu(run: RunDocument, statistic: str) -> float | None:
    tokens_per_s, gpus = run.get("output_tokens_per_s"), gpu_count(run)
    return None if tokens_per_s is None or not gpus else tokens_per_s / gpus


def _per_user(run: RunDocument, statistic: str) -> float | None:
    tpot_s = TPOT.read(run, statistic)
    return 1 / tpot_s if tpot_s else None


PER_GPU = Figure(
    key="output_tokens_per_s_per_gpu",
    label="Output throughput per GPU",
    unit="tokens/s",
    better="higher",
    formula="output throughput/GPUs of the server",
    derive=_per_gpu,
)
PER_USER = Figure(
    key="output_tokens_per_s_per_user",
    label="Output speed per user",
    unit="tokens/s",
    kind="distribution",
    better="higher",
    formula="1/TPOT",
    derive=_per_user,
)

_TABLE = (
    *METRICS,
    PER_GPU,
    PER_USER,
    *UTILISATION_FIGURES,
    *EXPERT_FIGURES,
    *GPU_FIGURES,
    *COST_FIGURES,
    *ACCOUNT_FIGURES,
    *CLIENT_FIGURES,
)
FIGURES: dict[str, Figure] = {figure.key: figure for figure in _TABLE}
DRAWN: dict[str, Figure] = {key: figure for key, figure in FIGURES.items() if figure.is_drawn}
