"""`python -m loadgen.servers.simulator OPTIONS_JSON`: the child that `SimulatorProcess` starts.

Prints one line of JSON with its port when it listens, and ends when its standard input does: with its parent, that is,
however that ended.
"""

import json
import sys

from loadgen.errors import LoadgenError
from loadgen.servers.simulator.options import SimulatorOptions
from loadgen.servers.simulator.server import serve


def main() -> int:
    """The exit code."""

    def tell_port(port: int) -> None:
        sys.stdout.write(json.dumps({"port": port}) + "\n")
        sys.stdout.flush()

    try:
        serve(SimulatorOptions.from_json(sys.argv[1]), tell_port, lifeline_fd=sys.stdin.fileno())
    except LoadgenError as error:
        sys.stderr.write(f"{error}\n")
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
