"""`Records` through the database: whatever a run can bring home comes back as it was."""

import tempfile
from collections.abc import Iterator
from dataclasses import fields
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.engine.records.record import MISSING, CountedBy, Outcome, Records
from loadgen.engine.records.record_parts import take
from loadgen.store.repository import Store
from tests.memory import peak_bytes

INT32 = st.integers(0, 2**31 - 1)
MOMENT = st.integers(MISSING + 1, 2**63 - 1) | st.just(MISSING)
COUNT = INT32 | st.just(-1)
# NUL and lone surrogates apart, which no database takes: see test_text_that_no_database_takes_is_replaced.
WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
TEXT = WORDS | st.none()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
TIMING = st.none() | st.dictionaries(WORDS, JSON, max_size=3)


@st.composite
def records_of_any_kind(draw: st.DrawFn) -> Records:
    n = draw(st.integers(0, 6))

    def column(values: st.SearchStrategy[int], dtype: type) -> Any:
        return np.array(draw(st.lists(values, min_size=n, max_size=n)), dtype)

    lengths = draw(st.lists(st.integers(0, 5), min_size=n, max_size=n))
    total = sum(lengths)

    def arrivals(values: st.SearchStrategy[Any], dtype: type) -> Any:
        return np.array(draw(st.lists(values, min_size=total, max_size=total)), dtype)

    return Records(
        index=column(INT32, np.int32),
        slot=column(COUNT, np.int32),
        outcome=column(st.sampled_from(Outcome), np.int8),
        http_status=column(st.integers(0, 999), np.int16),
        due_ns=column(MOMENT, np.int64),
        start_ns=column(MOMENT, np.int64),
        sent_ns=column(MOMENT, np.int64),
        first_byte_ns=column(MOMENT, np.int64),
        end_ns=column(MOMENT, np.int64),
        connect_ns=column(MOMENT, np.int64),
        limit_wait_ns=column(st.integers(0, 2**62), np.int64),
        prompt_tokens_asked=column(INT32, np.int32),
        output_tokens_asked=column(INT32, np.int32),
        prompt_tokens=column(COUNT, np.int32),
        output_tokens=column(COUNT, np.int32),
        hidden_tokens=column(COUNT, np.int32),
        counted_by=column(st.sampled_from(CountedBy), np.int8),
        finish_reason=draw(st.lists(TEXT, min_size=n, max_size=n)),
        detail=draw(st.lists(TEXT, min_size=n, max_size=n)),
        server_timing=draw(st.lists(TIMING, min_size=n, max_size=n)),
        arrival_start=np.cumsum([0, *lengths], dtype=np.int64),
        arrival_ns=arrivals(MOMENT, np.int64),
        arrival_tokens=arrivals(INT32, np.int32),
        arrival_choice=arrivals(st.integers(0, 3), np.int16),
        arrival_coalesced=arrivals(st.booleans(), np.bool_),
    )


def assert_same(before: Records, after: Records) -> None:
    for field in fields(Records):
        was, is_now = getattr(before, field.name), getattr(after, field.name)
        if isinstance(was, np.ndarray):
            assert is_now.dtype == was.dtype, field.name
            assert is_now.tolist() == was.tolist(), field.name
        else:
            assert list(is_now) == list(was), field.name


RUN_NUMBERS = count(1)


@pytest.fixture(scope="module")
def shared_store() -> Iterator[Store]:
    """One database for all examples of a property: making a new one for each would be most of the time."""
    with tempfile.TemporaryDirectory() as folder, Store.open(f"sqlite:///{Path(folder)}/measured.db") as opened:
        yield opened


@settings(max_examples=60, deadline=None)
@given(records=records_of_any_kind())
def test_records_come_back_exactly(shared_store: Store, add_run: Any, records: Records) -> None:
    run_id = add_run(shared_store, records, next(RUN_NUMBERS))
    assert_same(records, shared_store.records(run_id))


def test_rows_that_fill_several_batches_stay_in_order(store: Store, add_run: Any, records: Records) -> None:
    rows = [records[position % 3] for position in range(11_000)]
    many = Records.from_rows(rows)
    many.index = np.arange(11_000, dtype=np.int32)[::-1].copy()
    add_run(store, many)
    assert_same(many, store.records("r1"))


def test_a_run_is_read_back_without_all_its_rows_as_objects(
    store: Store, add_run: Any, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loadgen.store.request_rows.ROWS_AT_ONCE", 100)
    few, many = 300, 1500

    def bytes_for(rows: int) -> int:
        run_id = add_run(store, take(records, np.zeros(rows, np.int64)), number=rows)
        return peak_bytes(lambda: store.records(run_id))

    bytes_for(few)  # what is loaded once
    few_bytes = bytes_for(few + 1)
    assert (bytes_for(many) - few_bytes) / (many - few) < 700  # its columns twice, 250 bytes a row; as objects 2,000


def test_what_is_missing_is_null_in_the_database(
    store: Store, add_run: Any, records: Records, database_rows: Any
) -> None:
    add_run(store, records)
    query = "SELECT outcome, http_status, slot, sent_ns, first_byte_ns, connect_ns, prompt_tokens, output_tokens FROM request"
    assert database_rows(query) == [
        ("ok", 200, 0, 1_000, 50_001_000, 120_000, 128, 5),
        ("connect_error", None, 1, 1_500, None, None, None, None),
        ("dropped", None, None, None, None, None, None, None),
    ]
    assert database_rows("SELECT count(*) FROM request WHERE server_timing IS NULL") == [(2,)]


def test_a_prompt_length_that_only_the_server_can_tell_is_null_as_asked(
    store: Store, add_run: Any, records: Records, database_rows: Any
) -> None:
    records.prompt_tokens_asked[1] = -1
    add_run(store, records)
    assert database_rows("SELECT prompt_tokens_asked FROM request") == [(128,), (None,), (128,)]
    assert store.records("r1")[1].prompt_tokens_asked is None


def test_text_that_no_database_takes_is_replaced_and_the_run_is_kept(
    store: Store, add_run: Any, records: Records
) -> None:
    records.detail = [None, "bad \ud800 half, \x00 nul, good 😀", None]
    records.finish_reason = ["stop", "\udfff", None]
    records.server_timing = [{"a\x00": ["b\x00", {"\x00": None}]}, None, None]
    add_run(store, records)
    stored = store.records("r1")
    assert stored.detail[1] == "bad \ufffd half, \ufffd nul, good 😀"
    assert stored.finish_reason[1] == "\ufffd"
    assert stored.server_timing[0] == {"a\ufffd": ["b\ufffd", {"\ufffd": None}]}


def test_a_server_timing_that_is_no_number_is_null(store: Store, add_run: Any, records: Records) -> None:
    records.server_timing = [{"queue_ms": float("nan"), "steps": [1.5, float("inf")]}, None, None]
    add_run(store, records)
    assert store.records("r1").server_timing[0] == {"queue_ms": None, "steps": [1.5, None]}
