"""The forest plot as a picture: every comparison where its numbers say, its verdict in words, no file without any."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.image
import pytest

from pulseproof.report.answers.questions import answers
from pulseproof.report.answers.types import Verdict
from pulseproof.report.charts.drawing import Box, Disc, Drawing, Words
from pulseproof.report.charts.drawing import Path as Line
from pulseproof.report.charts.forest import SIGNS, WORDS, shared_scale
from pulseproof.report.charts.sheets import forest_sheet, write_sheet
from pulseproof.report.numbers.texts import signed, span
from tests.report.making_answers import evaluated, study

DELTA = 0.01


@pytest.fixture
def made(tmp_path: Path) -> tuple[Any, Any]:
    """An evaluation, and its comparisons with every verdict among them."""
    study(tmp_path, lambda artifact, signals: 2.0 if signals["source"] is None else 1.0, models=("cnn", "lstm"))
    evaluation = evaluated(tmp_path, DELTA)
    found = [each for each in answers(evaluation).comparisons if each.kind == "quantized-minus-float"]
    assert len(found) == 4
    verdicts: list[Verdict] = list(WORDS)
    shifts = {"better": 0.05, "worse": -0.05, "no-difference": 0.0, "undecided": 0.02}
    some = [
        replace(each, verdict=verdict, estimate=shift, low=shift - 0.01, high=shift + 0.02)
        for each, verdict, shift in zip(found, verdicts, map(shifts.__getitem__, verdicts), strict=True)
    ]
    return evaluation, some


def texts(sheet: Drawing) -> list[Words]:
    return [part for part in sheet.parts if isinstance(part, Words)]


def test_every_comparison_stands_where_its_numbers_say(made: Any, tmp_path: Path) -> None:
    evaluation, some = made
    sheet = forest_sheet(evaluation, some, "host")
    assert sheet is not None and write_sheet(sheet, tmp_path / "forest.png")
    height, width = matplotlib.image.imread(tmp_path / "forest.png").shape[:2]
    assert 800 < width < 3000 and 200 < height < 2000
    titles = [part.text for part in texts(sheet) if part.classes == "name"]
    assert titles == ["clean", "worst case at 0.02 mV"]
    lines = {part.text: part.point[1] for part in texts(sheet) if part.text.endswith("/onnx-int8-static")}
    assert list(lines) == ["cnn/onnx-int8-static", "lstm/onnx-int8-static"]
    scale = shared_scale(some, DELTA)
    dots = [part for part in sheet.parts if isinstance(part, Disc)]
    bars = [part for part in sheet.parts if isinstance(part, Line) and part.classes == "interval"]
    bands = [part for part in sheet.parts if isinstance(part, Box) and part.classes == "band"]
    zeros = [part for part in sheet.parts if isinstance(part, Line) and part.classes == "zero"]
    assert len(dots) == len(bars) == len(zeros) == 4
    assert len(bands) == 5  # one of them in the legend
    ordered = sorted(some, key=lambda each: each.signals != "clean")  # a panel after the other
    for each, dot, bar, band, zero in zip(ordered, dots, bars, bands, zeros, strict=False):
        x = zero.points[0][0] - scale(0)
        assert dot.center == pytest.approx((x + scale(each.estimate), lines[each.a] - 4))
        assert [at for at, _ in bar.points] == pytest.approx([x + scale(each.low), x + scale(each.high)])
        assert (band.x, band.x + band.width) == pytest.approx((x + scale(-DELTA), x + scale(DELTA)))
        assert dot.classes == ("estimate hollow" if each.low <= 0 <= each.high else "estimate")
    clean = [each.signals == "clean" for each in ordered]
    assert [zero.points[0][0] == zeros[0].points[0][0] for zero in zeros] == clean


def test_a_verdict_is_said_by_sign_and_word_and_the_device_and_note_are_named(made: Any) -> None:
    evaluation, some = made
    sheet = forest_sheet(evaluation, some, "host")
    assert sheet is not None
    assert len(set(SIGNS.values())) == len(SIGNS) == len(WORDS)
    rows = {part.text: part.point[1] for part in texts(sheet)}
    for each in some:
        said = f"{SIGNS[each.verdict]} {WORDS[each.verdict]}"
        numbers = f"{signed(each.estimate)} {span(each.low, each.high, sign=True)}"
        assert rows[said] == rows[numbers] == rows[each.a]
    assert any(part.text.startswith(f"at most {DELTA:g}") for part in texts(sheet))
    assert "host, measured-on-host" in rows


def test_without_comparisons_there_is_no_picture(made: Any) -> None:
    evaluation, some = made
    assert forest_sheet(evaluation, [], "host") is None
    assert forest_sheet(evaluation, some, "another") is None
    assert forest_sheet(evaluation, [replace(each, kind="tflite-minus-onnx") for each in some], "host") is None


def test_clean_alone_is_one_panel(made: Any) -> None:
    evaluation, some = made
    sheet = forest_sheet(evaluation, [each for each in some if each.signals == "clean"], "host")
    assert sheet is not None
    assert [part.text for part in texts(sheet) if part.classes == "name"] == ["clean"]
