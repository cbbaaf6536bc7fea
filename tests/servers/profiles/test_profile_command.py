"""From a profile to the words of the command line and the variables, for one release of the engine or another."""

import sys

import pytest

from loadgen.errors import UsageError
from loadgen.servers.profiles.command import argv, environment, flag_words
from loadgen.servers.profiles.schema import Argument, ForReleases, ServerProfile, fits

PLAIN = ServerProfile(name="it", model="some/model")
BY_RELEASE = PLAIN.model_copy(
    update={
        "arguments": {"quantization": "fp8_per_tensor", "async-scheduling": True, "seed": 0},
        "environment": {"A": "1", "B": "2"},
        "for_releases": (
            ForReleases(
                releases="<0.27",
                arguments={"quantization": "fp8", "async-scheduling": None},
                environment={"A": None, "C": "3"},
            ),
        ),
    }
)


def test_each_kind_of_value_is_written_as_the_engine_reads_it() -> None:
    flags: dict[str, Argument] = {
        "on": True,
        "off": False,
        "n": 4,
        "x": 0.9,
        "s": "a b",
        "j": {"a": [1, 2]},
        "l": ["a", 2],
        "e": [],
        "m": "-1",
    }
    assert flag_words(flags) == [
        *("--on", "--no-off", "--n", "4", "--x", "0.9", "--s", "a b"),
        *("--j", '{"a":[1,2]}', "--l", "a", "2", "--m=-1"),
    ]  # fmt: skip


def test_the_command_names_model_place_and_revision() -> None:
    assert argv(PLAIN) == ["vllm", "serve", "some/model", "--host", "127.0.0.1", "--port", "8000"]
    whole = PLAIN.model_copy(
        update={"executable": "bin/vllm", "served_model_name": "m", "revision": "abc", "port": 8011, "arguments": {"seed": 0}}
    )  # fmt: skip
    assert argv(whole) == [
        *("bin/vllm", "serve", "some/model", "--served-model-name", "m", "--revision", "abc"),
        *("--host", "127.0.0.1", "--port", "8011", "--seed", "0"),
    ]
    assert (PLAIN.request_model, whole.request_model) == ("some/model", "m")
    assert whole.base_url == "http://127.0.0.1:8011"


def test_one_profile_serves_several_releases() -> None:
    assert argv(BY_RELEASE, "0.32.0")[-5:] == ["--quantization", "fp8_per_tensor", "--async-scheduling", "--seed", "0"]
    assert argv(BY_RELEASE, "0.26.0")[-4:] == ["--quantization", "fp8", "--seed", "0"]
    assert argv(BY_RELEASE)[-5:] == argv(BY_RELEASE, "0.32.0")[-5:]
    assert environment(BY_RELEASE, "0.32.0") == {"A": "1", "B": "2"}
    assert environment(BY_RELEASE, "0.26.0") == {"B": "2", "C": "3"}


def test_a_mapping_differs_key_by_key_between_releases() -> None:
    profile = PLAIN.model_copy(
        update={
            "arguments": {"speculative-config": {"method": "ngram", "num_speculative_tokens": 3}},
            "for_releases": (
                ForReleases(releases="<1", arguments={"speculative-config": {"num_speculative_tokens": 5}}),
            ),
        }
    )
    assert argv(profile, "0.32.0")[-1] == '{"method":"ngram","num_speculative_tokens":5}'


def test_a_simulated_server_is_started_by_loadgen_itself() -> None:
    simulated = PLAIN.model_copy(update={"launcher": "simulator", "arguments": {"ttft-s": 0.05}})
    assert argv(simulated) == [
        *(sys.executable, "-m", "loadgen.cli", "simulate", "--host", "127.0.0.1", "--port", "8000"),
        *("--model", "some/model", "--ttft-s", "0.05"),
    ]


def test_what_is_not_ours_to_start_has_no_command() -> None:
    with pytest.raises(UsageError, match="profile 'it' is of a server at http://x that loadgen does not start"):
        argv(PLAIN.model_copy(update={"launcher": "external", "url": "http://x"}))
    with pytest.raises(UsageError, match="profile 'it' cannot be served: no code for it"):
        argv(PLAIN.model_copy(update={"unservable": "no code for it"}))


def test_dummy_weights_are_told_apart() -> None:
    assert PLAIN.weights == "real"
    assert PLAIN.model_copy(update={"arguments": {"load-format": "dummy"}}).weights == "dummy"


@pytest.mark.parametrize(
    ("release", "releases", "expected"),
    [
        ("0.32.0", "", True),
        ("0.32.0+cpu", ">=0.27", True),
        ("0.32.0+cpu", "==0.32.0", True),
        ("0.33.0.dev12+g123", ">=0.27", True),
        ("0.26.0", ">=0.27", False),
        ("0.26.0", ">=0.22,<0.27", True),
        ("my-branch", "", True),
        ("my-branch", ">=0.1", False),
    ],
)
def test_a_release_fits_or_not(release: str, releases: str, expected: bool) -> None:
    assert fits(release, releases) is expected
