"""A document needs what was sent and recorded, and no server: so records of any origin become a stored run."""

import numpy as np

from loadgen.analysis.document.run import RunDocument
from loadgen.experiments.run_document import SentRun, SweepContext, document_of
from loadgen.load.shapes import ClosedLoop
from loadgen.moe.expert_counts import ExpertCounts, StepSize
from loadgen.servers.expert_counting import ExpertCounter, ExpertWatch
from tests.analysis.conftest import make_lockstep, make_recording, make_spec
from tests.servers.endpoints import facts_of

SIMULATED = facts_of("http://predicted", name="prediction", models=("m",), simulated=True)


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


def test_counts_of_experts_stand_in_the_document() -> None:
    document = counted_document(COUNTS, None)
    assert document.get("experts") == COUNTS.to_json()
    assert document.get("experts_failure") is None


def test_a_server_that_reported_no_counts_is_a_note_and_the_run_is_kept() -> None:
    document = counted_document(None, "it is gone")
    assert document.get("experts") is None
    (note,) = [each for each in document["verdict"]["findings"] if each["code"] == "experts_not_counted"]
    assert note["message"] == "The experts of this run are unknown: it is gone."
    assert document["ttft_s"] is not None


COUNTS = ExpertCounts(
    model="m",
    source="worker_extension",
    experts_per_token=1,
    layers=(0,),
    counts=np.array([[3, 1]]),
    tokens=4,
    step_sizes=(StepSize(1, 4, 4),),
)


def counted_document(counts: ExpertCounts | None, failure: str | None) -> RunDocument:
    """The document of a run whose watch ended so."""
    counter = ExpertCounter("http://127.0.0.1:1")
    watch = ExpertWatch(counter, "m")
    watch.counts, watch.failure = counts, failure
    context = SweepContext("s1", SIMULATED, expert_counter=counter)
    recording = make_recording(make_lockstep(4, 8))
    sent = SentRun(run_id="r1", repeat=0, schedule_hash="0", recording=recording, experts=watch)
    return document_of(context, make_spec(ClosedLoop(4), requests=32), sent).document
