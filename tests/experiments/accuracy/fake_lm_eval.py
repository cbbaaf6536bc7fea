"""A program in the place of lm-eval: it notes how it was called, and ends as it is told."""

import json
import sys
from pathlib import Path

SCRIPT = """#!{python}
import json, os, subprocess, sys, time
from pathlib import Path

arguments = sys.argv[1:]
folder = Path({folder!r})
value = lambda flag: arguments[arguments.index(flag) + 1]
tasks = value("--tasks").split(",")
files = {{path.name: path.read_text() for path in Path.cwd().iterdir() if path.is_file()}}
names = ("OPENAI_API_KEY", "HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "NO_PROXY")
called = {{"arguments": arguments, "files": files, "cwd": os.getcwd(), "pid": os.getpid(),
          "environment": {{name: os.environ.get(name) for name in names}}}}
(folder / "called.json").write_text(json.dumps(called))
does = (folder / "does").read_text()
if does == "hangs":
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    (folder / "child").write_text(str(child.pid))
    time.sleep(60)
if does.startswith("fails "):
    print(does.removeprefix("fails "), file=sys.stderr)
    sys.exit(1)
sys.stderr.write("Requesting API:  50%|#####     | 3/6 [00:00<00:00]\\r")
sys.stderr.flush()
time.sleep(0.3)
results = {{task: {{"alias": task, "exact_match,stripped": 0.75, "exact_match_stderr,stripped": 0.25}} for task in tasks}}
out = Path(value("--output_path")) / "model"
out.mkdir(parents=True)
document = {{"results": results, "n-shot": {{task: 0 for task in tasks}}, "lm_eval_version": "0.4.13",
            "n-samples": {{task: {{"original": 4, "effective": 4}} for task in tasks}}, "pretty_env_info": "skipped"}}
(out / "results_2026-11-30.json").write_text(json.dumps(document))
"""


class FakeLmEval:
    """The program, and what it noted."""

    def __init__(self, folder: Path, does: str = "ok") -> None:
        self.folder = folder
        self.program = folder / "lm_eval"
        self.program.write_text(SCRIPT.format(python=sys.executable, folder=str(folder)))
        self.program.chmod(0o755)
        (folder / "does").write_text(does)

    @property
    def called(self) -> dict[str, object]:
        """How it was called."""
        found: dict[str, object] = json.loads((self.folder / "called.json").read_text())
        return found

    @property
    def arguments(self) -> list[str]:
        """Its arguments."""
        found = self.called["arguments"]
        assert isinstance(found, list)
        return found

    def value(self, flag: str) -> str:
        """What it was given for a flag."""
        return self.arguments[self.arguments.index(flag) + 1]
