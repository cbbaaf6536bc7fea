"""A worker extension of vLLM that counts the experts which every token chooses, on the device.

    vllm serve MODEL --worker-extension-cls loadgen_vllm.expert_tap.ExpertTap

with this folder on PYTHONPATH and `VLLM_SERVER_DEV_MODE=1`, which opens `/collective_rpc`; `loadgen_experts_start`, `…_read` and
`…_stop` are its methods. The routers write their choices into vLLM's own buffer of routed experts, by which
`--enable-return-routed-experts` works too. It is bound when the model is loaded, so that CUDA graphs hold the writes. After each
step its valid rows are counted: padding of graphs, warm-up and dummy steps are not. Nothing waits for the device until counts
are read.
"""

import functools
import json
from pathlib import Path
from typing import Any

import torch

from .messages import announce

_ATTRIBUTE = "loadgen_expert_capture"


class _Capture:
    """The buffer that one model's routers write to, and the sparse layers of this worker."""

    def __init__(self, model: torch.nn.Module, vllm_config: Any) -> None:
        """Bind the routers. Raises ValueError or RuntimeError for a model or a setting whose choices cannot be seen."""
        from vllm.model_executor.layers.fused_moe import routed_experts_capturer as capturing

        if getattr(vllm_config.parallel_config, "enable_dbo", False):
            raise ValueError("dual batch overlap (--enable-dbo) hides half of each step")
        if _returns_routed_experts(vllm_config):
            raise ValueError(
                "--enable-return-routed-experts takes the same hook: read the experts from replies instead"
            )
        routers = {int(runner.layer_id): runner.router for runner in _runners(model)}
        if not routers:
            raise ValueError("the model has no layers with experts here")
        tokens = vllm_config.scheduler_config.max_num_batched_tokens
        capturer = capturing.RoutedExpertsCapturer(max_num_batched_tokens=tokens, vllm_config=vllm_config)
        bind = getattr(capturing, "bind_routed_experts_capturer", None)
        if bind is not None:
            bind(model, capturer)
        else:  # earlier releases bind in the runner
            if any(runner.is_monolithic for runner in _runners(model)):
                raise ValueError("this release's kernel for these weights chooses experts itself, unseen")
            for layer, router in routers.items():
                router.set_capture_fn(functools.partial(capturer.capture, layer))
        redundant = getattr(getattr(vllm_config.parallel_config, "eplb_config", None), "num_redundant_experts", 0)
        self.layers = sorted(routers)
        self.experts = next(iter(routers.values())).global_num_experts - redundant
        self.rows: torch.Tensor = capturer.device_buffer  # tokens × layers × k


class _Counts:
    """Counts since `start`, on the device. Tensors are allocated once; counting a step waits for nothing."""

    def __init__(self, capture: _Capture) -> None:
        rows, layers, bins = capture.rows, len(capture.layers), capture.experts + 1  # the first for what is no expert
        self.capture, self.tokens = capture, 0
        self.steps_by_tokens: dict[int, int] = {}
        self.distinct = torch.zeros(len(rows) + 1, dtype=torch.int64, device=rows.device)  # by tokens of the step
        self._counts = torch.zeros(layers * bins, dtype=torch.int64, device=rows.device)
        self._of_step = torch.zeros_like(self._counts)
        self._one = torch.ones(1, dtype=torch.int64, device=rows.device)
        self._sparse = torch.tensor(capture.layers, device=rows.device)
        self._first_bins = torch.arange(layers, device=rows.device)[:, None] * bins + 1

    @property
    def counts(self) -> torch.Tensor:
        """Sparse layers × experts."""
        return self._by_expert(self._counts)

    def add(self, tokens: int) -> None:
        """Count the first `tokens` rows, those of one step."""
        rows = self.capture.rows[:tokens]  # tokens × layers × k
        if rows.shape[1] != len(self.capture.layers):
            rows = rows.index_select(1, self._sparse)
        bins = (rows.clamp(-1, self.capture.experts - 1) + self._first_bins).reshape(-1)
        if bins.device.type == "cpu":
            of_step = torch.bincount(bins, minlength=len(self._counts))
        else:  # where bincount would wait for the device
            of_step = self._of_step.zero_().scatter_add_(0, bins, self._one.expand(len(bins)))
        self._counts += of_step
        self.distinct[tokens] += self._by_expert(of_step).count_nonzero()
        self.tokens += tokens
        self.steps_by_tokens[tokens] = self.steps_by_tokens.get(tokens, 0) + 1

    def _by_expert(self, bins: torch.Tensor) -> torch.Tensor:
        return bins.view(len(self.capture.layers), -1)[:, 1:]


class ExpertTap:
    """What vLLM's worker inherits. Arguments and results are what JSON can hold."""

    _loadgen_counts: _Counts | None = None

    def loadgen_experts_start(self) -> dict[str, object]:
        """Count from 0 from the next step on; again, if it counts already."""
        runner = self.model_runner  # type: ignore[attr-defined]
        capture = getattr(runner.get_model(), _ATTRIBUTE, None)
        if not isinstance(capture, _Capture):
            return {"problem": str(capture or "the extension was loaded after the model")}
        self.loadgen_experts_stop()
        counts = _Counts(capture)
        execute = runner.execute_model

        @functools.wraps(execute)
        def counted(scheduler_output: Any, *args: Any, **kwargs: Any) -> Any:
            result = execute(scheduler_output, *args, **kwargs)
            tokens = scheduler_output.total_num_scheduled_tokens
            if tokens and not kwargs.get("dummy_run") and not any(each is True for each in args[1:2]):
                with torch.inference_mode():
                    counts.add(tokens)
            return result

        runner.execute_model = counted  # hides the method of the class until it is deleted
        self._loadgen_counts = counts
        return {"layers": len(capture.layers), "experts": capture.experts}

    def loadgen_experts_read(self, folder: str | None = None) -> dict[str, object]:
        """Return what was counted since the start; counting goes on.

        Of data-parallel engines, all of which are called, `/collective_rpc` returns the first one's results. Their workers write
        theirs into `folder` too, a file each.
        """
        counts = self._loadgen_counts
        if counts is None:
            return {"problem": "counting was not started"}
        parallel = self.vllm_config.parallel_config  # type: ignore[attr-defined]
        sizes = sorted(counts.steps_by_tokens)
        found: dict[str, object] = {
            "layers": counts.capture.layers,
            "experts_per_token": counts.capture.rows.shape[2],
            "tokens": counts.tokens,
            "counts": counts.counts.tolist(),
            "step_sizes": [
                {"tokens": tokens, "steps": counts.steps_by_tokens[tokens], "distinct_experts": distinct}
                for tokens, distinct in zip(sizes, counts.distinct[sizes].tolist(), strict=True)
            ],
            "tensor_rank": int(self.rank) % parallel.tensor_parallel_size,  # type: ignore[attr-defined]
            "data_size": parallel.data_parallel_size,
            "data_rank": parallel.data_parallel_rank,
        }
        if folder is not None and parallel.data_parallel_size > 1:
            path = Path(folder, f"{parallel.data_parallel_rank}-{self.rank}.json")  # type: ignore[attr-defined]
            try:
                path.write_text(json.dumps(found))
            except OSError as problem:
                return {"problem": f"a data-parallel worker cannot write its counts to {path}: {problem.strerror}"}
        return found

    def loadgen_experts_stop(self) -> dict[str, object]:
        """Stop counting and forget the counts."""
        if self._loadgen_counts is not None:
            del self.model_runner.execute_model  # type: ignore[attr-defined]
            self._loadgen_counts = None
        return {}


def _runners(model: torch.nn.Module) -> list[Any]:
    """The sparse layers of the model."""
    from vllm.model_executor.layers.fused_moe.layer import MoERunner

    return [each for each in model.modules() if isinstance(each, MoERunner)]


def _returns_routed_experts(vllm_config: Any) -> bool:
    places = (getattr(vllm_config, "aux_output_config", None), vllm_config.model_config)
    return any(getattr(place, "enable_return_routed_experts", False) for place in places)


def _bind_when_loaded() -> None:
    """Have every model loader bind the model that it returns: before anything is compiled or recorded as a graph."""
    from vllm.model_executor.model_loader.base_loader import BaseModelLoader

    load = BaseModelLoader.load_model

    @functools.wraps(load)
    def load_model(self: Any, vllm_config: Any, *args: Any, **kwargs: Any) -> torch.nn.Module:
        model: torch.nn.Module = load(self, vllm_config, *args, **kwargs)
        try:
            capture: object = _Capture(model, vllm_config)
        except Exception as problem:  # told when counting starts; the server is good for everything else
            capture = f"{problem}"
        object.__setattr__(model, _ATTRIBUTE, capture)
        return model

    BaseModelLoader.load_model = load_model
    announce("expert-counts")


_bind_when_loaded()
