"""The viewer in a browser: what stands on the paper are the recorder's own steps, to the scale that it claims."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.report.making_report import LEADS


def drawn(page: Any, kind: str, at: int = 0) -> np.ndarray:
    """The points (x, y) of a line on the paper, mm."""
    path = page.locator(f"#viewer-paper path.trace.{kind}").nth(at).get_attribute("d")
    return np.array([[float(part) for part in point.split(",")] for point in path.removeprefix("M").split("L")])


def recording(page: Any) -> int:
    found = re.match(r"Recording (\d+) ", page.locator("#viewer-said").inner_text())
    assert found is not None
    return int(found[1])


def steps(home: Path, name: str, row: int, lead: str = "II") -> Any:
    return np.load(home / "bundle" / "signals" / f"{name}.npy")[row, LEADS.index(lead)].astype(float)


def wait(page: Any, text: str) -> None:
    page.locator("#viewer-said", has_text=text).wait_for()


def name_of(page: Any) -> str:
    values = [page.locator(f"#viewer-{key}").input_value() for key in ("method", "source", "budget")]
    return f"{values[0]}-{values[1].replace('/', '.')}-{values[2]}mV"


def test_lines_are_the_recorder_s_steps_at_25_mm_a_second_and_10_mm_a_millivolt(
    home: Path, page_file: Path, open_page: Any
) -> None:
    page = open_page(page_file)
    row, name = recording(page), name_of(page)
    clean, attacked = steps(home, "clean", row), steps(home, name, row)
    lines = {"clean": 0.001 * clean, "attacked": 0.001 * attacked}
    zero = None
    for kind, values in lines.items():
        points = drawn(page, kind)
        assert np.diff(points[:, 0]) == pytest.approx(25 / 100, abs=0.011)
        found = points[:, 1] + 10 * values
        assert found == pytest.approx(found[0], abs=0.011)  # the same 0 mV for all: y is rounded to .01 mm
        zero = found[0] if zero is None else zero
        assert found[0] == pytest.approx(zero, abs=0.011)
    magnified = re.search(r"drawn (\d+) times magnified", page.locator("#viewer-said").inner_text())
    assert magnified is not None
    points = drawn(page, "difference")
    middle = points[:, 1] + 10 * int(magnified[1]) * 0.001 * (attacked - clean)
    assert middle == pytest.approx(middle[0], abs=0.011)
    sheet = page.locator("#viewer-paper svg")
    box = sheet.get_attribute("viewBox").split()
    assert sheet.get_attribute("width") == f"{box[2]}mm"
    assert sheet.get_attribute("height") == f"{box[3]}mm"


def test_clean_and_attacked_differ_by_more_than_color(page_file: Path, open_page: Any) -> None:
    page = open_page(page_file)
    style = "(each) => { const s = getComputedStyle(each); return [parseFloat(s.strokeWidth), s.strokeDasharray]; }"
    clean = page.locator(".trace.clean").last.evaluate(style)
    attacked = page.locator(".trace.attacked").last.evaluate(style)
    assert clean[0] > 2 * attacked[0]
    assert clean[1] == "none"
    assert attacked[1] != "none"


def test_record_budget_and_method_can_be_chosen(home: Path, page_file: Path, open_page: Any) -> None:
    page = open_page(page_file)
    first = recording(page)
    said = page.locator("#viewer-said").inner_text()
    page.locator("#viewer-record").focus()
    page.keyboard.press("ArrowDown")
    page.locator("#viewer-said").filter(has_not_text=said).wait_for()
    second = recording(page)
    assert second != first
    for budget in ("0.005", "0.02"):
        page.select_option("#viewer-budget", budget)
        wait(page, f"at {budget} mV")
        change = steps(home, name_of(page), second) - steps(home, "clean", second)
        points = drawn(page, "difference")
        assert np.corrcoef(-points[:, 1], change)[0, 1] > 0.999
    page.select_option("#viewer-method", "square")
    wait(page, "square made on cnn/onnx-int8-static")
    page.select_option("#viewer-method", "random-sign")
    wait(page, "random-sign at 0.02 mV")
    page.select_option("#viewer-lead", "all")
    page.locator("#viewer-paper .trace.clean").nth(2).wait_for()
    label = page.locator("#viewer-paper svg").get_attribute("aria-label")
    assert label.startswith(f"ECG, lead all. Recording {second}")


def test_scores_are_those_that_were_measured(home: Path, page_file: Path, open_page: Any) -> None:
    page = open_page(page_file)
    page.select_option("#viewer-artifact", "lstm/onnx-int8-static")
    wait(page, "lstm/onnx-int8-static")
    row = recording(page)
    place = home / "results" / "host" / "lstm__onnx-int8-static"
    before, after = (np.load(place / f"{name}.npy")[row] for name in ("clean", name_of(page)))
    thresholds = next(
        each["thresholds"]
        for each in json.loads((home / "bundle" / "bundle.json").read_text())["artifacts"]
        if each["name"] == "lstm/onnx-int8-static"
    )
    labels = np.load(home / "bundle" / "labels.npy")[row]
    rows = page.locator("#viewer-scores tbody tr")
    assert rows.count() == len(labels)
    flips = 0
    for at in range(len(labels)):
        cells = rows.nth(at).locator("td").all_inner_texts()
        said = ["yes" if scores[at] >= thresholds[at] else "no" for scores in (before, after)]
        assert cells[0] == ("yes" if labels[at] else "no")
        assert cells[1] == f"{before[at]:.3f} {said[0]}"
        assert cells[2] == f"{after[at]:.3f} {said[1]}"
        assert float(cells[3].replace("\u2212", "-")) == pytest.approx(after[at] - before[at], abs=0.0006)
        assert cells[4] == ("flips" if said[0] != said[1] else "stays")
        flips += said[0] != said[1]
    assert f"{flips} of {len(labels)} decisions flip" in page.locator("#viewer-said").inner_text()


def test_what_was_not_run_is_said(page_file: Path, open_page: Any) -> None:
    page = open_page(page_file)
    page.select_option("#viewer-method", "square")
    page.select_option("#viewer-artifact", "lstm/onnx-fp32")
    wait(page, "lstm/onnx-fp32 was not run on this signal set")
    assert page.locator("#viewer-scores tr").count() == 0
