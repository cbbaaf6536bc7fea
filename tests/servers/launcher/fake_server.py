"""A server that misbehaves as asked: `python fake_server.py serve MODEL --port N [--behaviour NAME…]`, other flags ignored.

dies            says an error as Python does, and ends with code 3
dies-after      answers, and ends with code 4 at the first request for /die
never-listens   lives, and answers nothing
refuses         answers every request for tokens with 404
broken          answers every request for tokens with 500
ignores-term    as it says
hidden-child    leaves a process in its session that has no environment and whose parent is gone, and tells its id
grandchild      leaves a process in a session of its own, whose parent is gone, and tells its id
"""

import json
import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

GRANDCHILD = """
import os, sys, time
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
print(f"grandchild {os.getpid()}", flush=True)
time.sleep(600)
"""
HIDDEN = """
import os, sys
if os.fork(): os._exit(0)
print(f"grandchild {os.getpid()}", flush=True)
os.execve(sys.executable, [sys.executable, "-c", "import time; time.sleep(600)"], {})
"""


def value_of(flag: str, default: str) -> str:
    return sys.argv[sys.argv.index(flag) + 1] if flag in sys.argv else default


MODEL = value_of("--served-model-name", sys.argv[2])
BEHAVIOUR = {sys.argv[at + 1] for at, word in enumerate(sys.argv) if word == "--behaviour"}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/die":
            os._exit(4)
        if self.path == "/v1/models":
            self.answer(200, {"data": [{"id": MODEL, "owned_by": "vllm", "max_model_len": 128}]})
        elif self.path == "/version":
            self.answer(200, {"version": "0.32.0"})
        else:
            self.answer(404, {})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if "refuses" in BEHAVIOUR:
            self.answer(404, {"error": {"message": "no such thing"}})
        elif "broken" in BEHAVIOUR:
            self.answer(500, {"error": {"message": "EngineCore encountered an issue"}})
        elif self.path.endswith("completions"):
            self.answer(200, {"choices": [{"text": "a"}]})
        else:
            self.answer(404, {})

    def answer(self, status: int, document: dict[str, object]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


def main() -> None:
    sys.stderr.write(f"INFO 11-26 17:00:00 [model_runner.py:68] Starting to load model {MODEL}...\n")
    if "ignores-term" in BEHAVIOUR:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "grandchild" in BEHAVIOUR:
        subprocess.run([sys.executable, "-c", GRANDCHILD], check=True)
    if "hidden-child" in BEHAVIOUR:
        subprocess.run([sys.executable, "-c", HIDDEN], check=True)
    if "dies" in BEHAVIOUR:
        sys.stderr.write("Traceback (most recent call last):\nValueError: the moon is in the wrong phase\n")
        sys.exit(3)
    if "never-listens" in BEHAVIOUR:
        time.sleep(600)
    ThreadingHTTPServer(("127.0.0.1", int(value_of("--port", "0"))), Handler).serve_forever(poll_interval=0.02)


if __name__ == "__main__":
    main()
