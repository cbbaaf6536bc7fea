"""Two real vLLMs of one model: both behind one address, and one of them killed in the middle of a sweep."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from loadgen.errors import ExitCode
from loadgen.store.repository import Store
from tests.real.command import Command, Loadgen
from tests.real.left_behind import database, finished_runs, wait_until
from tests.real.point import ENDPOINTS, counts, measured
from tests.real.reverse_proxy import reverse_proxy
from tests.real.vllm_server import MODELS, RealServer, serving

pytestmark = pytest.mark.vllm

SWEEP_REQUESTS = 8


@pytest.fixture(scope="module")
def second_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """Another server of the same model, which the last test here kills."""
    with serving(MODELS[0], tmp_path_factory.mktemp("vllm") / "second") as server:
        yield server


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_two_servers_behind_one_address_are_measured(
    loadgen: Loadgen, real_server: RealServer, second_server: RealServer, tmp_path: Path, endpoint: str
) -> None:
    direct = measured(loadgen, tmp_path, real_server.url, real_server.model, endpoint)
    for content_type in ("text/event-stream", None):
        with reverse_proxy([real_server.url, second_server.url], content_type) as url:
            through = measured(loadgen, tmp_path, url, real_server.model, endpoint)
        assert counts(through) == counts(direct)


def test_what_was_measured_before_the_server_died_is_kept(
    second_server: RealServer, command: Command, tmp_path: Path
) -> None:
    sweep = command(
        *("sweep", "--url", second_server.url, "--model", second_server.model, "--concurrency", "2"),
        *("--input-tokens", "32", "--output-tokens", "128", "--requests", str(SWEEP_REQUESTS), "--repeats", "40"),
        *("--warmup-requests", "1"),
    )
    wait_until(lambda: finished_runs(database(tmp_path)) >= 2, sweep)
    second_server.kill()
    _, messages = sweep.communicate(timeout=60)

    assert sweep.returncode == ExitCode.SERVER_FAILED, messages
    assert "Traceback" not in messages
    with Store.open(database(tmp_path), read_only=True) as store:
        (row,) = store.sweeps()
        runs = store.runs(row.sweep_id)
        assert row.status == "failed"
        assert row.runs < row.planned_runs
        assert [run["outcomes"]["ok"] for run in runs[:2]] == [SWEEP_REQUESTS, SWEEP_REQUESTS]
        assert [len(store.records(run["run_id"])) for run in runs[:2]] == [SWEEP_REQUESTS, SWEEP_REQUESTS]
