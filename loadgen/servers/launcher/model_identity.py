"""Which weights were served: a commit of the hub, or a hash of what tells one checkpoint from another. Cheap: no weight is read."""

import hashlib
import os
from pathlib import Path
from typing import Any

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
_LONGEST_HEADER = 100 * 2**20  # bytes; the format's own limit


def model_identity(source: str | None, revision: str | None) -> dict[str, Any]:
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
        return file.read(min(length, _LONGEST_HEADER))
