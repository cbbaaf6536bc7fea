"""The same server in a container: the `vllm` service of compose.yaml, with a profile's command line.

`docker compose up` stays in the foreground under our supervisor, so that its output is the server's log, its death the server's
death, and a start that is broken off leaves nothing: when it has ended, `docker compose rm` takes the container away, which is
not our process and would stay.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import loadgen
from loadgen.errors import UsageError
from loadgen.servers.launcher.launch import Launch
from loadgen.servers.launcher.state import state_folder

SERVICE = "vllm"
PORT_INSIDE = 8000
TAG = "v0.32.0"
"""Of the image, where VLLM_TAG names no other; the default of compose.yaml as well."""
TAG_VARIABLE, PORT_VARIABLE = "VLLM_TAG", "LOADGEN_VLLM_PORT"


def release() -> str:
    """The release of vLLM in the image, by its tag."""
    return os.environ.get(TAG_VARIABLE, TAG).removeprefix("v")


def in_container(launch: Launch, words: Sequence[str], environment: dict[str, str], port: int) -> Launch:
    """The launch in a container. `words` are those of `vllm serve MODEL …`, to listen on every address and `PORT_INSIDE`.

    `environment` is the container's own. Raises UsageError where there is no compose.yaml.
    """
    override = state_folder() / f"compose-{launch.profile_name}.json"
    command = ("docker", "compose", "-f", str(compose_file()), "-f", str(override))
    return replace(
        launch,
        argv=(*command, "up", "--no-deps", "--no-color", "--no-log-prefix", "--exit-code-from", SERVICE, SERVICE),
        cleanup=(*command, "rm", "--stop", "--force", SERVICE),
        files={str(override): json.dumps(_override(words, environment), indent=1)},
        environment={PORT_VARIABLE: str(port), TAG_VARIABLE: os.environ.get(TAG_VARIABLE, TAG)},
    )


def compose_file() -> Path:
    """The working directory's compose.yaml, else the one that came with loadgen."""
    package = Path(loadgen.__file__).resolve().parent
    for folder in (Path.cwd(), package, package.parent):
        if (folder / "compose.yaml").is_file():
            return folder / "compose.yaml"
    raise UsageError(
        f"there is no compose.yaml in {Path.cwd()}, which says how the container runs; take the project's own"
    )


def _override(words: Sequence[str], environment: dict[str, str]) -> dict[str, object]:
    """A second compose file, which is laid over the first. JSON is YAML, and a dollar would begin a variable."""
    _, _, model, *flags = words
    service: dict[str, object] = {
        "entrypoint": ["vllm", "serve"],
        "command": [_literal(word) for word in (_seen_inside(model), *flags)],
        "environment": {name: _literal(value) for name, value in environment.items()},
    }
    if _is_folder(model):
        path = _literal(_seen_inside(model))
        service["volumes"] = [{"type": "bind", "source": path, "target": path, "read_only": True}]
    return {"services": {SERVICE: service}}


def _is_folder(model: str) -> bool:
    return Path(model).expanduser().is_dir()


def _seen_inside(model: str) -> str:
    """A folder has the same absolute path in the container as here; an id stays an id."""
    return str(Path(model).expanduser().resolve()) if _is_folder(model) else model


def _literal(text: str) -> str:
    return text.replace("$", "$$")
