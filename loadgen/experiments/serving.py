"""The server of a sweep: at a URL, running already, or started for the sweep and stopped with it.

A server that a sweep started never outlives it: its supervisor stops it even when this process is killed.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from loadgen.errors import UsageError
from loadgen.experiments.events import OnEvent, ServerEnding, ServerReady, ServerStarting
from loadgen.servers.launcher.running import RunningServer, running_server, status_of
from loadgen.servers.launcher.start import start
from loadgen.servers.launcher.state import Ended, read_state, state_folder
from loadgen.servers.launcher.stop import stop
from loadgen.servers.launcher.supervised import Supervised
from loadgen.servers.launcher.variant import Variant
from loadgen.servers.simulator import SimulatorOptions, SimulatorProcess
from loadgen.spec.sweep_spec import SweepSpec

_NOTICED_WITHIN_S = 3.0  # a supervisor notes the death of its server at once, and then clears up what is left of it
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Serving:
    """The variant of a server that a sweep runs on. `takes_running`: a running server of this variant is measured as it is."""

    variant: Variant
    takes_running: bool = False

    @contextmanager
    def server(self, on_event: OnEvent) -> Iterator[RunningServer]:
        """Yield the server when it answers, and stop it after the block if it was started here.

        Raises StartFailure, and UsageError while another server is running.
        """
        running = running_server()
        if running is not None and self.takes_running and self.variant.is_of(running):
            yield running
            return
        name = self.variant.label
        if self.variant.has_secrets:
            raise UsageError(
                f"{self.variant.name} was started with a key or token, which is not on record: start it again with `loadgen serve up`"
            )
        _clear_away(self.variant)
        launch = self.variant.launch()
        started = start(launch, say=lambda stage: on_event(ServerStarting(name, stage)), keeps_lifeline=True)
        on_event(ServerReady(name, started.server, started.was_running))
        try:
            yield started.server
        finally:
            if started.supervised is not None:
                on_event(ServerEnding(name))
                _end(started.supervised)
            elif not started.was_running:  # of another origin, which was recorded as the running one
                stop()


@contextmanager
def server_of(
    spec: SweepSpec, serving: Serving | None, on_event: OnEvent
) -> Iterator[tuple[str, RunningServer | None]]:
    """Yield the URL to measure, and the server if loadgen started it. The embedded simulator ends with the block.

    Raises StartFailure, and UsageError while another server is running.
    """
    if serving is not None:
        with serving.server(on_event) as launched:
            yield launched.url, launched
    elif spec.is_simulated:
        with SimulatorProcess(_simulated(spec.model)) as simulator:
            yield simulator.url, None
    else:
        yield spec.url, None


def _end(supervised: Supervised) -> None:
    """Stop the server and wait for it; an interrupt meanwhile is raised after that."""
    try:
        supervised.end_and_wait()
    except KeyboardInterrupt:
        supervised.end_and_wait()
        raise


def death_of(server: RunningServer) -> Ended | None:
    """Return how a server that does not answer any more ended; None if its supervisor did not see it end."""
    deadline_s = time.monotonic() + _NOTICED_WITHIN_S
    while True:
        state = read_state(state_folder())
        if state is None or state.started_at != server.started_at:
            return None
        if state.ended is not None or time.monotonic() > deadline_s:
            return state.ended
        time.sleep(_POLL_S)


def _clear_away(variant: Variant) -> None:
    """Remove what is left of a server of this profile that died."""
    state = read_state(state_folder())
    if state is not None and state.profile == variant.name and status_of(state) == "broken":
        stop()


def _simulated(model: str) -> SimulatorOptions:
    """A prefill that grows with the prompt and steps that grow with the batch, so that throughput saturates as on a real server."""
    return SimulatorOptions(
        model=model,
        ttft_s=0.030,
        gap_s=0.008,
        ttft_per_prompt_token_s=0.0001,
        ttft_per_running_s=0.001,
        gap_per_running_s=0.00025,
        jitter_ratio=0.1,
    )
