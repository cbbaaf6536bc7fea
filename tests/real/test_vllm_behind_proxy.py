"""A real vLLM behind a gateway of the kind that is met in the wild gives the figures that it gives directly."""

from pathlib import Path
from typing import Any

import pytest

from tests.real.command import Loadgen
from tests.real.point import ENDPOINTS, OUTPUT_TOKENS, REQUESTS, counts, measured, shown
from tests.real.reverse_proxy import reverse_proxy
from tests.real.vllm_server import RealServer

pytestmark = pytest.mark.vllm

ATTEMPTS = 3  # other work on this host may slow down every request of one run


@pytest.fixture(scope="module", params=ENDPOINTS)
def direct(
    request: pytest.FixtureRequest, real_server: RealServer, loadgen: Loadgen, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, dict[str, Any]]:
    """An endpoint, and the document of a run on it without a gateway."""
    folder = tmp_path_factory.mktemp("direct")
    return request.param, measured(loadgen, folder, real_server.url, real_server.model, request.param)


@pytest.mark.parametrize("content_type", ["text/event-stream", "text/plain", None])
def test_a_gateway_changes_no_count(
    loadgen: Loadgen,
    real_server: RealServer,
    tmp_path: Path,
    direct: tuple[str, dict[str, Any]],
    content_type: str | None,
) -> None:
    endpoint, without = direct
    with reverse_proxy([real_server.url], content_type) as url:
        for _ in range(ATTEMPTS):
            through = measured(loadgen, tmp_path, url, real_server.model, endpoint)
            assert counts(through) == counts(without)
            assert through["outcomes"]["ok"] == REQUESTS
            assert through["tokens"]["output"] == REQUESTS * OUTPUT_TOKENS
            assert "model_not_listed" in {finding["code"] for finding in through["verdict"]["findings"]}
            # The least: other work on this host makes a part of the requests slow.
            is_near = [through[figure]["min"] < 3 * without[figure]["p50"] for figure in ("tpot_s", "ttft_s")]
            if all(is_near):
                break
    assert all(is_near), (shown(without), shown(through))
