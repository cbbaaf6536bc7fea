"""What a started server is, for the record: the run document's `server.launch`.

Which weights it serves is told by a commit of the hub, or a hash of what tells one checkpoint from another. Cheap: no weight is read.
"""

import hashlib
import os
import re
from pathlib import Path

from loadgen.servers.endpoint import EndpointFacts
from loadgen.servers.gpu.watch import installed_gpus, visible_with
from loadgen.servers.launcher.launch import Launch
from loadgen.servers.launcher.log import log_lines
from loadgen.servers.redaction import shown_words

_COVERS = (
    "config.json, generation_config.json, tokenizer files, the index, and name, size and header of each *.safetensors"
)
_WHOLE = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "model.safetensors.index.json",
)
_MAX_HEADER_BYTES = 100 * 2**20  # bytes; the format's own limit

# vLLM's own account of its settings, under the names that the record gives them.
_ACCOUNTS = {
    "non_default_arguments": re.compile(r"^non-default args: (.+)"),
    "engine_config": re.compile(r"^Initializing a V\d LLM engine \(\S+\) with config: (.+)"),
    "kv_cache": re.compile(r"^(?:\w+ )?KV cache size: (.+)"),
    "model_memory": re.compile(r"^Model loading took (.+)"),
    "expert_kernel": re.compile(r"^Using (configuration from .+\.json|default MoE config)"),
}


def launch_record(
    launch: Launch, answered: EndpointFacts, log: str, started_at: str, startup_s: float
) -> dict[str, object]:
    """All that is known of a server that has answered; keys and tokens are hidden throughout."""
    return launch_facts(launch) | {
        "engine": answered.name,
        "engine_version": answered.version,
        "started_at": started_at,
        "startup_s": round(startup_s, 3) if launch.kind != "external" else None,
        "engine_says": {name: launch.without_secrets(told) for name, told in engine_says(log).items()},
    }


def launch_facts(launch: Launch) -> dict[str, object]:
    """What is known whether or not the server comes to answer. `arguments` and what else the profile resolves to come from `launch.resolved`."""
    is_local = launch.kind != "external"
    identity = model_identity(launch.model_source, launch.revision) if is_local else {}
    seen = visible_with(launch.environment, installed_gpus()) if is_local and launch.gpus else []
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
    for line in log_lines(log):
        for name, pattern in _ACCOUNTS.items():
            if name not in told and (match := pattern.search(line.text)):
                told[name] = match[1]
    return told


def model_identity(source: str | None, revision: str | None) -> dict[str, str]:
    """`model_revision`, the commit of a model from the hub's cache; or `model_hash` of a folder and what it covers.

    Empty where neither can be had: no such folder, or nothing of it in the cache.
    """
    if source is None:
        return {}
    folder = Path(source).expanduser()
    if folder.is_dir():
        return {"model_hash": _hash(folder), "model_hash_covers": _COVERS}
    commit = _cached_commit(source, revision or "main")
    return {} if commit is None else {"model_revision": commit}


def hub_cache() -> Path:
    """Where the Hugging Face libraries keep what they downloaded."""
    if chosen := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(chosen).expanduser()
    home = os.environ.get("HF_HOME")
    return (Path(home).expanduser() if home else Path.home() / ".cache" / "huggingface") / "hub"


def _cached_commit(model: str, revision: str) -> str | None:
    """What a branch or tag of a model stood for when it was last downloaded; a commit stands for itself."""
    folder = hub_cache() / f"models--{model.replace('/', '--')}"
    if (folder / "snapshots" / revision).is_dir():
        return revision
    try:
        return (folder / "refs" / revision).read_text().strip() or None
    except OSError:
        return None


def _hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for name in _WHOLE:
        path = folder / name
        if path.is_file():
            digest.update(f"\0{name}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    for path in sorted(folder.glob("*.safetensors")):
        digest.update(f"\0{path.name}\0{path.stat().st_size}\0".encode())
        digest.update(_header(path))
    return f"sha256:{digest.hexdigest()}"


def _header(path: Path) -> bytes:
    """The JSON at the head of a safetensors file: names, types, shapes and places of its tensors."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return file.read(min(length, _MAX_HEADER_BYTES))
