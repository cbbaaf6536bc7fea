"""A run in virtual time as the document that a sweep of it would have saved."""

from loadgen.analysis.document.run import RunDocument
from loadgen.experiments.run_document import SentRun, SweepContext, document_of
from loadgen.load.spec import RunSpec
from loadgen.servers.prediction.engine_of import Deployment
from loadgen.servers.prediction.predicted_run import predict_run
from tests.servers.endpoints import facts_of


def predicted_document(run: RunSpec, of: Deployment) -> RunDocument:
    """The document of `run` on this engine."""
    facts = facts_of(run.url, name="loadgen prediction", models=(run.model,), simulated=True)
    sent = SentRun("r", 0, "hash", predict_run(run, of, "2026-01-01T00:00:00+00:00"))
    return document_of(SweepContext("s", facts), run, sent).document
