"""A schedule made in pieces: the same, to the last bit, and its making takes the same memory however long it is."""

from dataclasses import replace

import numpy as np
import pytest

from loadgen.load import arrivals, bulk
from loadgen.load.arrivals import Ramp
from loadgen.load.body import RequestForm
from loadgen.load.schedule import build
from loadgen.load.shapes import ClosedLoop, OpenLoop
from loadgen.load.spec import RunSpec
from loadgen.load.workload import Sessions, SharedPrefix, Workload
from tests.memory import peak_bytes

CLOSED = RunSpec("http://127.0.0.1:1/v1", "m", ClosedLoop(4), input_tokens=6, output_tokens=7, requests=20)
SPREAD = Workload(range_ratio=0.5)


@pytest.mark.parametrize(
    "spec",
    [
        CLOSED,
        replace(CLOSED, workload=SPREAD),
        replace(CLOSED, workload=replace(SPREAD, prefix=SharedPrefix(2, 3))),
        replace(CLOSED, endpoint="chat", workload=replace(SPREAD, sessions=Sessions(4, 0.5))),
        replace(CLOSED, shape=OpenLoop(10.0)),
        replace(CLOSED, shape=OpenLoop(10.0, "gamma", 0.5)),
        replace(CLOSED, shape=OpenLoop(10.0, "constant", None, Ramp(20.0, 3.0))),
    ],
)
def test_pieces_of_a_schedule_are_the_whole(spec: RunSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = build(spec, 100, prompt_seed="x", form=RequestForm("vllm"))
    monkeypatch.setattr(bulk, "_ENTRIES_AT_ONCE", 7)
    monkeypatch.setattr(arrivals, "_ARRIVALS_AT_ONCE", 9)
    pieces = build(spec, 100, prompt_seed="x", form=RequestForm("vllm"))
    assert pieces.hash == whole.hash
    assert list(pieces.bodies) == list(whole.bodies)
    for name in ("prompt_tokens", "output_tokens", "offsets_ns", "think_ns"):
        one, other = getattr(pieces, name), getattr(whole, name)
        assert (one is None and other is None) or one.tolist() == other.tolist()


def test_arrivals_in_pieces_are_those_of_one_draw() -> None:
    shape, requests = OpenLoop(7.0), 10_000
    draw = np.random.default_rng(np.random.SeedSequence(5, spawn_key=(1,)))
    whole = np.rint(np.cumsum(draw.standard_exponential(requests)) / 7.0 * 1e9)
    assert shape.offsets_ns(requests, 5).tolist() == whole.tolist()
    assert shape.process.requests_within(1000.0, 5) == int(np.searchsorted(whole, 1e12))


@pytest.mark.parametrize("shape", [ClosedLoop(4), OpenLoop(10.0)])
def test_a_long_schedule_takes_no_more_memory_than_a_short_one(
    shape: ClosedLoop | OpenLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "_ENTRIES_AT_ONCE", 500)
    monkeypatch.setattr(arrivals, "_ARRIVALS_AT_ONCE", 500)
    spec = replace(CLOSED, shape=shape, input_tokens=1, workload=SPREAD)

    def bytes_for(requests: int) -> int:
        return peak_bytes(lambda: build(spec, requests, prompt_seed="x", form=RequestForm("vllm")).hash)

    bytes_for(1000)
    assert (bytes_for(8000) - bytes_for(1000)) / 7000 < 1
