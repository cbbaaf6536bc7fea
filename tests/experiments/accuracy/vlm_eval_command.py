"""A command of VLMEvalKit's shape: it puts the questions of a data set to a chat endpoint, and leaves the files that VLMEvalKit leaves.

vlm_eval_command.py --data NAME --model NAME --work-dir FOLDER
"""

import argparse
import base64
import csv
import json
import os
import sys
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))  # for the questions

from loadgen.load.image_questions import IMAGE_TASKS, ImageQuestion, image_question

QUESTIONS, SEED = 12, 5


def reply(model: str, question: ImageQuestion) -> str:
    image = "data:image/png;base64," + base64.b64encode(question.png).decode()
    parts = [{"type": "image_url", "image_url": {"url": image}}, {"type": "text", "text": question.question}]
    body = {
        "model": model,
        "messages": [{"role": "user", "content": parts}],
        "max_tokens": 8,
        "temperature": 0,
    }
    request = urllib.request.Request(
        os.environ["OPENAI_API_BASE"], json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        text: str = json.load(response)["choices"][0]["message"]["content"]
        return text.strip()


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("--data", "--model", "--work-dir"):
        parser.add_argument(name, required=True)
    asked = parser.parse_args()
    if asked.data not in IMAGE_TASKS:
        raise SystemExit(f"there is no data set {asked.data}")
    questions = [image_question(asked.data, seed=SEED, index=index) for index in range(QUESTIONS)]
    right = sum(reply(asked.model, question) == question.reply for question in questions)
    folder = Path(asked.work_dir) / asked.model / "T20261130_Gabcdef"
    folder.mkdir(parents=True)
    with (folder / f"{asked.model}_{asked.data}_acc.csv").open("w", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([("split", "Overall"), ("none", right / QUESTIONS)])


if __name__ == "__main__":
    main()
