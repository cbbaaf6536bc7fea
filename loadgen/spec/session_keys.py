"""The keys of a sweep that make its requests conversations. Imports `load`, `inputs`, `errors` and its neighbours."""

from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, Field

from loadgen.errors import UsageError
from loadgen.inputs.origin import Origin
from loadgen.load.content import Sessions
from loadgen.spec.workload_keys import Whole

if TYPE_CHECKING:
    from loadgen.spec.sweep_spec import SweepSpec

_FEWEST_REQUESTS = 32
_SESSIONS_A_CALLER = 4  # of which the first and the last lie outside of a steady state


class SessionKeys(BaseModel):
    """Conversations, as flags and files say it."""

    turns: Whole | None = None
    think_time_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None

    @property
    def sessions(self) -> Sessions | None:
        """The same for a run; None where each request stands by itself."""
        return None if self.turns in (None, 1) else Sessions(self.turns, self.think_time_s or 0.0)


def requests_of_sessions(sessions: Sessions, concurrency: int) -> int:
    """Requests of a run by default: whole conversations, at least 32 requests and four conversations a caller."""
    return sessions.turns * max(-(-_FEWEST_REQUESTS // sessions.turns), _SESSIONS_A_CALLER * concurrency)


def check_sessions(spec: "SweepSpec", origin: Origin) -> None:
    """Combinations that no single value shows to be wrong. Raises UsageError."""
    name, sessions = origin.name, spec.sessions
    if sessions is None:
        if spec.think_time_s is not None:
            raise UsageError(f"{name('think_time_s')} needs --turns of 2 or more, between which a user thinks")
        return
    for load in ("rate", "wave", "trace"):
        if getattr(spec, load) is not None:
            raise UsageError(
                f"{name('turns')} does not go with {name(load)}: a turn follows the answer before it, so that conversations "
                "need callers; give --concurrency"
            )
    if spec.endpoint != "chat":
        raise UsageError(f"{name('turns')} needs --endpoint chat, since a conversation is a list of messages")
    if spec.choices > 1:
        raise UsageError(f"{name('turns')} does not go with {name('choices')}: a conversation goes on from one answer")
    if spec.dataset is not None:
        raise UsageError(f"{name('turns')} does not go with {name('dataset')}, each of whose lines is asked by itself")
    if spec.tokens_per_minute is not None:
        raise UsageError(
            f"{name('tokens_per_minute')} does not go with {name('turns')}, of whose later prompts only the server can tell "
            "how many tokens they have; give --requests-per-minute"
        )
    if spec.requests is None:
        return
    left_over = spec.requests % sessions.turns
    if left_over:
        fewer = spec.requests - left_over
        sizes = " or ".join(str(size) for size in (fewer, fewer + sessions.turns) if size)
        raise UsageError(
            f"{name('requests')} is {spec.requests}, which does not come out even in conversations of {sessions.turns} turns; "
            f"ask for {sizes}"
        )
    most = max(spec.concurrency or [0])
    if spec.requests < most * sessions.turns:
        raise UsageError(
            f"{name('requests')} is {spec.requests}, fewer than one conversation of {sessions.turns} turns for each of {most} "
            f"callers; ask for {most * sessions.turns} or more, or leave it out"
        )
