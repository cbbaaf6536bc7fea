"""A chart as a file: each format, what stands in it, and that it needs nothing from anywhere."""

import re
import struct
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest

from loadgen.errors import UsageError
from loadgen.load.shapes import ClosedLoop
from loadgen.report.charts.chart import Chart, labelled, legend
from loadgen.report.charts.drawing import INK, LIGHT, LINE, PAPER, PNG_SCALE, SOFT, draw, standing_alone
from loadgen.report.charts.load_charts import throughput_chart
from loadgen.report.pages import assets
from tests.report.documents import Document, measured_run, specs


@pytest.fixture(scope="module")
def runs() -> list[Document]:
    planned = specs([ClosedLoop(1), ClosedLoop(4)], (32,), 8, requests_per_slot=4)
    return [measured_run(spec, "s1", simulated=True)[0] for spec in planned]


@pytest.fixture(scope="module")
def chart(runs: list[Document]) -> Chart:
    return labelled(throughput_chart(runs), runs)


def lines(svg: bytes) -> list[str]:
    written = ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    return ["".join(element.itertext()) for element in written]


def texts(svg: bytes) -> str:
    return " ".join(lines(svg))


def height_px(svg: bytes) -> float:
    return float(ElementTree.fromstring(svg).attrib["height"])


def test_an_svg_holds_its_title_what_it_is_of_and_its_axis(chart: Chart) -> None:
    said = texts(draw(chart, "svg", ["a model <on> a server & more", ""]))
    for words in ("SIMULATED · Output throughput (tokens/s)", "a model <on> a server & more", "Concurrency"):
        assert words in said


def test_a_long_caption_is_broken_into_lines_of_the_drawings_width(chart: Chart) -> None:
    words = "word " * 100
    wide, narrow = (draw(chart, "svg", [words], width_px=width_px) for width_px in (900, 300))
    assert texts(wide).count("word") == texts(narrow).count("word") == 100
    assert height_px(narrow) > height_px(wide) + 50


def test_a_long_title_is_broken_into_lines_of_the_drawings_width(chart: Chart) -> None:
    assert chart.spec is not None
    long = chart.spec | {"title": "word " * 30}
    broken = standing_alone(chart, long, (), 390)["title"]["text"]
    assert " ".join(broken).split() == ["word"] * 30
    assert all(len(line) < 50 for line in broken)
    assert texts(draw(replace(chart, spec=long), "svg", [], width_px=390)).count("word") == 30


def test_a_second_legend_stands_under_the_first(chart: Chart) -> None:
    rows = [
        {"x": x, "y": x, "of": f"a long name of a line {at}", "kind": str(at % 2)} for x in (1, 2) for at in range(4)
    ]
    encoding = {
        "x": {"field": "x", "type": "quantitative"},
        "y": {"field": "y", "type": "quantitative"},
        "color": {"field": "of", "type": "nominal", "legend": {"columns": 2}},
        "strokeDash": {"field": "kind", "type": "nominal"},
    }
    spec = {"data": {"values": rows}, "width": "container", "mark": "line", "encoding": encoding}
    drawn = ElementTree.fromstring(draw(replace(chart, spec=spec), "svg", [], width_px=390))
    groups = [each for each in drawn.iter() if each.attrib.get("class", "").endswith("role-legend")]
    places = [re.findall(r"-?[\d.]+", group[0].attrib["transform"]) for group in groups]
    (first_x, first_y), (second_x, second_y) = ((float(x), float(y)) for x, y in places)
    assert first_x == second_x
    assert second_y > first_y + 20


def test_nothing_in_an_svg_comes_from_elsewhere(chart: Chart) -> None:
    svg = draw(chart, "svg").decode()
    addresses = set(re.findall(r"https?://[^\"' )]+", svg))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "<script" not in svg


def test_data_from_a_network_is_refused(chart: Chart) -> None:
    assert chart.spec is not None
    outside = chart.spec | {"data": {"url": "http://127.0.0.1:9/data.json"}}
    with pytest.raises(ValueError, match="not allowed"):
        draw(Chart("x", "X", "", "", outside), "svg")


def test_a_png_has_twice_the_pixels_of_its_width(chart: Chart) -> None:
    png = draw(chart, "png", width_px=400)
    assert png.startswith(b"\x89PNG")
    width_px, _ = struct.unpack(">II", png[16:24])
    assert width_px == pytest.approx(400 * PNG_SCALE, abs=4)


def test_a_pdf_carries_its_fonts(chart: Chart) -> None:
    pdf = draw(chart, "pdf")
    assert pdf.startswith(b"%PDF")
    assert b"LiberationSans" in pdf
    assert b"/FontFile" in pdf


def test_a_chart_of_nothing_is_refused_with_its_reason() -> None:
    with pytest.raises(UsageError, match=r"TPOT: there is nothing to draw\. Because\."):
        draw(Chart("tpot_s", "TPOT", "ms", "Because.", None), "svg")


@pytest.mark.parametrize("width_px", [0, -5, 100_000])
def test_a_width_that_nobody_can_read_is_refused(chart: Chart, width_px: int) -> None:
    with pytest.raises(UsageError, match="240 to 4,000 pixels"):
        draw(chart, "svg", width_px=width_px)


def test_the_light_scheme_is_that_of_the_pages() -> None:
    style = assets.static("style.css").text
    first = dict(re.findall(r"--(\w+): (#\w+)", style.split("@media")[0]))
    assert tuple(first[name] for name in ("ink", "soft", "line", "sheet")) == (INK, SOFT, LINE, PAPER)
    assert LIGHT["background"] == PAPER


def test_some_simulated_runs_among_real_ones_are_marked_as_such(runs: list[Document], chart: Chart) -> None:
    plain = Chart("x", "X", "ms", "", {"mark": "bar"})
    real = {"simulated": False}
    assert labelled(plain, [real, real]) == plain
    partly = labelled(plain, [real, *runs])
    assert partly.spec is not None
    assert partly.spec["title"] == "partly SIMULATED · X (ms)"


def test_a_legend_has_fewer_columns_on_a_page_than_in_a_wide_drawing() -> None:
    assert [legend([label])["columns"] for label in ("128 in", "a model of a longer name", "x" * 90)] == [4, 1, 1]
    names = ["a model of a longer name", "another"]
    color = {"field": "x", "type": "nominal", "scale": {"domain": names}, "legend": legend(names)}
    spec = {"mark": "bar", "data": {"values": []}, "encoding": {"color": color, "shape": color}}
    chart = Chart("x", "X", "", "", spec)
    columns = [standing_alone(chart, spec, [], px)["encoding"]["shape"]["legend"]["columns"] for px in (340, 720, 2000)]
    assert columns == [1, 3, 4]
    assert color["legend"] == legend(names)  # the page's is as it was
