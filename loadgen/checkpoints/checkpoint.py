"""A checkpoint: the folder that an engine serves a model from, with its configuration, its shards and all other files."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pydantic import BaseModel, TypeAdapter, ValidationError

from loadgen.checkpoints.shard import ShardFile, Tensor, read_shard
from loadgen.errors import UsageError

CONFIGURATION = "config.json"
INDEX = "model.safetensors.index.json"
_SINGLE = "model.safetensors"
_WEIGHTS = (".safetensors", ".index.json", ".bin", ".pt", ".pth", ".gguf", ".h5", ".msgpack", ".onnx", ".part")
_OF_OTHER_FORMATS = ("params.json", "consolidated", "original")  # Mistral's and Meta's own weights of the same model
_CARD = "README.md"


class _Index(BaseModel):
    weight_map: dict[str, str]


_CONFIG = TypeAdapter(dict[str, object])


@dataclass(frozen=True)
class Checkpoint:
    """`config` is the content of config.json. `is_indexed`: whether an index says which shard has which tensor."""

    folder: Path
    config: Mapping[str, object]
    shards: tuple[ShardFile, ...]
    is_indexed: bool

    @property
    def name(self) -> str:
        """The folder's name; in the cache of the Hugging Face hub, whose folders are named by commit, the repository's."""
        folder = self.folder.resolve()
        if folder.parent.name == "snapshots" and folder.parent.parent.name.startswith("models--"):
            return folder.parent.parent.name.rsplit("--", 1)[1]
        name = self.folder.absolute().name
        return folder.name if name in ("", "..") else name

    @cached_property
    def tensors(self) -> Mapping[str, Tensor]:
        return {tensor.name: tensor for shard in self.shards for tensor in shard.tensors}

    @property
    def weight_bytes(self) -> int:
        return sum(tensor.size_bytes for tensor in self.tensors.values())

    def other_files(self) -> Iterator[Path]:
        """The files that are neither weights nor configuration nor card, as paths below the folder."""
        for path in sorted(self.folder.rglob("*")):
            inner = path.relative_to(self.folder)
            hidden = any(part.startswith(".") or part.startswith(_OF_OTHER_FORMATS) for part in inner.parts)
            if hidden or path.name.endswith(_WEIGHTS) or str(inner) in (CONFIGURATION, _CARD) or not path.is_file():
                continue
            yield inner


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read the configuration and the headers of all shards. Raises UsageError for a folder that is no whole checkpoint."""
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}; name the local folder of a checkpoint")
    try:
        config = _CONFIG.validate_json((folder / CONFIGURATION).read_bytes())
    except OSError as error:
        raise UsageError(f"{folder} has no {CONFIGURATION} that can be read: {error.strerror}") from None
    except ValidationError:
        raise UsageError(f"{folder / CONFIGURATION} is not a JSON object") from None
    index = _index(folder)
    names = sorted(set(index.values())) if index is not None else _unlisted(folder)
    shards = tuple(read_shard(_existing(folder, name)) for name in names)
    found = Checkpoint(folder, config, shards, is_indexed=index is not None)
    _check_places(found, index or {})
    return found


def _index(folder: Path) -> dict[str, str] | None:
    path = folder / INDEX
    try:
        return _Index.model_validate_json(path.read_bytes()).weight_map
    except FileNotFoundError:
        return None
    except (OSError, ValidationError):
        raise UsageError(f"{path} cannot be read as an index of tensors; download it again") from None


def _unlisted(folder: Path) -> list[str]:
    if (folder / _SINGLE).exists():
        return [_SINGLE]
    found = [path.name for path in sorted(folder.glob("*.safetensors")) if not path.name.startswith("consolidated")]
    if not found:
        raise UsageError(f"{folder} has no safetensors; only checkpoints in that format can be pruned")
    return found


def _existing(folder: Path, name: str) -> Path:
    if Path(name).name != name:
        raise UsageError(f"{folder / INDEX} names the shard {name}, which is no file of its folder")
    if not (folder / name).is_file():
        raise UsageError(f"{folder} lacks the shard {name}, which {INDEX} names; download it again")
    return folder / name


def _check_places(checkpoint: Checkpoint, index: Mapping[str, str]) -> None:
    """Refuse a tensor that is twice there, or not in the shard where the index has it."""
    places: dict[str, str] = {}
    for shard in checkpoint.shards:
        for tensor in shard.tensors:
            if tensor.name in places:
                raise UsageError(
                    f"{tensor.name} is in {places[tensor.name]} and in {shard.path.name}; remove one of them"
                )
            places[tensor.name] = shard.path.name
    for name, shard_name in index.items():
        if places.get(name) != shard_name:
            raise UsageError(
                f"{checkpoint.folder / shard_name} lacks {name}, which {INDEX} has there; download it again"
            )


def index_of(shards: Mapping[str, tuple[str, int]]) -> str:
    """Return the index's text for tensors by name, each with the name of its shard and its bytes."""
    total = sum(size for _, size in shards.values())
    places = {name: shard for name, (shard, _) in sorted(shards.items())}
    return json.dumps({"metadata": {"total_size": total}, "weight_map": places}, indent=2) + "\n"
