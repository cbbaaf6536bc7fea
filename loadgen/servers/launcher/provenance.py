"""What a started server is, for the record: the run document's `server.launch`."""

import re
from typing import Any

from loadgen.servers.endpoint import EndpointFacts
from loadgen.servers.hidden import shown_words
from loadgen.servers.launcher.gpus import gpus, seen_by
from loadgen.servers.launcher.launch import Launch
from loadgen.servers.launcher.log_lines import lines
from loadgen.servers.launcher.model_identity import model_identity

# vLLM's own account of its settings, under the names that the record gives them.
_ACCOUNTS = {
    "non_default_arguments": re.compile(r"^non-default args: (.+)"),
    "engine_config": re.compile(r"^Initializing a V\d LLM engine \(\S+\) with config: (.+)"),
    "kv_cache": re.compile(r"^(?:\w+ )?KV cache size: (.+)"),
    "model_memory": re.compile(r"^Model loading took (.+)"),
}


def launch_record(
    launch: Launch, answered: EndpointFacts, log: str, started_at: str, startup_s: float
) -> dict[str, Any]:
    """All that is known of a server that has answered; keys and tokens are hidden throughout."""
    return launch_facts(launch) | {
        "engine": answered.name,
        "engine_version": answered.version,
        "started_at": started_at,
        "startup_s": round(startup_s, 3) if launch.kind != "external" else None,
        "engine_says": {name: launch.without_secrets(told) for name, told in engine_says(log).items()},
    }


def launch_facts(launch: Launch) -> dict[str, Any]:
    """What is known whether or not the server comes to answer. `arguments` and what else the profile resolves to come from `launch.resolved`."""
    is_local = launch.kind != "external"
    identity = model_identity(launch.model_source, launch.revision) if is_local else {}
    seen = seen_by(launch.environment, gpus()) if is_local and launch.gpus else []
    return {
        **launch.resolved,
        "kind": launch.kind,
        "argv": [launch.without_secrets(word) for word in shown_words(launch.argv)],
        "environment": launch.shown_environment,
        "gpus": [{"name": gpu.name, "memory_bytes": gpu.memory_bytes, "driver": gpu.driver} for gpu in seen],
        "model_source": launch.model_source,
        **identity,
        "weights": launch.weights if is_local else None,
        "endpoint": launch.endpoint,
        "api_key_env": launch.api_key_env,
    }


def engine_says(log: str) -> dict[str, str]:
    """Settings and sizes that the engine told in its log, in its own words."""
    told: dict[str, str] = {}
    for line in lines(log):
        for name, pattern in _ACCOUNTS.items():
            if name not in told and (match := pattern.search(line.text)):
                told[name] = match[1]
    return told
