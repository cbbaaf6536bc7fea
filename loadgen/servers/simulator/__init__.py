"""An OpenAI-compatible server on an absolute schedule, in vLLM's dialect, which keeps the truth of what it sent.

It is the embedded default of demonstrations and the reference against which the client is judged. Runs no model.
To the outside: `SimulatorOptions`, `serve`, `SimulatorProcess`.
"""

from loadgen.servers.simulator.options import SimulatorOptions
from loadgen.servers.simulator.process import SimulatorProcess
from loadgen.servers.simulator.server import serve

__all__ = ["SimulatorOptions", "SimulatorProcess", "serve"]
