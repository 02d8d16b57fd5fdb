"""The charts: lines that stand where the rows say, in the page and in the PNG files, and no chart where nothing was
measured."""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from pulseproof.core.recipes import RECIPES
from pulseproof.report.charts import budget as budget_chart
from pulseproof.report.charts.budget import BudgetCurves, budget_curves
from pulseproof.report.charts.cost import CostPicture, device_picture, drawn, scales
from pulseproof.report.charts.drawing import SHAPES, Box, Disc, Drawing, Part, Words, log_ticks, mark
from pulseproof.report.charts.drawing import Path as Line
from pulseproof.report.charts.png import ZOOM, look, width_of, write_png
from pulseproof.report.charts.sheets import budget_sheet, cost_sheet, matrix_sheet, write_sheet
from pulseproof.report.numbers.evaluation import Evaluation, evaluate
from pulseproof.report.numbers.pivot import lines_of
from pulseproof.report.numbers.texts import auc_text
from pulseproof.report.page import write_report
from pulseproof.report.tables.matrix import matrices
from tests.bench.making import change_json, give, make_build, write_result

MODELS = ("decision-tree", "random-forest", "logistic-regression", "cnn", "lstm", "ecg-lens")
CONTROLS = ("random-sign", "noise-bw")


def sheets(evaluation: Evaluation, budget: float | None = 0.02) -> list[Drawing]:
    """The two sheets of all lines, those that there are."""
    lines = lines_of(evaluation)
    found = [budget_sheet(evaluation, lines), cost_sheet(evaluation, "host", device_picture(lines, budget))]
    return [each for each in found if each is not None]


def words(drawing: Drawing) -> str:
    """All that is written in a drawing."""
    return "\n".join(part.text for part in drawing.parts if isinstance(part, Words))


def points(drawing: Drawing, classes: str) -> list[tuple[float, float]]:
    """Where the marks of these classes stand."""
    marks = [part for part in drawing.parts if isinstance(part, Disc) and part.classes == classes]
    return [each.center for each in marks]


def test_the_pictures_are_png_files_of_a_sensible_size_and_the_same_each_time(tmp_path: Path) -> None:
    make_build(tmp_path, models=MODELS, sources=("cnn", "lstm"))
    found = sheets(evaluate(tmp_path, 100))
    assert len(found) == 2
    for at, sheet in enumerate(found):
        path = tmp_path / "pictures" / f"{at}.png"
        assert write_sheet(sheet, path)
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        assert 10_000 < path.stat().st_size < 1_000_000
        pixels = matplotlib.image.imread(path)
        assert pixels.shape[:2] == (int(ZOOM * sheet.height), int(ZOOM * sheet.width))
        assert 0.005 < np.mean(pixels[..., :3].min(axis=2) < 0.9) < 0.5  # neither empty nor full
        before = path.read_bytes()
        write_png(sheet, path)
        assert path.read_bytes() == before and b"atplotlib" not in before
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == ["0.png", "1.png"]


def test_nothing_measured_is_no_picture(tmp_path: Path) -> None:
    make_build(tmp_path)
    for path in (tmp_path / "results").rglob("*.json"):
        path.unlink()
    evaluation = evaluate(tmp_path, 100)
    assert sheets(evaluation) == []
    assert budget_sheet(evaluation, []) is None
    assert device_picture([], 0.02) is None
    assert write_sheet(None, tmp_path / "pictures" / "a.png") is False
    assert not (tmp_path / "pictures").exists()
    assert [matrix_sheet(evaluation, each) for each in matrices(evaluation, 0.02)] == [None]


def test_what_failed_everywhere_is_no_picture(tmp_path: Path) -> None:
    head = make_build(tmp_path)
    for artifact in head["artifacts"]:
        for signals in head["signals"]:
            write_result(tmp_path / "results" / "host", head, artifact, signals, None)
    assert sheets(evaluate(tmp_path, 100)) == []


def test_without_attacks_there_is_latency_against_the_clean_auc(tmp_path: Path) -> None:
    make_build(tmp_path, budgets=())
    evaluation = evaluate(tmp_path, 100)
    (sheet,) = sheets(evaluation, budget=None)
    assert "clean macro AUC" in words(sheet)
    assert "median latency" in words(sheet)


def test_a_budget_that_nobody_made_is_no_picture(tmp_path: Path) -> None:
    make_build(tmp_path)
    (sheet,) = sheets(evaluate(tmp_path, 100), budget=0.5)
    assert "AUC under attack" in words(sheet)


@pytest.mark.parametrize("patients", [1, 40])
def test_half_of_the_results_is_drawn(tmp_path: Path, patients: int) -> None:
    """No interval, no clean result, no latency: each leaves its mark out, and the rest is drawn."""
    make_build(tmp_path, models=("cnn", "lstm", "ecg-lens"), patients=patients)
    host = tmp_path / "results" / "host"
    (host / "lstm__onnx-fp32" / "clean.json").unlink()
    change_json(host / "ecg-lens__onnx-fp32" / "clean.json", latency_ms=None)
    (host / "cnn__onnx-fp32" / "pgd-cnn-0.02mV.json").unlink()
    evaluation = evaluate(tmp_path, 100)
    for at, sheet in enumerate(sheets(evaluation)):
        write_png(sheet, tmp_path / f"{at}.png")
    assert (tmp_path / "1.png").exists()
    picture = device_picture(lines_of(evaluation), 0.02)
    assert picture is not None
    timed = {each.artifact for each in picture.points}
    assert "cnn/onnx-int8-static" in timed
    assert not timed & {"lstm/onnx-fp32", "ecg-lens/onnx-fp32"}


def test_a_picture_is_replaced_whole_or_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_build(tmp_path)
    (sheet, _) = sheets(evaluate(tmp_path, 100))
    path = tmp_path / "pictures" / "budget.png"
    path.parent.mkdir()
    path.write_text("the old picture")

    def full(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Figure, "savefig", full)
        with pytest.raises(OSError, match="no space"):
            write_png(sheet, path)
    assert path.read_text() == "the old picture"
    write_png(sheet, path)
    assert [each.name for each in path.parent.iterdir()] == ["budget.png"]
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("synthetic", [True, False])
def test_a_picture_names_its_study_device_and_note(tmp_path: Path, synthetic: bool) -> None:
    make_build(tmp_path, models=("cnn", "decision-tree"), synthetic=synthetic, note="subset of 12 records")
    found = sheets(evaluate(tmp_path, 100))
    assert len(found) == 2
    for sheet in found:
        text = words(sheet)
        for said in ("A made study", "host, measured-on-host", "subset of 12 records", "onnx-fp32", "cnn"):
            assert said in text
        assert ("SYNTHETIC recordings" in text) is synthetic
        loud = [part for part in sheet.parts if isinstance(part, Words) and "loud" in part.classes.split()]
        assert bool(loud) is synthetic
    assert "decision-tree (by transfer only)" in words(found[0])
    assert "cnn (by transfer only)" not in words(found[0])


def test_a_stranger_s_title_is_text_in_a_picture_and_is_not_cut(tmp_path: Path) -> None:
    """A dollar begins no formula, a control character is a space, a long title has several lines."""
    title = r"$\frac{1}{ of <script> " + "a long title of many words " * 8 + "\x1b[31m\u202e end"
    make_build(tmp_path, models=("cnn",))
    change_json(tmp_path / "bundle" / "bundle.json", title=title)
    for at, sheet in enumerate(sheets(evaluate(tmp_path, 100))):
        write_png(sheet, tmp_path / f"{at}.png")
        told = [part for part in sheet.parts if isinstance(part, Words) and "title" in part.classes.split()]
        assert len(told) > 1
        assert r"$\frac{1}{ of <script>" in told[0].text and "end" in told[-1].text
        for part in sheet.parts:
            if isinstance(part, Words) and part.anchor == "start":
                size = float(look(f"words {part.classes}")["font-size"].removesuffix("px"))
                assert part.point[0] + width_of(part.text, size) < sheet.width
    assert (tmp_path / "0.png").exists()


def made(tmp_path: Path) -> tuple[Evaluation, BudgetCurves, CostPicture]:
    head = make_build(tmp_path, recipes=("onnx-fp32",), sources=("cnn", "lstm"), controls=CONTROLS)
    give(tmp_path, head, "cnn/onnx-fp32", "pgd-lstm-0.02mV", 0.1)  # stronger than what was made on the model
    evaluation = evaluate(tmp_path, 100)
    curves, picture = budget_curves(lines_of(evaluation)), device_picture(lines_of(evaluation), 0.02)
    assert curves is not None and picture is not None
    return evaluation, curves, picture


def test_the_points_stand_where_the_rows_say(tmp_path: Path) -> None:
    evaluation, curves, picture = made(tmp_path)
    rows = {(row.method, row.source, row.budget_mv): row for row in evaluation.rows}
    clean = rows["clean", None, 0.0]
    (panel,) = curves.panels
    across, up, clean_at = budget_chart.scales((0.005, 0.02))

    def at(budget: float, auc: float | None) -> tuple[float, float]:
        assert auc is not None
        return across(budget), up(auc)

    aucs = [clean.auc, rows["pgd", "cnn", 0.005].auc, rows["pgd", "lstm", 0.02].auc]
    attacked = [at(x, auc) for x, auc in zip((clean_at, 0.005, 0.02), aucs, strict=True)]
    np.testing.assert_allclose(points(panel.drawing, "mark onnx"), attacked[:2])
    np.testing.assert_allclose(points(panel.drawing, "mark onnx hollow"), attacked[2:])
    lines = {part.classes: part.points for part in panel.drawing.parts if isinstance(part, Line)}
    worst = [at(clean_at, clean.auc), *(at(x, rows["worst-case", None, x].auc) for x in (0.005, 0.02))]
    np.testing.assert_allclose(lines["curve dotted onnx"], worst)
    solid = [part.points for part in panel.drawing.parts if isinstance(part, Line) and part.classes == "curve onnx"]
    np.testing.assert_allclose(solid[0], attacked)
    np.testing.assert_allclose(solid[1], [at(clean_at, clean.auc_low), at(clean_at, clean.auc_high)])
    noise = [[rows[name, None, budget].auc or math.nan for name in CONTROLS] for budget in (0.005, 0.02)]
    upper = [up(value) - 1 for value in (clean.auc or math.nan, *map(max, noise))]
    lower = [up(value) + 1 for value in (clean.auc or math.nan, *map(min, noise))]
    assert [y for _, y in lines["band"]] == pytest.approx([*upper, *reversed(lower)])
    x, y = scales(picture, 760, 430)
    (point,) = points(drawn(picture, 760, 430), "mark onnx hollow")  # its lowest attack came from another model
    assert point == pytest.approx((x(clean.latency_p50_ms or 0), y(rows["pgd", "lstm", 0.02].auc or 0)))


def test_the_page_and_the_file_hold_the_same_drawing(tmp_path: Path) -> None:
    """What a browser is given of a panel is what the PNG is painted from."""
    evaluation, curves, _ = made(tmp_path)
    page = write_report(evaluation, tmp_path / "report").read_text()
    sheet = budget_sheet(evaluation, lines_of(evaluation))
    assert sheet is not None and (tmp_path / "report" / "auc-vs-budget-host.png").stat().st_size > 10_000
    (panel,) = curves.panels
    first = panel.drawing.parts[0]
    assert isinstance(first, Line)
    places = [part for part in sheet.parts if isinstance(part, Line) and part.classes == first.classes]
    dx, dy = (np.subtract(places[0].points[0], first.points[0])).tolist()
    assert set(panel.drawing.at(dx, dy)) <= set(sheet.parts)
    for part in panel.drawing.parts:
        if isinstance(part, Disc):
            assert f'<circle class="{part.classes}" cx="{part.center[0]:.1f}" cy="{part.center[1]:.1f}"' in page
            assert f"<title>{part.says}</title>" in page


def test_the_matrix_is_a_picture_with_every_number_and_mark(tmp_path: Path) -> None:
    further = [("twin", "cnn/onnx-int8-static"), ("ensemble", "without-cnn")]
    make_build(tmp_path, models=("cnn", "lstm", "decision-tree"), sources=("cnn", "lstm"), further=further)
    evaluation = evaluate(tmp_path, 100)
    (matrix,) = matrices(evaluation, 0.02)
    sheet = matrix_sheet(evaluation, matrix)
    assert sheet is not None
    write_png(sheet, tmp_path / "matrix.png")
    assert (tmp_path / "matrix.png").read_bytes().startswith(b"\x89PNG")
    texts = {part.text: part for part in sheet.parts if isinstance(part, Words)}
    across = {name: texts[name].point[0] - 4 for name in matrix.columns}
    down = {each.artifact: texts[each.artifact].point[1] for each in matrix.targets}

    def written(x: float, y: float) -> list[str]:
        here = [part for part in sheet.parts if isinstance(part, Words) and part.anchor == "middle"]
        return [part.text for part in here if part.point == pytest.approx((x, y))]

    def boxes(x: float, y: float) -> list[str]:
        return [
            part.classes
            for part in sheet.parts
            if isinstance(part, Box) and part.x < x < part.x + part.width and part.y < y - 4 < part.y + part.height
        ]

    for target in matrix.targets:
        for name in matrix.columns:
            place = across[name], down[target.artifact]
            if name not in target.rows:
                assert (written(*place), boxes(*place)) == (["-"], [])
                continue
            auc = target.rows[name].auc or 0.0
            assert written(*place) == [auc_text(auc) + ("*" if name == target.strongest else "")]
            assert boxes(*place) == [f"h{round(10 * auc)}", *(["frame"] if name in target.own else [])]
    assert any(each.own for each in matrix.targets)
    assert "SYNTHETIC recordings" in words(sheet)


def test_the_file_is_painted_as_the_style_sheet_says(tmp_path: Path) -> None:
    assert look("mark onnx") == {"stroke-width": "1.3", "stroke": "#0072b2", "fill": "#0072b2"}
    assert look("mark onnx hollow")["fill"] == "#ffffff"  # the paper's, and that is white here
    assert look("curve dotted tflite") | {"stroke": ""} == {
        "stroke": "",
        "stroke-width": "1.4",
        "stroke-dasharray": "1.5 3",
        "stroke-linecap": "round",
    }
    assert look("nothing is called so") == {}
    parts: tuple[Part, ...] = (Box(0, 0, 40, 40, "h0"), Disc((60, 20), 10, "estimate"))
    write_png(Drawing(80, 40, parts), tmp_path / "a.png")
    pixels = np.round(255 * matplotlib.image.imread(tmp_path / "a.png")[..., :3]).astype(int)
    assert pixels[40, 40].tolist() == [0x00, 0x22, 0x4E]
    assert pixels[40, 120].tolist() == [0x1C, 0x1B, 0x19]
    assert pixels[2, 158].tolist() == [255, 255, 255]


def test_every_class_that_is_drawn_has_a_look(tmp_path: Path) -> None:
    make_build(tmp_path, models=("cnn", "decision-tree"))
    evaluation = evaluate(tmp_path, 100)
    every = [
        *sheets(evaluation),
        *filter(None, (matrix_sheet(evaluation, each) for each in matrices(evaluation, 0.02))),
    ]
    for part in (part for sheet in every for part in sheet.parts):
        told = look(f"words {part.classes}" if isinstance(part, Words) else part.classes)
        assert {"fill", "stroke", "background"} & set(told), part


def test_every_recipe_has_a_marker_of_its_own_and_every_format_a_color() -> None:
    markers = [recipe.marker for recipe in RECIPES.values()]
    assert len(set(markers)) == len(markers) and set(markers) <= set(SHAPES)
    colors = {recipe.format: look(mark((0, 0), recipe.name).classes)["fill"] for recipe in RECIPES.values()}
    assert len(set(colors.values())) == len(colors) > 1


@pytest.mark.parametrize(("low", "high", "a_decade"), [(0.2, 1.0, 6), (0.014, 4.6, 3), (0.001, 30.0, 1)])
def test_a_wide_axis_has_fewer_ticks_a_decade(low: float, high: float, a_decade: int) -> None:
    ticks = log_ticks(low, high)
    assert all(low <= tick <= high for tick in ticks)
    factors = {round(tick / 10 ** math.floor(math.log10(tick) + 1e-9), 6) for tick in ticks}
    assert len(factors) <= a_decade and 1.0 in factors
    assert 2 <= len(ticks) <= 9
