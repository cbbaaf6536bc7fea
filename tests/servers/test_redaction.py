"""Which names hold secrets, and what of a value may be shown: one table each."""

from pathlib import Path

import pytest

from loadgen.servers.endpoint import error_text, probe
from loadgen.servers.launcher.log import overwrite
from loadgen.servers.redaction import is_secret, redact, secrets_of, shown, shown_text, shown_words, without
from loadgen.servers.reported_tokens import token_counter
from tests.servers.test_endpoint import VLLM, served

SECRET = """
    api-key api_keys APIKEY apiKey x-api-key OPENAI_API_KEY NGC_API_KEY AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY key
    SECRET_KEY_BASE clientSecret token HF_TOKEN accessToken HUGGING_FACE_HUB_TOKEN PASSWORD PGPASSWORD kv.password
    ssl-keyfile-password MYSQL_PWD MYSQLPWD DB_PASS admin-pass PASSPHRASE CREDENTIALS GOOGLE_APPLICATION_CREDENTIALS JWT
    COOKIE Set-Cookie AUTHORIZATION BASIC_AUTH SIGNATURE sig REDIS_URL DATABASE_URL MONGO_URI SENTRY_DSN GITHUB_PAT
    DB_PW root-pw DBPW ENCRYPTION_KEYS signing-keys SESSION_TOKENS CONN_STR PASSCODE SLACK_WEBHOOK_URL AZURE_STORAGE_CONNECTION_STRING OTEL_EXPORTER_OTLP_HEADERS
""".split()
NOT_SECRET = """
    max-num-batched-tokens max_tokens output_tokens tokenizer tokenizer-mode token_type_ids stop_token_ids eos_token
    pad_token_id num-speculative-tokens served-model-name keyword monkey turkey hockey num_key_value_heads kv-cache-dtype
    VLLM_USE_V1 tie_word_embeddings api_key_env header_names ssl-keyfile PWD OLDPWD author authority bypass compass passes
    pass_config url otlp-endpoint enable-prefix-caching attention-backend signal design
""".split()


@pytest.mark.parametrize("name", SECRET)
def test_a_name_that_holds_a_secret(name: str) -> None:
    assert is_secret(name)
    assert shown({name: "k3y-s3cret"}) == {name: "…"}


@pytest.mark.parametrize("name", NOT_SECRET)
def test_a_name_that_holds_none(name: str) -> None:
    assert not is_secret(name)
    assert shown({name: "a-value"}) == {name: "a-value"}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("https://u:p@ss@h/x", "https://…@h/x"),
        ("redis://:pw@h:6379/0", "redis://…@h:6379/0"),
        ("https://h/x?api_key=abc&a=1&sig=d#e", "https://h/x?api_key=…&a=1&sig=…#e"),
        ("https://h/x?code=abc&subscription-key=d&a=1", "https://h/x?code=…&subscription-key=…&a=1"),
        ("https://h/x?id=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOjF9&b=2", "https://h/x?id=…&b=2"),
        ("https://h/x?%61pi_key=abc", "https://h/x?%61pi_key=…"),
        ("Authorization: Bearer abcdef", "Authorization: Bearer …"),
        ("use bearer abcdef now", "use bearer … now"),
        ("{'api_key': 'abc', 'seed': 0}", "{'api_key': '…', 'seed': 0}"),
        ("api_key='abc', tokenizer='x', tp=2", "api_key='…', tokenizer='x', tp=2"),
        ('{"a":[{"password":"x","n":1}]}', '{"a":[{"password":"…","n":1}]}'),
        ("DB_PASS=abc", "DB_PASS=…"),
        ("key sk-abcdefghijklmnop is wrong", "key … is wrong"),
        ("max_num_batched_tokens=8192, token_count: 5", "max_num_batched_tokens=8192, token_count: 5"),
        ("http://127.0.0.1:8000/v1?api-version=2024", "http://127.0.0.1:8000/v1?api-version=2024"),
        ("--api-key=abc -p 3 x.api_key=abc 2nd-password: abc", "--api-key=… -p 3 x.api_key=… 2nd-password: …"),
        ("mail a@b.c about https://h", "mail a@b.c about https://h"),
    ],
)
def test_a_secret_is_known_by_its_form(text: str, result: str) -> None:
    assert shown_text(text) == result
    assert shown_text(result) == result


def test_a_long_word_of_a_log_is_no_work() -> None:
    assert shown_text("a." * 200_000 + " key=b") == "a." * 200_000 + " key=…"  # else it would take hours


def test_every_value_of_a_flag_is_hidden() -> None:
    words = [
        "serve",
        "m",
        "--api-key",
        "one",
        "two",
        "--seed",
        "0",
        "--api-key=x",
        "-e",
        "APIKEY=abc",
        "--c",
        '{"token":"t"}',
    ]
    assert shown_words(words) == [
        *("serve", "m", "--api-key", "…", "…", "--seed", "0", "--api-key=…", "-e", "APIKEY=…", "--c", '{"token":"…"}'),
    ]
    assert list(secrets_of(words)) == ["one", "two", "x", "abc", "t"]


def test_switches_and_keys_of_mappings_stay() -> None:
    given = {
        "api-key": None,
        "auth": True,
        "credentials": {"user": "u", "n": 1},
        "token": ["a", "b"],
        "x": [1, {"pwd": 5}],
    }
    assert shown(given) == {
        "api-key": None, "auth": True, "credentials": {"user": "…", "n": "…"}, "token": ["…", "…"], "x": [1, {"pwd": "…"}],
    }  # fmt: skip


def test_a_secret_is_hidden_wherever_else_it_stands() -> None:
    secrets = secrets_of({"header": "Authorization: Bearer k3y-s3cret", "password": 'quo"ted', "pin-key": "abc"})
    assert without('said k3y-s3cret and quo\\"ted and abc', secrets) == "said … and … and abc"


def test_a_log_keeps_its_length_and_is_appended_to(tmp_path: Path) -> None:
    log = tmp_path / "it.log"
    log.write_bytes(b"args k3y-s3cret, k3y-s3cret\n")
    with log.open("ab", buffering=0) as server:
        overwrite(log, ["k3y-s3cret", "args"])
        server.write(b"more\n")
    assert log.read_bytes() == b"args **********, **********\nmore\n"
    overwrite(tmp_path / "none.log", ["k3y-s3cret"])


HEADERS = (("Authorization", "Bearer k3y-s3cret"), ("X-Team", "h3ader-s3cret"), ("X-Tier", "a"))


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("no quota for Bearer k3y-s3cret", "no quota for [redacted]"),
        ("no quota for key k3y-s3cret.", "no quota for key [redacted]."),
        ("{'x-team': 'h3ader-s3cret'}", "{'x-team': '[redacted]'}"),
        ("a short value is a word", "a short value is a word"),
    ],
)
def test_values_and_bare_keys_are_hidden(text: str, hidden: str) -> None:
    assert redact(text, HEADERS) == hidden


def test_a_value_is_hidden_in_its_json_form_too() -> None:
    assert redact(r"{\"v\": \"pa\"}", (("X-Key", 'quo"ted'),)) == r"{\"v\": \"pa\"}"
    assert redact(r'{"v": "quo\"ted"}', (("X-Key", 'quo"ted'),)) == '{"v": "[redacted]"}'


def test_a_secret_that_the_cut_would_halve_leaves_nothing() -> None:
    assert "k3y" not in error_text(b"x" * 290 + b"k3y-s3cret", HEADERS)


@pytest.mark.loopback
def test_what_a_server_says_of_itself_is_cleaned_before_it_is_kept() -> None:
    echo = "for k3y-s3cret and h3ader-s3cret"
    answers = VLLM | {
        "/v1/models": (200, {"data": [{"id": "m", "owned_by": echo}]}),
        "/version": (200, {"version": echo}),
    }
    with served(answers) as url:
        facts = probe(url, "m", HEADERS)
        answers["/tokenize"] = (429, {"error": {"message": echo}})
        with token_counter(facts, "m", "chat", HEADERS) as count, pytest.raises(Exception, match="redacted") as caught:
            count("hi")
    assert "s3cret" not in f"{facts}{caught.value}"
