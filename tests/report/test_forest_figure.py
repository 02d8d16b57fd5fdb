"""The forest plot as a picture: every comparison where its numbers say, its verdict by shape, no file without any."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.image
import pytest
from matplotlib.figure import Figure

import pulseproof.report.figures.forest
from pulseproof.report.answers.questions import answers
from pulseproof.report.answers.types import Verdict
from pulseproof.report.figures.forest import STYLES, WORDS, draw_forest
from tests.report.making_answers import evaluated, study

DELTA = 0.01


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any, list[Figure]]:
    """An evaluation, its comparisons with every verdict among them, and the figures that are drawn from now on."""
    study(tmp_path, lambda artifact, signals: 2.0 if signals["source"] is None else 1.0, models=("cnn", "lstm"))
    evaluation = evaluated(tmp_path, DELTA)
    found = [each for each in answers(evaluation).comparisons if each.kind == "quantized-minus-float"]
    assert len(found) == 4
    verdicts: list[Verdict] = list(STYLES)
    shifts = {"better": 0.05, "worse": -0.05, "no-difference": 0.0, "undecided": 0.02}
    some = [
        replace(each, verdict=verdict, estimate=shift, low=shift - 0.01, high=shift + 0.02)
        for each, verdict, shift in zip(found, verdicts, map(shifts.__getitem__, verdicts), strict=True)
    ]
    drawn: list[Figure] = []

    class Kept(Figure):
        def savefig(self, *arguments: object, **options: object) -> None:
            drawn.append(self)
            super().savefig(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(pulseproof.report.figures.forest, "Figure", Kept)
    return evaluation, some, drawn


def test_every_comparison_stands_where_its_numbers_say(made: Any, tmp_path: Path) -> None:
    evaluation, some, drawn = made
    path = tmp_path / "forest.png"
    assert draw_forest(evaluation, some, "host", path)
    height, width = matplotlib.image.imread(path).shape[:2]
    assert 800 < width < 2000 and 200 < height < 2000
    panels = drawn[0].axes
    assert [axes.get_title() for axes in panels] == ["clean", "worst case at 0.02 mV"]
    files = [label.get_text() for label in panels[0].get_yticklabels()]
    assert files == ["cnn/onnx-int8-static", "lstm/onnx-int8-static"]
    for each in some:
        lines = [line.get_xydata() for line in panels[each.signals.startswith("worst")].get_lines()]
        at = files.index(each.a)
        assert any(line.tolist() == [[each.low, at], [each.high, at]] for line in lines)
        assert any(line.tolist() == [[each.estimate, at]] for line in lines)


def test_a_verdict_is_said_by_shape_and_word_and_the_device_and_note_are_named(made: Any, tmp_path: Path) -> None:
    evaluation, some, drawn = made
    assert len({style["marker"] for style in STYLES.values()}) == len(STYLES)
    draw_forest(evaluation, some, "host", tmp_path / "forest.png")
    for each in some:
        axes = drawn[0].axes[each.signals.startswith("worst")]
        (dot,) = [
            line
            for line in axes.get_lines()
            if line.get_xydata().tolist()[0][0] == each.estimate and len(line.get_xydata()) == 1
        ]
        assert dot.get_marker() == STYLES[each.verdict]["marker"]
    texts = [text.get_text() for text in drawn[0].findobj(lambda each: hasattr(each, "get_text"))]
    assert set(WORDS.values()) | {f"at most {DELTA:g}"} <= set(texts)
    assert any("host, measured-on-host" in text for text in texts)


def test_without_comparisons_there_is_no_file(made: Any, tmp_path: Path) -> None:
    evaluation, some, _ = made
    path = tmp_path / "forest.png"
    assert not draw_forest(evaluation, [], "host", path)
    assert not draw_forest(evaluation, some, "another", path)
    others = [replace(each, kind="tflite-minus-onnx") for each in some]
    assert not draw_forest(evaluation, others, "host", path) and not path.exists()


def test_clean_alone_is_one_panel(made: Any, tmp_path: Path) -> None:
    evaluation, some, drawn = made
    assert draw_forest(evaluation, [each for each in some if each.signals == "clean"], "host", tmp_path / "forest.png")
    assert [axes.get_title() for axes in drawn[0].axes] == ["clean"]
