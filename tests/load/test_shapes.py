"""How many connections a load point opens, for whoever asks before the start and for the driver that opens them."""

import json
from typing import get_args, get_type_hints

import numpy as np
import pytest

from loadgen.engine.drive.driver import DriverPlan, Wiring
from loadgen.engine.measurement import driver_class
from loadgen.engine.wire.target import Target
from loadgen.load import shapes
from loadgen.load.arrivals import Ramp, TraceSource
from loadgen.load.schedule import Schedule


@pytest.mark.parametrize(
    ("shape", "requests", "expected"),
    [
        (shapes.ClosedLoop(16), 64, 16),
        (shapes.ClosedLoop(16), 4, 4),
        (shapes.Wave(32), 32, 32),
        (shapes.OpenLoop(1.0), 64, 16),
        (shapes.OpenLoop(100.0), 1000, 200),
        (shapes.OpenLoop(100.0), 50, 50),
    ],
)
def test_the_driver_opens_as_many_as_were_counted(shape: shapes.LoadShape, requests: int, expected: int) -> None:
    lengths = np.ones(requests, np.int32)
    schedule = Schedule(bodies=(b"{}",) * requests, prompt_tokens=lengths, output_tokens=lengths, offsets_ns=None)
    plan = DriverPlan(Target("http", "127.0.0.1", 9, "/"), schedule, shape)
    wiring = Wiring(lambda: pytest.fail("opened"), lambda exchange: pytest.fail("finished"))
    driver = driver_class(shape)(plan, wiring)
    assert shape.connections(requests) == driver.connections == expected


def test_without_a_number_of_requests_the_shape_decides() -> None:
    assert shapes.ClosedLoop(16).connections() == 16


SAMPLES: list[shapes.LoadShape] = [
    shapes.ClosedLoop(16),
    shapes.Wave(32),
    shapes.OpenLoop(2.0, "gamma", 0.5, Ramp(9.0, 4.0, "exponential"), max_in_flight=3),
    shapes.OpenLoop(
        2.0, "trace", trace=TraceSource("t.csv", "ab", 0.5, skipped_rows=1, first_skipped="line 3 is empty")
    ),
]


@pytest.mark.parametrize("shape", SAMPLES, ids=lambda shape: shape.label)
def test_a_shape_reads_back_its_json(shape: shapes.LoadShape) -> None:
    document = shape.to_json()
    assert shapes.shape_from_json(json.loads(json.dumps(document))) == shape
    assert shapes.value_in_json(document) == getattr(shape, shape.value_key)
    with pytest.raises(TypeError):  # it would be another load
        shapes.shape_from_json(document | {"pause_s": 5.0})


def test_every_shape_has_a_sample_and_a_name_of_its_own() -> None:
    assert {shape.kind for shape in SAMPLES} == set(shapes.SHAPES)
    for name in ("value_key", "axis_label", "column_label"):
        assert len({getattr(shape, name) for shape in shapes.SHAPES.values()}) == len(shapes.SHAPES)


def test_a_kind_of_a_later_version_is_named() -> None:
    with pytest.raises(KeyError, match="'zigzag'"):
        shapes.shape_from_json({"kind": "zigzag"})


def test_every_shape_has_a_type_for_its_json() -> None:
    kinds = [get_args(get_type_hints(each)["kind"]) for each in get_args(shapes.ShapeDocument)]
    assert sorted(kinds) == sorted((kind,) for kind in shapes.SHAPES)
    by_kind = {kind: each for (kind,), each in zip(kinds, get_args(shapes.ShapeDocument), strict=True)}
    for shape in SAMPLES:
        assert set(shape.to_json()) <= set(get_type_hints(by_kind[shape.kind]))
