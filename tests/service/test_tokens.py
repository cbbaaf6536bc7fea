"""Tokens, sessions and the limit on guesses."""

import pytest

from loadgen.errors import UsageError
from loadgen.service import tokens
from loadgen.service.tokens import Failures, LoginSessions, Token

GOOD = "0123456789abcdef"


def test_a_token_matches_itself_alone() -> None:
    token = Token.from_environment("TOKEN", {"TOKEN": f" {GOOD}\n"})
    assert token.matches(GOOD)
    assert not any(token.matches(other) for other in ("", GOOD[:-1], GOOD + "0", GOOD.upper(), "\ud800"))
    assert GOOD not in repr(vars(token))


@pytest.mark.parametrize("held", [None, "", "   ", "short", "0123456789 abcdef", "0123456789abcdé0"])
def test_a_poor_token_is_refused_and_not_repeated(held: str | None) -> None:
    with pytest.raises(UsageError, match="TOKEN") as refused:
        Token.from_environment("TOKEN", {} if held is None else {"TOKEN": held})
    assert not held or not held.strip() or held not in str(refused.value)


def test_sessions_begin_end_and_run_out() -> None:
    now_s = 0.0
    sessions = LoginSessions(lambda: now_s)
    one, other = sessions.begin(), sessions.begin()
    sessions.end(one)
    assert (sessions.has(one), sessions.has(other), sessions.has(None), sessions.has("guess")) == (
        False,
        True,
        False,
        False,
    )
    now_s = tokens.SESSION_S + 1
    assert not sessions.has(other)


def test_so_many_sessions_and_no_more() -> None:
    sessions = LoginSessions()
    first = sessions.begin()
    for _ in range(tokens.MAX_SESSIONS):
        sessions.begin()
    assert not sessions.has(first)


def test_guesses_are_counted_by_address_and_forgotten() -> None:
    now_s = 100.0
    failures = Failures(lambda: now_s)
    for _ in range(tokens.MAX_FAILURES):
        assert failures.wait_s("192.0.2.1") == 0
        failures.add("192.0.2.1")
    assert failures.wait_s("192.0.2.1") == tokens.FAILURES_WITHIN_S
    assert failures.wait_s("192.0.2.2") == 0
    now_s += tokens.FAILURES_WITHIN_S
    assert failures.wait_s("192.0.2.1") == 0


def test_the_count_of_guesses_takes_bounded_memory() -> None:
    failures = Failures()
    for number in range(5_000):
        failures.add(f"192.0.2.{number}")
    assert len(failures._at_s) <= 1_024
