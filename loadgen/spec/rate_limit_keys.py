"""The keys of a sweep that say what a provider lets its client send. Imports `load`, `inputs`, `errors` and its neighbours."""

from typing import TYPE_CHECKING

from pydantic import BaseModel

from loadgen.errors import UsageError
from loadgen.inputs.origin import Origin
from loadgen.load.spec import RunSpec, Wave
from loadgen.spec.size import longest
from loadgen.spec.workload_keys import Whole

if TYPE_CHECKING:
    from loadgen.spec.sweep_spec import SweepSpec


class RateLimitKeys(BaseModel):
    """Limits per minute, as flags and files say it."""

    requests_per_minute: Whole | None = None
    tokens_per_minute: Whole | None = None


def check_rate_limits(spec: "SweepSpec", origin: Origin) -> None:
    """Combinations that no single value shows to be wrong. Raises UsageError."""
    name = origin.name
    given = [key for key in RateLimitKeys.model_fields if getattr(spec, key) is not None]
    if given and spec.workers is not None and spec.workers > 1:
        raise UsageError(
            f"{name('workers')} is {spec.workers}, and {name(given[0])} can be kept by one measuring process alone; "
            "leave the workers out"
        )
    if spec.tokens_per_minute is not None:
        for key in ("dataset", "image"):
            if getattr(spec, key) is not None:
                raise UsageError(
                    f"{name('tokens_per_minute')} does not go with {name(key)}, of whose prompts only the server can tell "
                    "how many tokens they have; give --requests-per-minute"
                )


def check_fits_the_minute(run: RunSpec) -> None:
    """Whether a request of the run, or a whole wave of them, may go out at once at all. Raises UsageError."""
    together = run.shape.size if isinstance(run.shape, Wave) else 1
    what = run.load_label if together > 1 else "a request"
    if run.requests_per_minute is not None and together > run.requests_per_minute:
        raise UsageError(f"{what} is more than --requests-per-minute {run.requests_per_minute} lets go at once")
    prompt_tokens, answer_tokens = longest(run)
    tokens = together * (prompt_tokens + run.workload.choices * answer_tokens)
    if run.tokens_per_minute is not None and tokens > run.tokens_per_minute:
        raise UsageError(
            f"{what} of {tokens:,} tokens, prompt and answer together, is more than --tokens-per-minute {run.tokens_per_minute} "
            "lets go at once; ask for shorter ones"
        )
