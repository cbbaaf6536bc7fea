"""The server's prefix cache emptied between runs, where the server lets us.

vLLM has POST /reset_prefix_cache only when it was started with VLLM_SERVER_DEV_MODE=1 (entrypoints/serve/dev/cache/api_router.py
in 0.32), and answers 404 otherwise. It says `{"success": false}` while running requests hold blocks.
"""

import time

import httpx2

from loadgen.engine.wire.route import DIRECT, Route
from loadgen.servers.endpoint import EndpointFacts, Headers, open_client

_TRIES, _PAUSE_S = 5, 0.1  # the blocks of an answer that has just ended are let go a moment after its last byte


def reset_prefix_cache(
    facts: EndpointFacts, headers: Headers = (), route: Route = DIRECT, timeout_s: float = 10.0
) -> bool | None:
    """Empty it now: True when the server says that it is empty, False when it would not be, None when that cannot be asked for."""
    if facts.dialect != "vllm":
        return None
    with open_client(headers, timeout_s, route) as client:
        for again in range(_TRIES):
            if again:
                time.sleep(_PAUSE_S)
            try:
                answer = client.post(f"{facts.base_url}/reset_prefix_cache")
            except httpx2.HTTPError:
                return None
            if answer.status_code != 200:
                return None
            try:
                success = answer.json()["success"]
            except (ValueError, KeyError, TypeError):
                return None  # something else lives at that path
            if success is True:
                return True
    return False
