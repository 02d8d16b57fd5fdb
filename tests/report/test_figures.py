"""The pictures: files that a viewer opens, none where nothing was measured, and lines that stand where the rows say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

import pulseproof.report.figures.charts
import pulseproof.report.figures.heatmap
from pulseproof.core.recipes import RECIPES
from pulseproof.report.figures.charts import DPI, FORMATS, _tick_factors, auc_against_budget, latency_against_auc
from pulseproof.report.figures.heatmap import draw_matrix
from pulseproof.report.numbers.evaluation import Evaluation, evaluate
from pulseproof.report.numbers.pivot import lines_of
from pulseproof.report.numbers.texts import auc_text
from pulseproof.report.page.charts.svg import SHAPES
from pulseproof.report.tables.matrix import matrices
from tests.bench.making import change_json, give, make_build, write_result

MODELS = ("decision-tree", "random-forest", "logistic-regression", "cnn", "lstm", "ecg-lens")


def draw(evaluation: Evaluation, folder: Path, budget: float | None = 0.02) -> list[Path]:
    """Both pictures of all lines; returns the files that the functions say they wrote."""
    lines = lines_of(evaluation)
    paths = [folder / "budget.png", folder / "latency.png"]
    said = [auc_against_budget(evaluation, lines, paths[0]), latency_against_auc(evaluation, lines, budget, paths[1])]
    assert [path.exists() for path in paths] == said
    return [path for path, wrote in zip(paths, said, strict=True) if wrote]


@contextmanager
def captured(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Figure]]:
    """The figures that are drawn, as objects."""
    seen: list[Figure] = []

    class Kept(Figure):
        def savefig(self, *arguments: object, **options: object) -> None:
            seen.append(self)
            super().savefig(*arguments, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(pulseproof.report.figures.charts, "Figure", Kept)
        yield seen


def words(figure: Figure) -> str:
    """All that is written in a figure."""
    texts = [text.get_text() for text in figure.findobj(lambda each: hasattr(each, "get_text"))]
    return "\n".join(texts)


def test_the_pictures_are_png_files_of_a_sensible_size(tmp_path: Path) -> None:
    make_build(tmp_path, models=MODELS, sources=("cnn", "lstm"))
    evaluation = evaluate(tmp_path, 100)
    paths = draw(evaluation, tmp_path / "pictures")
    assert len(paths) == 2
    for path in paths:
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        assert 10_000 < path.stat().st_size < 1_000_000
        pixels = matplotlib.image.imread(path)
        height, width = pixels.shape[:2]
        assert 3 * DPI < height < 20 * DPI
        assert 3 * DPI < width < 20 * DPI
        assert 0.005 < np.mean(pixels[..., :3].min(axis=2) < 0.9) < 0.5  # neither empty nor full
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == ["budget.png", "latency.png"]


def test_nothing_measured_is_no_picture(tmp_path: Path) -> None:
    make_build(tmp_path)
    for path in (tmp_path / "results").rglob("*.json"):
        path.unlink()
    assert draw(evaluate(tmp_path, 100), tmp_path / "pictures") == []
    assert not (tmp_path / "pictures").exists()
    assert auc_against_budget(evaluate(tmp_path, 100), [], tmp_path / "a.png") is False
    assert latency_against_auc(evaluate(tmp_path, 100), [], 0.02, tmp_path / "b.png") is False


def test_what_failed_everywhere_is_no_picture(tmp_path: Path) -> None:
    head = make_build(tmp_path)
    for artifact in head["artifacts"]:
        for signals in head["signals"]:
            write_result(tmp_path / "results" / "host", head, artifact, signals, None)
    assert draw(evaluate(tmp_path, 100), tmp_path / "pictures") == []


def test_without_attacks_there_is_latency_against_the_clean_auc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_build(tmp_path, budgets=())
    with captured(monkeypatch) as figures:
        paths = draw(evaluate(tmp_path, 100), tmp_path / "pictures", budget=None)
    assert [path.name for path in paths] == ["latency.png"]
    assert figures[0].axes[0].get_ylabel() == "clean macro AUC"


def test_a_budget_that_nobody_made_is_no_picture(tmp_path: Path) -> None:
    make_build(tmp_path)
    assert [path.name for path in draw(evaluate(tmp_path, 100), tmp_path, budget=0.5)] == ["budget.png"]


@pytest.mark.parametrize("patients", [1, 40])
def test_half_of_the_results_is_drawn(tmp_path: Path, patients: int) -> None:
    """No interval, no clean result, no latency: each leaves its mark out, and the rest is drawn."""
    make_build(tmp_path, models=("cnn", "lstm", "ecg-lens"), patients=patients)
    host = tmp_path / "results" / "host"
    (host / "lstm__onnx-fp32" / "clean.json").unlink()
    change_json(host / "ecg-lens__onnx-fp32" / "clean.json", latency_ms=None)
    (host / "cnn__onnx-fp32" / "pgd-cnn-0.02mV.json").unlink()
    assert len(draw(evaluate(tmp_path, 100), tmp_path / "pictures")) == 2


def test_a_picture_is_replaced_whole_or_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_build(tmp_path)
    evaluation = evaluate(tmp_path, 100)
    path = tmp_path / "pictures" / "budget.png"
    path.parent.mkdir()
    path.write_text("the old picture")

    def full(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Figure, "savefig", full)
        with pytest.raises(OSError, match="no space"):
            auc_against_budget(evaluation, lines_of(evaluation), path)
    assert path.read_text() == "the old picture"
    assert auc_against_budget(evaluation, lines_of(evaluation), path)
    assert [each.name for each in path.parent.iterdir()] == ["budget.png"]
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("synthetic", [True, False])
def test_a_picture_names_its_study_device_and_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synthetic: bool
) -> None:
    make_build(tmp_path, models=("cnn", "decision-tree"), synthetic=synthetic, note="subset of 12 records")
    with captured(monkeypatch) as figures:
        draw(evaluate(tmp_path, 100), tmp_path / "pictures")
    assert len(figures) == 2
    for figure in figures:
        text = words(figure)
        for said in ("A made study", "host, measured-on-host", "subset of 12 records", "onnx-fp32", "cnn"):
            assert said in text
        assert ("SYNTHETIC recordings" in text) is synthetic
        assert "decision-tree (by transfer only)" in text
        assert "cnn (by transfer only)" not in text


def test_the_points_stand_where_the_rows_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    controls = ("random-sign", "noise-bw")
    head = make_build(tmp_path, recipes=("onnx-fp32",), sources=("cnn", "lstm"), controls=controls)
    give(tmp_path, head, "cnn/onnx-fp32", "pgd-lstm-0.02mV", 0.1)  # stronger than what was made on the model
    evaluation = evaluate(tmp_path, 100)
    by_method = {(row.method, row.source, row.budget_mv): row for row in evaluation.rows}
    clean = by_method["clean", None, 0.0]
    with captured(monkeypatch) as figures:
        draw(evaluation, tmp_path / "pictures")
    lines = figures[0].axes[0].get_lines()
    (solid,) = [line for line in lines if line.get_marker() == "o" and line.get_linestyle() == "-"]
    expected = [clean.auc, by_method["pgd", "cnn", 0.005].auc, by_method["pgd", "lstm", 0.02].auc]
    np.testing.assert_array_equal(solid.get_ydata(), expected)
    np.testing.assert_allclose(np.asarray(solid.get_xdata())[1:], [0.005, 0.02])
    (hollow,) = [line for line in lines if line.get_marker() == "o" and line.get_linestyle() == "None"]
    assert (list(hollow.get_xdata()), list(hollow.get_ydata())) == ([0.02], expected[2:])
    assert to_hex(solid.get_markerfacecolor()) == to_hex(FORMATS["onnx"])  # type: ignore[arg-type]
    assert to_hex(hollow.get_markerfacecolor()) == "#ffffff"  # type: ignore[arg-type]
    worst = [clean.auc, *(by_method["worst-case", None, budget].auc for budget in (0.005, 0.02))]
    assert any(line.get_linestyle() == ":" and list(line.get_ydata()) == worst for line in lines)
    (band,) = figures[0].axes[0].collections
    heights = band.get_paths()[0].vertices[:, 1]
    noise = [by_method[name, None, budget].auc for name in controls for budget in (0.005, 0.02)]
    assert {round(height, 9) for height in heights} == {round(value, 9) for value in [*noise, clean.auc] if value}
    bars = [line for line in figures[0].axes[0].get_lines() if line.get_marker() == "None"]
    assert any(list(line.get_ydata()) == [clean.auc_low, clean.auc_high] for line in bars)
    (point,) = [line for line in figures[1].axes[0].get_lines() if line.get_marker() == "o"]
    assert list(point.get_xdata()) == [clean.latency_p50_ms]
    assert list(point.get_ydata()) == [by_method["pgd", "lstm", 0.02].auc]


def test_the_matrix_is_a_picture_with_every_number_and_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    further = [("twin", "cnn/onnx-int8-static"), ("ensemble", "without-cnn")]
    make_build(tmp_path, models=("cnn", "lstm", "decision-tree"), sources=("cnn", "lstm"), further=further)
    evaluation = evaluate(tmp_path, 100)
    (matrix,) = matrices(evaluation, 0.02)
    with captured(monkeypatch) as figures:
        monkeypatch.setattr(pulseproof.report.figures.heatmap, "Figure", pulseproof.report.figures.charts.Figure)
        assert draw_matrix(evaluation, matrix, tmp_path / "matrix.png")
    assert (tmp_path / "matrix.png").read_bytes().startswith(b"\x89PNG")
    (figure,) = figures
    written = {(text.get_position(), text.get_text()) for text in figure.axes[0].texts}
    expected = {
        ((at, line), auc_text(target.rows[name].auc) + ("*" if name == target.strongest else ""))
        for line, target in enumerate(matrix.targets)
        for at, name in enumerate(matrix.columns)
        if name in target.rows
    }
    assert written == expected
    frames = {tuple(np.round(np.add(each.get_xy(), (0.46, 0.44))).astype(int)) for each in figure.axes[0].patches}
    own = {(matrix.columns.index(name), at) for at, each in enumerate(matrix.targets) for name in each.own}
    assert frames == own
    assert "SYNTHETIC recordings" in words(figure)


def test_a_matrix_without_numbers_is_no_picture(tmp_path: Path) -> None:
    make_build(tmp_path)
    for path in (tmp_path / "results").rglob("*.json"):
        path.unlink()
    evaluation = evaluate(tmp_path, 100)
    (matrix,) = matrices(evaluation, 0.02)
    assert draw_matrix(evaluation, matrix, tmp_path / "matrix.png") is False
    assert not (tmp_path / "matrix.png").exists()


def test_every_recipe_has_a_marker_of_its_own_and_every_format_a_color() -> None:
    markers = [recipe.marker for recipe in RECIPES.values()]
    assert len(set(markers)) == len(markers) and set(markers) <= set(SHAPES)
    assert {recipe.format for recipe in RECIPES.values()} == set(FORMATS)
    assert len(set(FORMATS.values())) == len(FORMATS)


@pytest.mark.parametrize(
    ("latencies", "ticks"), [((0.2, 1.0), 6), ((0.014, 4.6), 3), ((0.001, 30.0), 1), ((0.5, 0.5), 6)]
)
def test_a_wide_latency_axis_has_fewer_ticks_a_decade(latencies: tuple[float, ...], ticks: int) -> None:
    assert len(_tick_factors(latencies)) == ticks
