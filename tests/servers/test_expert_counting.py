"""Counts from vLLM's workers: ranks and stages put together, and what servers without the extension answer."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from loadgen.errors import ServerError, UsageError
from loadgen.moe.expert_counts import StepSize
from loadgen.servers.expert_counting import ExpertCounter, ExpertWatch
from tests.servers.http_server import QuietHandler, listening

Worker = dict[str, Any]


def worker(
    layers: list[int], counts: list[list[int]], *, rank: int = 0, steps: int = 1, copies: int = 1, copy: int = 0
) -> Worker:
    return {
        "layers": layers,
        "experts_per_token": 2,
        "tokens": sum(counts[0]) // 2,
        "counts": counts,
        "step_sizes": [{"tokens": 3, "steps": steps, "distinct_experts": 3 * len(layers)}],
        "tensor_rank": rank,
        "data_size": copies,
        "data_rank": copy,
    }


class Workers(QuietHandler):
    """Answers each method of the extension with what its class is told to."""

    answers: ClassVar[dict[str, tuple[int, Any]]] = {}
    asked: ClassVar[list[str]] = []
    written: ClassVar[list[Worker]] = []  # by the workers of data-parallel copies

    def do_POST(self) -> None:
        asked = self.read_json()
        method = asked["method"]
        self.asked.append(method)
        for number, each in enumerate(self.written if method == "loadgen_experts_read" else ()):
            Path(asked["kwargs"]["folder"], f"{number}.json").write_text(json.dumps(each))
        status, answer = self.answers.get(method, (200, {"results": [{}]}))
        self.respond(status if self.path == "/collective_rpc" else 404, answer)


@pytest.fixture
def url() -> Iterator[str]:
    Workers.answers.clear()
    Workers.asked.clear()
    Workers.written.clear()
    with listening(Workers) as address:
        yield address


def reported(*workers: Worker) -> None:
    Workers.answers["loadgen_experts_read"] = (200, {"results": list(workers)})


@pytest.mark.loopback
def test_tensor_parallel_workers_are_counted_once(url: str) -> None:
    counts = [[4, 1, 1], [2, 2, 2]]
    reported(worker([1, 3], counts), worker([1, 3], counts, rank=1))
    read = ExpertCounter(url).read("m")
    assert (read.layers, read.counts.tolist(), read.tokens) == ((1, 3), counts, 3)
    assert read.step_sizes == (StepSize(3, 1, 6),)
    assert (read.source, read.experts_per_token, read.model) == ("worker_extension", 2, "m")


@pytest.mark.loopback
def test_pipeline_stages_are_put_in_the_order_of_their_layers(url: str) -> None:
    reported(worker([2], [[4, 1, 1]]), worker([0, 1], [[2, 2, 2], [0, 3, 3]]))
    read = ExpertCounter(url).read("m")
    assert read.layers == (0, 1, 2)
    assert read.counts.tolist() == [[2, 2, 2], [0, 3, 3], [4, 1, 1]]
    assert read.step_sizes == (StepSize(3, 1, 9),)


@pytest.mark.loopback
def test_the_counts_of_data_parallel_copies_are_added(url: str) -> None:
    """Two copies of two pipeline stages. The first copy's workers are those that answer."""
    first = [worker([0], [[2, 2, 2]], copies=2), worker([1], [[0, 3, 3]], copies=2)]
    second = [worker([1], [[4, 4, 4]], copies=2, copy=1), worker([0], [[12, 0, 0]], copies=2, copy=1)]
    reported(*first)
    Workers.written[:] = [*second, *first]
    read = ExpertCounter(url).read("m")
    assert (read.layers, read.counts.tolist(), read.tokens) == ((0, 1), [[14, 2, 2], [4, 7, 7]], 3 + 6)
    assert read.step_sizes == (StepSize(3, 2, 12),)


@pytest.mark.loopback
def test_a_data_parallel_copy_that_is_missing_is_an_error(url: str) -> None:
    reported(worker([0], [[2, 2, 2]], copies=2))
    Workers.written[:] = [worker([0], [[2, 2, 2]], copies=2)]
    with pytest.raises(ServerError, match="1 of 2 data-parallel copies"):
        ExpertCounter(url).read("m")


@pytest.mark.loopback
@pytest.mark.parametrize(
    ("workers", "complaint"),
    [
        ([worker([0], [[2, 2, 2]]), worker([1], [[4, 4, 4]])], "different tokens"),
        ([worker([0], [[2, 2, 2]]), worker([1], [[2, 2, 2]], steps=2)], "different steps"),
        ([worker([0], [[2, 2, 2]]), worker([0], [[2, 2, 2]])], "counted by one worker"),
        ([worker([0], [[2, 2, 2]], copies=2)], "0 of 2 data-parallel copies wrote theirs"),
        ([{"layers": [0]}], "cannot be put together: "),
        (["True"], "cannot be put together: "),
    ],
)
def test_workers_that_do_not_fit_together_give_no_counts(url: str, workers: list[Any], complaint: str) -> None:
    reported(*workers)
    with pytest.raises(ServerError, match=complaint):
        ExpertCounter(url).read("m")


@pytest.mark.loopback
@pytest.mark.parametrize(
    ("status", "answer", "complaint"),
    [
        (404, {}, r"no /collective_rpc\): start it with"),
        (500, {"error": {"message": "has no attribute"}}, r"lacks loadgen's worker extension\): start it with"),
        (200, {"ok": True}, "is not vLLM's"),
        (
            200,
            {"results": [{"problem": "the model has no layers with experts here"}]},
            "cannot count experts: the model",
        ),
    ],
)
def test_a_server_that_cannot_count_is_told_in_one_sentence(url: str, status: int, answer: Any, complaint: str) -> None:
    Workers.answers["loadgen_experts_start"] = (status, answer)
    with pytest.raises(ServerError, match=complaint) as refused:
        ExpertCounter(url).check()
    assert "\n" not in str(refused.value)


def test_only_servers_of_this_host_are_asked() -> None:
    with pytest.raises(UsageError, match="on this host only"):
        ExpertCounter("http://192.0.2.7:8000")


def test_a_server_that_is_gone_is_named() -> None:
    with pytest.raises(ServerError, match=r"127\.0\.0\.1:1 does not count experts: connection refused"):
        ExpertCounter("http://127.0.0.1:1").check()


@pytest.mark.loopback
def test_a_run_is_counted_from_its_beginning_to_its_end(url: str) -> None:
    reported(worker([0], [[2, 2, 2]]))
    with ExpertWatch(ExpertCounter(url), "m") as watch:
        assert Workers.asked == ["loadgen_experts_start"]
    assert Workers.asked == ["loadgen_experts_start", "loadgen_experts_read", "loadgen_experts_stop"]
    assert watch.failure is None
    assert watch.counts is not None
    assert watch.counts.tokens == 3


@pytest.mark.loopback
@pytest.mark.parametrize("method", ["loadgen_experts_start", "loadgen_experts_read"])
def test_a_failure_to_count_never_costs_the_run(url: str, method: str) -> None:
    reported(worker([0], [[2, 2, 2]]))
    Workers.answers[method] = (500, {})
    with ExpertWatch(ExpertCounter(url), "m") as watch:
        pass
    assert watch.counts is None
    assert "HTTP 500" in (watch.failure or "")


def test_without_a_counter_nothing_is_asked() -> None:
    with ExpertWatch(None, "m") as watch:
        pass
    assert (watch.counts, watch.failure) == (None, None)
