"""An evaluation from a server that answers to results in the store, with a fake in the place of lm-eval."""

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest

from loadgen.errors import LoadgenError, ServerError, UsageError
from loadgen.experiments.accuracy import lm_eval
from loadgen.experiments.accuracy.evaluation import evaluate, prepare_accuracy
from loadgen.experiments.server_evaluation import ServerAsked, target_of
from loadgen.load.image_questions import IMAGE_TASKS, image_question
from loadgen.spec.accuracy import Accuracy
from loadgen.store.rows import Evaluation
from tests.experiments.accuracy.fake_lm_eval import FakeLmEval
from tests.servers.http_server import QuietHandler, listening
from tests.servers.launcher.launches import write_program

KEY = "sk-of-the-test"


class Model(QuietHandler):
    """A model that knows every second image, and gives log-likelihoods of prompts if `has_logprobs`."""

    protocol_version = "HTTP/1.1"
    has_logprobs: ClassVar[bool] = True
    takes_images: ClassVar[bool] = True
    answers: ClassVar[dict[str, str]] = {}

    def do_GET(self) -> None:
        """The list of models."""
        listed = {"object": "list", "data": [{"id": "m", "object": "model", "owned_by": "us"}]}
        self.respond(200, listed) if self.path == "/v1/models" else self.respond(404, {})

    def do_POST(self) -> None:
        """A completion or a message."""
        asked = self.read_json()
        if self.path == "/v1/completions":
            known = {"token_logprobs": [None, -1.0, -2.0, -0.5]} if self.has_logprobs else None
            self.respond(200, {"choices": [{"index": 0, "text": "x", "logprobs": known}]})
        elif not self.takes_images:
            self.respond(400, {"error": {"message": "m is not a multimodal model"}})
        else:
            image, _ = asked["messages"][0]["content"]
            said = self.answers.get(image["image_url"]["url"].rpartition(",")[2], "nothing that I know")
            self.respond(200, {"choices": [{"index": 0, "message": {"role": "assistant", "content": said}}]})


@pytest.fixture
def url() -> Iterator[str]:
    with listening(Model) as found:
        yield found


def evaluated(fake: FakeLmEval | None, url: str, **asked: object) -> Evaluation:
    environ = dict(os.environ) | {"THE_KEY": KEY} | ({} if fake is None else {lm_eval.VARIABLE: str(fake.program)})
    prepared = prepare_accuracy(Accuracy.model_validate(asked), environ)
    with target_of(ServerAsked(url=url, api_key_env="THE_KEY"), environ, lambda event: None) as target:
        return evaluate(prepared, target, on_progress=lambda tool, done, planned: None, keep=lambda found: None)


def test_results_are_rows_with_what_was_asked(tmp_path: Path, url: str) -> None:
    fake = FakeLmEval(tmp_path)
    found = evaluated(fake, url, tasks="copy,sort", limit=4, seed=7)
    assert [(row.task, row.metric, row.value, row.standard_error) for row in found.rows] == [
        ("copy", "exact_match", 0.75, 0.25),
        ("sort", "exact_match", 0.75, 0.25),
    ]
    first = found.rows[0]
    assert (first.model, first.provenance, first.samples, first.shots) == ("m", "measured", 4, 0)
    assert (first.tool, first.tool_version) == ("lm-eval", "0.4.13")
    assert first.settings["tasks"] == ["copy", "sort"]
    assert first.evaluation_id == found.rows[1].evaluation_id
    assert found.server["url"] == url
    assert KEY not in repr(found)


def test_lm_eval_is_called_offline_with_our_tasks_and_the_key_in_its_environment_alone(
    tmp_path: Path, url: str
) -> None:
    fake = FakeLmEval(tmp_path)
    evaluated(fake, url, tasks="copy", limit=4, seed=7, concurrency=3)
    called: Any = fake.called
    assert fake.value("--tasks") == "loadgen_copy"
    assert fake.value("--model") == "local-completions"
    assert fake.value("--seed") == "7"
    model = json.loads(fake.value("--model_args"))
    assert (model["base_url"], model["num_concurrent"]) == (f"{url}/v1/completions", 3)
    assert model["tokenizer_backend"] == "none"  # prompts are sent as text
    assert KEY not in " ".join(fake.arguments)
    assert called["environment"] == {
        "OPENAI_API_KEY": KEY,
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "NO_PROXY": "127.0.0.1",
    }
    assert len(called["files"]["copy.jsonl"].splitlines()) == 4
    assert not Path(called["cwd"]).exists()  # nothing of it is left


def test_chat_goes_through_the_chat_endpoint(tmp_path: Path, url: str) -> None:
    fake = FakeLmEval(tmp_path)
    evaluated(fake, url, tasks="copy", limit=4, chat=True)
    assert fake.value("--model") == "local-chat-completions"
    assert "--apply_chat_template" in fake.arguments
    assert json.loads(fake.value("--model_args"))["base_url"] == f"{url}/v1/chat/completions"


def test_an_interrupt_ends_all_processes_of_lm_eval(tmp_path: Path, url: str) -> None:
    fake = FakeLmEval(tmp_path, "hangs")

    def interrupt(*progress: object) -> None:
        raise KeyboardInterrupt

    def speak() -> None:  # something to hear, once it hangs
        deadline_s = time.monotonic() + 20
        while not (tmp_path / "child").exists() and time.monotonic() < deadline_s:
            time.sleep(0.02)
        called: Any = fake.called
        with (Path(called["cwd"]) / "log").open("a") as log:
            log.write("Requesting API:  50%|#####     | 3/6 [00:00<00:00]")

    speaking = Thread(target=speak)
    speaking.start()
    environ = dict(os.environ) | {lm_eval.VARIABLE: str(fake.program)}
    prepared = prepare_accuracy(Accuracy(tasks=["copy"], limit=4), environ)
    with target_of(ServerAsked(url=url), environ, lambda event: None) as target, pytest.raises(KeyboardInterrupt):
        evaluate(prepared, target, on_progress=interrupt, keep=lambda found: None)
    speaking.join()
    called: Any = fake.called
    for pid in (called["pid"], int((tmp_path / "child").read_text())):
        assert not is_running(pid)
    assert not Path(called["cwd"]).exists()


def is_running(pid: int) -> bool:
    """Whether the process is there and no zombie, which the test's own parent may leave."""
    deadline_s = time.monotonic() + 5
    while time.monotonic() < deadline_s:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return False
        if stat.rpartition(")")[2].split()[0] in "ZX":
            return False
        time.sleep(0.02)
    return True


FAILURES = [
    (
        'fails x API request failed! Status code: 400, Response text: {"error": "too long"}. Retrying...',
        ServerError,
        r"refused a request of lm-eval: \{\"error\": \"too long\"\}; see",
    ),
    (
        "fails aiohttp.client_exceptions.ClientConnectorError: Cannot connect to host 127.0.0.1:1",
        ServerError,
        "stopped answering lm-eval",
    ),
    (
        "fails 18:39 ERROR Exception:ServerDisconnectedError('Server disconnected'), (no outputs), retrying.",
        ServerError,
        r"stopped answering lm-eval \(ServerDisconnectedError\('Server disconnected'\)\)",
    ),
    (
        "fails ConnectionError: Couldn't reach 'allenai/ai2_arc' on the Hub (LocalEntryNotFoundError)",
        UsageError,
        r"cannot download the data of a task .*need no network",
    ),
    (
        "fails ValueError: the task has no documents",
        UsageError,
        r"lm-eval failed \(ValueError: the task has no documents\)",
    ),
    ("fails OSError: Can't load tokenizer for 'x'", UsageError, "the tokenizer of 'm' is not known here"),
]


@pytest.mark.parametrize(("does", "kind", "sentence"), FAILURES)
def test_a_failure_of_lm_eval_is_one_sentence(
    tmp_path: Path, url: str, does: str, kind: type[LoadgenError], sentence: str
) -> None:
    with pytest.raises(kind, match=sentence) as caught:
        evaluated(FakeLmEval(tmp_path, does), url, tasks="copy", limit=4)
    assert "\n" not in str(caught.value)


def test_without_lm_eval_the_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lm_eval, "LOCAL_LM_EVAL", Path("nowhere"))
    with pytest.raises(UsageError, match=r"lm-eval is not installed, .*run `make accuracy`"):
        prepare_accuracy(Accuracy(tasks=["copy"]), {"PATH": str(tmp_path)})
    with pytest.raises(UsageError, match="LOADGEN_LM_EVAL is nothing-there, where there is no program"):
        prepare_accuracy(Accuracy(tasks=["copy"]), {lm_eval.VARIABLE: "nothing-there"})


def test_a_task_that_lm_eval_does_not_have_is_named_with_those_near_it(tmp_path: Path) -> None:
    write_program(tmp_path / "python3", "#!/bin/sh\necho 'a warning'\necho '[\"hellaswag\", \"boolq\"]'\n")
    program = tmp_path / "lm_eval"
    program.write_text("#!/bin/sh\n")
    with pytest.raises(UsageError, match=r"there is no task 'hellaswg'; did you mean 'hellaswag'\?"):
        lm_eval.check_foreign_tasks(program, ["boolq", "hellaswg"])
    with pytest.raises(UsageError, match=r"there is no task 'copie'; did you mean 'copy'\?"):
        lm_eval.check_foreign_tasks(program, ["copie"])
    with pytest.raises(
        UsageError, match=rf"loadgen's own are built-in, .*; `{program} ls tasks` lists those of lm-eval"
    ):
        lm_eval.check_foreign_tasks(program, ["nosuch"])


def test_the_list_of_tasks_is_kept_until_lm_eval_is_another_release(tmp_path: Path) -> None:
    def install(release: str, task: str) -> Path:
        program = tmp_path / release / "bin" / "lm_eval"
        program.parent.mkdir(parents=True, exist_ok=True)
        for name, text in (("lm_eval", ""), ("python3", f"echo '[\"{task}\"]'")):
            (program.parent / name).write_text(f"#!/bin/sh\n{text}\n")
            (program.parent / name).chmod(0o755)
        (tmp_path / release / f"lib/python3.11/site-packages/lm_eval-{release}.dist-info").mkdir(
            parents=True, exist_ok=True
        )
        return program

    program = install("1.0", "boolq")
    lm_eval.check_foreign_tasks(program, ["boolq"])
    install("1.0", "another")  # which is not asked for its tasks again
    lm_eval._listed.cache_clear()
    lm_eval.check_foreign_tasks(program, ["boolq"])
    (tmp_path / "1.0/lib/python3.11/site-packages/lm_eval-1.0.dist-info").rename(
        tmp_path / "1.0/lib/python3.11/site-packages/lm_eval-1.1.dist-info"
    )
    lm_eval._listed.cache_clear()
    lm_eval.check_foreign_tasks(program, ["another"])


def test_choices_need_log_likelihoods_and_a_tokenizer(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeLmEval(tmp_path)
    with pytest.raises(UsageError, match="the tokenizer of 'm' is not known here"):
        evaluated(fake, url, tasks="copy_choice", limit=4)
    with pytest.raises(
        UsageError,
        match=r"there is no tokenizer in /nowhere, and log-likelihoods need it; name the folder of the model with --tokenizer PATH$",
    ):
        prepare_accuracy(Accuracy(tasks=["copy_choice"], tokenizer="/nowhere"), {lm_eval.VARIABLE: str(fake.program)})
    evaluated(fake, url, tasks="copy_choice", limit=4, tokenizer=str(tmp_path))
    model = json.loads(fake.value("--model_args"))
    assert (model["tokenizer"], model["add_bos_token"]) == (str(tmp_path), True)
    monkeypatch.setattr(Model, "has_logprobs", False)
    with pytest.raises(
        UsageError, match=r"gives no log-likelihoods of a prompt \(its reply has none\), which copy_choice"
    ):
        evaluated(fake, url, tasks="copy_choice", limit=4, tokenizer=str(tmp_path))
    with pytest.raises(UsageError, match="leave --chat out, or ask for copy"):
        evaluated(fake, url, tasks="copy_choice", chat=True)


def test_image_questions_go_through_chat_and_right_replies_count(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import base64

    known = {}
    for task in IMAGE_TASKS:
        for index in range(0, 8, 2):
            question = image_question(task, seed=0, index=index)
            known[base64.b64encode(question.png).decode()] = f"It is {question.reply.upper()}."
    monkeypatch.setattr(Model, "answers", known)
    found = evaluated(None, url, tasks="images", limit=8)
    assert [(row.task, row.samples, row.tool) for row in found.rows] == [(task, 8, "loadgen") for task in IMAGE_TASKS]
    for row in found.rows:
        assert row.value >= 0.5  # equal images may be among the other half
        assert row.standard_error == pytest.approx((row.value * (1 - row.value) / 7) ** 0.5)
    monkeypatch.setattr(Model, "takes_images", False)
    with pytest.raises(UsageError, match=r"refuses a question about an image .*not a multimodal model"):
        evaluated(None, url, tasks="image_count", limit=4)


def test_what_one_tool_found_is_kept_though_the_next_one_fails(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Model, "takes_images", False)
    environ = dict(os.environ) | {lm_eval.VARIABLE: str(FakeLmEval(tmp_path).program)}
    prepared = prepare_accuracy(Accuracy(tasks=["copy", "image_count"], limit=4), environ)
    kept: list[Evaluation] = []
    with target_of(ServerAsked(url=url), environ, lambda event: None) as target, pytest.raises(UsageError):
        evaluate(prepared, target, on_progress=lambda tool, done, planned: None, keep=kept.append)
    assert [[row.task for row in each.rows] for each in kept] == [["copy"]]
    assert kept[0].rows[0].settings["tasks"] == ["copy"]


def test_a_command_of_vlmevalkit_is_enough(url: str, tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text("import sys; open(sys.argv[1] + '/m_MME_acc.csv', 'w').write('split,Overall\\nval,0.5\\n')")
    prepared = prepare_accuracy(Accuracy(), {}, vlmevalkit=f"{sys.executable} {script} {{folder}}")
    with target_of(ServerAsked(url=url), {}, lambda event: None) as target:
        found = evaluate(prepared, target, on_progress=lambda tool, done, planned: None, keep=lambda found: None)
    assert [(row.task, row.metric, row.value, row.tool) for row in found.rows] == [
        ("MME", "Overall", 0.5, "VLMEvalKit")
    ]
    with pytest.raises(UsageError, match="no task is named"):
        prepare_accuracy(Accuracy(), {})
    for wrong, sentence in (
        (f"{sys.executable} {{model}}", "does not say where its files go"),
        ("no-tool {folder}", "no program 'no-tool'"),
    ):
        with pytest.raises(UsageError, match=sentence):
            prepare_accuracy(Accuracy(), {}, vlmevalkit=wrong)


def test_a_server_that_is_gone_is_a_sentence(tmp_path: Path) -> None:
    environ = dict(os.environ)
    asked = ServerAsked(url="http://127.0.0.1:9", model="m")
    with pytest.raises(ServerError, match="nothing answers"), target_of(asked, environ, lambda event: None):
        pass
