"""A document needs what was sent and recorded, and no server: so records of any origin become a stored run."""

from loadgen.experiments.run_document import SentRun, SweepContext, document_of
from loadgen.load.shapes import ClosedLoop
from loadgen.servers.endpoint import EndpointFacts
from tests.analysis.conftest import make_lockstep, make_recording, make_spec

SIMULATED = EndpointFacts(
    base_url="http://predicted",
    api_url="http://predicted/v1",
    dialect="vllm",
    name="prediction",
    version=None,
    models=("m",),
    max_model_len=None,
    simulated=True,
    has_tokenize=False,
    has_metrics=False,
)


def test_records_without_a_server_become_a_document() -> None:
    run = make_spec(ClosedLoop(4), requests=32)
    sent = SentRun(run_id="r1", repeat=0, schedule_hash="0", recording=make_recording(make_lockstep(4, 8)))
    measured = document_of(SweepContext("s1", SIMULATED), run, sent)
    document = measured.document
    assert (document["run_id"], document["sweep_id"], document["simulated"]) == ("r1", "s1", True)
    assert (document["spec"]["hash"], document["outcomes"]["ok"]) == (run.hash, 32)
    assert document["ttft_s"] is not None
    assert document["client"].get("host_busy_ratio") is None
    assert [document.get(key) for key in ("server_account", "server_readings", "gpu", "cost")] == [None] * 4
    assert "figures_not_made" not in {finding["code"] for finding in document["verdict"]["findings"]}
    assert (measured.samples, measured.gpus, measured.failure) == ((), (), None)
