"""Outlines as BLOBs: smaller than their JSON, and named when they cannot be read."""

import json

import pytest

from loadgen.errors import StoreError
from loadgen.store.outlines import decode, encode

OUTLINE = {"version": 1, "requests": {"start_ns": [number * 1_234_567 for number in range(1000)]}}


def test_it_comes_back_and_takes_less_room() -> None:
    blob = encode(OUTLINE)
    assert decode(blob) == OUTLINE
    assert len(blob) < len(json.dumps(OUTLINE)) / 2


def test_a_blob_that_is_damaged_or_newer_is_named() -> None:
    blob = encode(OUTLINE)
    for broken in (blob[:-4], blob[:1] + b"no zlib"):
        with pytest.raises(StoreError, match="is damaged"):
            decode(broken)
    for newer in (b"\x09" + blob[1:], b""):
        with pytest.raises(StoreError, match="upgrade loadgen"):
            decode(newer)
