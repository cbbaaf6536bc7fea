"""What servers are known to be, without asking one."""

from typing import Any

from loadgen.servers.endpoint import EndpointFacts


def facts_of(url: str, **known: Any) -> EndpointFacts:
    """A vLLM at `url` of which nothing else is known than `known`."""
    unknown: dict[str, Any] = {
        "dialect": "vllm",
        "name": "server",
        "version": None,
        "models": (),
        "max_model_len": None,
        "simulated": False,
        "has_tokenize": False,
        "has_metrics": False,
    }
    return EndpointFacts(base_url=url, api_url=f"{url}/v1", **unknown | known)
