"""What a conversation has said so far, as bytes that go into the body of its next turn. Pure; imports `workload`'s form of a body.

A body of the chat endpoint ends with its messages, so that earlier ones go in at one place and nothing else is encoded anew.
"""

import json

_MESSAGES = (
    b'"messages":['  # first met as the key itself: within a JSON text each quote would have a backslash before it
)
_END = b"]}"


def with_history(body: bytes, history: bytes) -> bytes:
    """The `body` of a turn behind the messages before it, which are as `history_after` gives them."""
    place = body.index(_MESSAGES) + len(_MESSAGES)
    return b"%b%b%b" % (body[:place], history, body[place:])


def history_after(body: bytes, reply: str) -> bytes:
    """All messages of `body`, as it was sent, and the `reply` to it; ends with a comma, for the message that is to follow.

    Half a character, which a server may send as a lone surrogate, becomes a question mark: no server reads it back.
    """
    place = body.index(_MESSAGES) + len(_MESSAGES)
    answer = json.dumps({"role": "assistant", "content": reply}, separators=(",", ":"), ensure_ascii=False)
    return b"%b,%b," % (body[place : -len(_END)], answer.encode("utf-8", "replace"))
