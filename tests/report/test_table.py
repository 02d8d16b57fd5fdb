"""The table in its four forms: the warnings that must stand in each, the worst case and where it was made, and text
that other programs read back."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from pulseproof.report.numbers.evaluation import Evaluation, evaluate
from pulseproof.report.numbers.flagged import NONE
from pulseproof.report.numbers.pivot import DeviceLine, budgets, fullest_budget, lines_of, middle_budget
from pulseproof.report.numbers.rows import Row
from pulseproof.report.numbers.texts import auc_text, signed, span
from pulseproof.report.tables.remarks import attacked_text, noise_text, remarks
from pulseproof.report.tables.table import KEYS, as_csv, as_json, as_markdown, cells, print_terminal
from tests.bench.making import CLASSES, audit, change_json, flag, give, make_build, scores_of_auc, write_result

CLEAN = "clean"


def terminal(evaluation: Evaluation, width: int = 200, live: bool = False) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=live, no_color=True, legacy_windows=False)
    print_terminal(evaluation, console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def line_of(evaluation: Evaluation, artifact: str) -> DeviceLine:
    (found,) = [line for line in lines_of(evaluation) if line.clean.artifact == artifact]
    return found


def markdown_rows(text: str) -> list[list[str]]:
    """The cells of the table's lines, by the rules of GitHub: a '|' that is escaped does not part cells."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def csv_rows(rows: Sequence[Row]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(as_csv(rows))))


@pytest.mark.parametrize("note", ["SYNTHETIC", None, "12 records"])
def test_synthetic_is_said_in_every_form(tmp_path: Path, note: str | None) -> None:
    make_build(tmp_path, note=note)
    evaluation = evaluate(tmp_path, 100)
    said = "SYNTHETIC recordings: nothing here is about patients"
    assert said in terminal(evaluation)
    assert said in terminal(evaluation, width=60, live=True)
    assert said in as_markdown(evaluation)
    assert all("SYNTHETIC" in row["note"] for row in json.loads(as_json(evaluation.rows)))
    assert all("SYNTHETIC" in row["note"] for row in csv_rows(evaluation.rows))


def test_real_recordings_are_not_called_synthetic_and_a_subset_is_named(tmp_path: Path) -> None:
    make_build(tmp_path, synthetic=False, note="subset of 2,943 records")
    evaluation = evaluate(tmp_path, 100)
    for text in (terminal(evaluation), as_markdown(evaluation), as_json(evaluation.rows), as_csv(evaluation.rows)):
        assert "SYNTHETIC" not in text
        assert "subset of 2,943 records" in text


def test_a_quantized_artifact_far_from_its_parent_has_a_star_and_a_footnote(tmp_path: Path) -> None:
    head = make_build(tmp_path, models=("cnn", "lstm"))
    give(tmp_path, head, "lstm/onnx-int8-static", CLEAN, 0.6)
    give(tmp_path, head, "lstm/onnx-fp32", CLEAN, 0.9)
    give(tmp_path, head, "cnn/onnx-int8-static", CLEAN, 0.8)
    give(tmp_path, head, "cnn/onnx-fp32", CLEAN, 0.8)
    evaluation = evaluate(tmp_path, 100)
    assert [line.clean.artifact for line in lines_of(evaluation) if line.marked] == ["lstm/onnx-int8-static"]
    lost = line_of(evaluation, "lstm/onnx-int8-static").difference
    assert lost is not None
    assert lost.estimate == pytest.approx(-0.3, abs=0.03)
    said = (
        f"* lstm/onnx-int8-static: clean AUC differs from lstm/onnx-fp32 by {signed(lost.estimate)} "
        f"{span(lost.low, lost.high, sign=True)}, more than 0.01: no reason is known"
    )
    assert said in terminal(evaluation)
    starred = [line for line in terminal(evaluation).splitlines() if line.rstrip().endswith("*") or "] *" in line]
    assert len(starred) == 1
    assert signed(lost.estimate) in starred[0]
    assert said.replace("*", "\\*") in as_markdown(evaluation)
    by_name = {(row[0], row[1]): row[6] for row in markdown_rows(as_markdown(evaluation))[2:]}
    assert by_name["lstm", "onnx-int8-static"].endswith("\\*")
    assert by_name["cnn", "onnx-int8-static"] == ".000 [.000, .000]"
    assert by_name["cnn", "onnx-fp32"] == by_name["lstm", "onnx-fp32"] == ""


@pytest.mark.parametrize(("estimate", "marked"), [(0.0099, False), (0.01, False), (0.0101, True), (-0.0101, True)])
def test_the_mark_begins_above_a_hundredth(tmp_path: Path, estimate: float, marked: bool) -> None:
    make_build(tmp_path)
    line = line_of(evaluate(tmp_path, 100), "cnn/onnx-int8-static")
    assert line.difference is not None
    difference = type(line.difference)("host", "a/b", "a/c", estimate, None, None)
    assert DeviceLine(line.device, line.clean, difference, line.cells).marked is marked


def test_the_note_of_an_artifact_is_the_reason_of_its_star(tmp_path: Path) -> None:
    head = make_build(tmp_path)
    give(tmp_path, head, "cnn/onnx-fp32", CLEAN, 0.9)
    give(tmp_path, head, "cnn/onnx-int8-static", CLEAN, 0.6)
    artifacts = [each | {"note": f"about {each['recipe']}"} for each in head["artifacts"]]
    change_json(tmp_path / "bundle" / "bundle.json", artifacts=artifacts)
    said = remarks(evaluate(tmp_path, 100), "host")
    assert said[0].endswith("more than 0.01: about onnx-int8-static.")
    assert said[1] == "cnn/onnx-fp32: about onnx-fp32."


def test_a_note_of_several_artifacts_is_said_once(tmp_path: Path) -> None:
    head = make_build(tmp_path, models=("cnn", "lstm"), recipes=("onnx-fp32",))
    artifacts = [each | {"note": "some stayed float"} for each in head["artifacts"]]
    change_json(tmp_path / "bundle" / "bundle.json", artifacts=artifacts)
    said = remarks(evaluate(tmp_path, 100), "host")
    assert said[0] == "cnn/onnx-fp32, lstm/onnx-fp32: some stayed float."


def test_the_worst_case_is_the_lowest_over_sources_and_says_where_it_was_made(tmp_path: Path) -> None:
    head = make_build(tmp_path, models=("cnn", "lstm"), sources=("cnn", "lstm"), budgets=(0.02,))
    for artifact, by_cnn, by_lstm in (
        ("cnn/onnx-fp32", 0.3, 0.6),
        ("cnn/onnx-int8-static", 0.35, 0.6),
        ("lstm/onnx-fp32", 0.2, 0.4),
        ("lstm/onnx-int8-static", 0.5, 0.45),
    ):
        give(tmp_path, head, artifact, "pgd-cnn-0.02mV", by_cnn)
        give(tmp_path, head, artifact, "pgd-lstm-0.02mV", by_lstm)
        give(tmp_path, head, artifact, "random-sign-0.02mV", 0.7)
    evaluation = evaluate(tmp_path, 100)
    there = [row for row in evaluation.rows if row.budget_mv == 0.02]
    rows = {(row.artifact, row.source): row.auc for row in there if row.method != "worst-case"}
    worst = {row.artifact: row.auc for row in there if row.method == "worst-case"}
    for artifact, source, made, letter in (
        ("cnn/onnx-fp32", "cnn", "white-box", "w"),
        ("cnn/onnx-int8-static", "cnn", "from its float parent", "p"),
        ("lstm/onnx-fp32", "cnn", "transfer", "t"),  # a transferred attack may be worse than the white-box one
        ("lstm/onnx-int8-static", "lstm", "from its float parent", "p"),
    ):
        cell = line_of(evaluation, artifact).cells[0.02]
        assert cell.attacked == rows[artifact, source] == min(rows[artifact, "cnn"], rows[artifact, "lstm"])  # type: ignore[type-var]
        assert (cell.source, cell.method, cell.made, cell.complete) == (source, "pgd", made, True)
        assert (cell.control, cell.noise) == (rows[artifact, None], "random-sign")
        assert cell.worst == worst[artifact]
        assert cell.worst is not None
        assert cell.worst <= cell.attacked  # type: ignore[operator]
        assert attacked_text(cell).removesuffix("!") == f"{auc_text(cell.attacked)}{letter}"
        line = next(row for row in markdown_rows(as_markdown(evaluation)) if artifact == f"{row[0]}/{row[1]}")
        assert line[-1] == f"{attacked_text(cell)} / {auc_text(cell.worst)} / {auc_text(cell.control)}s"


def test_a_source_that_was_not_measured_leaves_an_upper_bound(tmp_path: Path) -> None:
    make_build(tmp_path, sources=("cnn", "lstm"), budgets=(0.02,))
    folder = tmp_path / "results" / "host" / "cnn__onnx-fp32"
    (folder / "pgd-cnn-0.02mV.json").unlink()
    evaluation = evaluate(tmp_path, 100)
    cell = line_of(evaluation, "cnn/onnx-fp32").cells[0.02]
    assert (cell.complete, cell.source, cell.made) == (False, "lstm", "transfer")
    assert attacked_text(cell) == f"<={auc_text(cell.attacked)}t"
    assert attacked_text(cell).replace("<", "\\<") in as_markdown(evaluation)
    assert "1 of 8 runs without a number: run make bench." in remarks(evaluation, "host")
    (folder / "pgd-lstm-0.02mV.json").unlink()
    cell = line_of(evaluate(tmp_path, 100), "cnn/onnx-fp32").cells[0.02]
    assert (cell.attacked, cell.made, cell.complete, attacked_text(cell)) == (None, None, False, "-")
    assert cell.control is not None


def test_what_was_attacked_by_transfer_alone_is_named(tmp_path: Path) -> None:
    make_build(tmp_path, models=("cnn", "decision-tree", "random-forest"), sources=("cnn",))
    (said,) = [each for each in remarks(evaluate(tmp_path, 100), "host") if "transfer only" in each]
    assert said.startswith("decision-tree, random-forest: attacked by transfer only")
    assert "cnn" not in said


def test_queries_alone_are_no_measure_of_robustness_and_a_gradient_is(tmp_path: Path) -> None:
    further = [("square", "lstm/onnx-fp32"), ("twin", "ecg-lens/onnx-int8-static"), ("ensemble", "without-lstm")]
    make_build(tmp_path, models=("cnn", "lstm", "ecg-lens"), sources=("cnn",), further=further)
    (said,) = [each for each in remarks(evaluate(tmp_path, 100), "host") if "attacked by" in each]
    assert said == ("lstm: attacked by transfer and queries only, without its gradient; the worst case may be lower.")


MADE = [
    # recipe attacked, (method, source) of the strongest attack, where that was made, the letter, on the model itself
    ("onnx-fp32", "pgd", "cnn", "white-box", "w", True),
    ("onnx-int8-static", "pgd", "cnn", "from its float parent", "p", True),
    ("onnx-int8-static", "twin", "cnn/onnx-int8-static", "twin", "g", True),
    ("onnx-int8-static", "square", "cnn/onnx-int8-static", "queries", "q", True),
    ("onnx-fp32", "twin", "cnn/onnx-int8-static", "another file", "f", True),
    ("onnx-fp32", "square", "cnn/onnx-int8-static", "another file", "f", True),
    ("onnx-fp32", "ensemble", "without-cnn", "ensemble", "e", False),
    ("onnx-fp32", "pgd", "lstm", "transfer", "t", False),
]


@pytest.mark.parametrize(("recipe", "method", "source", "made", "letter", "itself"), MADE)
def test_a_cell_says_where_its_attack_was_made(
    tmp_path: Path, recipe: str, method: str, source: str, made: str, letter: str, itself: bool
) -> None:
    further = [(name, "cnn/onnx-int8-static") for name in ("twin", "square")] + [("ensemble", "without-cnn")]
    head = make_build(tmp_path, sources=("cnn", "lstm"), further=further, budgets=(0.02,))
    for each in head["signals"]:
        strongest = (each["method"], each["source"]) == (method, source)
        give(tmp_path, head, f"cnn/{recipe}", each["name"], 0.1 if strongest else 0.6)
    cell = line_of(evaluate(tmp_path, 100), f"cnn/{recipe}").cells[0.02]
    assert (cell.made, cell.method, cell.source, cell.on_itself) == (made, method, source, itself)
    assert attacked_text(cell).removesuffix("!") == f"{auc_text(cell.attacked)}{letter}"


def test_an_attack_in_another_ball_is_no_match_for_those_within_the_budget(tmp_path: Path) -> None:
    head = make_build(tmp_path, further=[("pgd-l2", "cnn")], budgets=(0.02,))
    give(tmp_path, head, "cnn/onnx-fp32", "pgd-l2-cnn-0.02mV", 0.1)
    evaluation = evaluate(tmp_path, 100)
    cell = line_of(evaluation, "cnn/onnx-fp32").cells[0.02]
    assert cell.method == "pgd"
    assert cell.controls.keys() == {"random-sign"}
    assert any(row.method == "pgd-l2" and row.auc is not None for row in evaluation.rows)


def test_the_control_of_a_cell_is_the_noise_that_hurts_most(tmp_path: Path) -> None:
    controls = ("random-sign", "gaussian", "noise-bw", "noise-em", "noise-ma")
    head = make_build(tmp_path, controls=controls, budgets=(0.02,))
    found = {}
    for name, share in zip(controls, (0.9, 0.8, 0.7, 0.5, 0.6), strict=True):
        found[name] = give(tmp_path, head, "cnn/onnx-fp32", f"{name}-0.02mV", share)
    give(tmp_path, head, "cnn/onnx-fp32", CLEAN, 0.9)
    evaluation = evaluate(tmp_path, 100)
    cell = line_of(evaluation, "cnn/onnx-fp32").cells[0.02]
    assert (cell.controls, cell.noise, cell.control) == (found, "noise-em", found["noise-em"])
    assert noise_text(cell) == f"{auc_text(found['noise-em'])}m"
    (said,) = [each for each in remarks(evaluation, "host") if each.startswith("Noise alone")]
    assert "cnn at 0.02 mV (noise-em): onnx-fp32" in said


def test_flags_stand_in_the_cell_and_below_the_table(tmp_path: Path) -> None:
    make_build(tmp_path)
    raised = [flag("unsettled", "cnn", source="cnn", method="pgd", budget_mv=0.02), flag("no-white-box", "lstm")]
    audit(tmp_path, *raised)
    evaluation = evaluate(tmp_path, 100)
    cells_there = line_of(evaluation, "cnn/onnx-fp32").cells
    assert (cells_there[0.005].flags, cells_there[0.02].flags) == ((), ("unsettled", "not-at-collapse"))
    assert attacked_text(cells_there[0.02]).endswith("w!")
    for text in (terminal(evaluation), as_markdown(evaluation)):
        assert "! unsettled: cnn, pgd from cnn: about cnn." in text
        assert "! no-white-box: lstm: about lstm." in text
        assert NONE not in text
    (tmp_path / "audit.json").unlink()
    for text in (terminal(evaluate(tmp_path, 100)), as_markdown(evaluate(tmp_path, 100))):
        assert NONE in text  # and what needs no audit is said all the same
        assert "! not-at-collapse: cnn, pgd from cnn: 0.423 is left at 0.02 mV" in text
    make_build(tmp_path / "broken", budgets=(0.005, 0.05))
    assert "What was measured raised no flag." in terminal(evaluate(tmp_path / "broken", 100))
    audit(tmp_path / "broken")
    assert "The audit of the attacks raised no flag." in terminal(evaluate(tmp_path / "broken", 100))


def test_a_doubtful_latency_is_marked_where_it_stands_and_below(tmp_path: Path) -> None:
    make_build(tmp_path)
    results = tmp_path / "results" / "host"
    change_json(results / "cnn__onnx-fp32" / "clean.json", marks=["noisy"])
    for text in (terminal(evaluate(tmp_path, 100)), as_markdown(evaluate(tmp_path, 100))):
        assert "? Latency of cnn/onnx-fp32: not to be believed (noisy: this machine was restless" in text
    evaluation = evaluate(tmp_path, 100)
    lines = lines_of(evaluation)
    doubtful = [each.clean.artifact for each in lines if cells(each, lines)[3].endswith("?")]
    assert doubtful == ["cnn/onnx-fp32"]
    assert [each.clean.marks for each in lines if each.clean.marks] == ["noisy"]
    change_json(results / "cnn__onnx-int8-static" / "clean.json", marks=["throttled", "noisy"])
    said = remarks(evaluate(tmp_path, 100), "host")
    assert any("? Latency of all" in each and "noisy" in each for each in said)
    assert any("? Latency of cnn/onnx-int8-static: not to be believed (throttled" in each for each in said)


def test_a_weak_attack_marks_the_cell_only_where_it_is_the_lowest(tmp_path: Path) -> None:
    head = make_build(tmp_path, models=("cnn", "lstm"), sources=("cnn", "lstm"), budgets=(0.02,))
    audit(tmp_path, flag("no-better-than-noise", "cnn", source="lstm", method="pgd", budget_mv=0.02))
    cell = line_of(evaluate(tmp_path, 100), "cnn/onnx-fp32").cells[0.02]
    assert (cell.source, "no-better-than-noise" in cell.flags) == ("cnn", False)
    give(tmp_path, head, "cnn/onnx-fp32", "pgd-lstm-0.02mV", 0.05)
    cell = line_of(evaluate(tmp_path, 100), "cnn/onnx-fp32").cells[0.02]
    assert (cell.source, "no-better-than-noise" in cell.flags) == ("lstm", True)
    assert "transfer-stronger" in cell.flags  # measured, not audited


def test_signal_sets_that_could_not_be_made_are_told_once_a_reason(tmp_path: Path) -> None:
    make_build(tmp_path)
    names = ["twin-cnn.onnx-int8-static-0.005mV", "twin-cnn.onnx-int8-static-1e-05mV", "noise-bw-0.02mV"]
    missing = [{"name": name, "reason": "it cannot"} for name in names]
    missing += [{"name": "0.0005 mV", "reason": "below the recorder's step"}, {"name": "odd", "reason": "too odd"}]
    change_json(tmp_path / "bundle" / "bundle.json", not_made=missing)
    text = terminal(evaluate(tmp_path, 100))
    assert "twin-cnn.onnx-int8-static, noise-bw: it cannot" in text
    assert "odd: too odd" in text
    assert "0.0005 mV: below the recorder's step" in text


def test_the_fullest_budget_is_that_at_which_most_was_made() -> None:
    def rows(*made: tuple[str, float]) -> list[Row]:
        return [Row(model="cnn", recipe="onnx-fp32", method=method, budget_mv=budget) for method, budget in made]

    assert fullest_budget(rows(("clean", 0.0))) is None
    assert fullest_budget(rows(*(("pgd", budget) for budget in (0.01, 0.02, 0.05)))) == 0.02
    assert fullest_budget(rows(*(("pgd", budget) for budget in (0.01, 0.02, 0.05)), ("square", 0.05))) == 0.05


def test_failed_stale_and_missing_runs_are_told_below_the_table(tmp_path: Path) -> None:
    head = make_build(tmp_path, models=("cnn", "lstm"), budgets=(0.02,))
    for signals in head["signals"]:
        write_result(tmp_path / "results" / "host", head, head["artifacts"][0], signals, None)
    folder = tmp_path / "results" / "host" / "cnn__onnx-int8-static"
    change_json(folder / "clean.json", artifact__sha256="0" * 64)
    (folder / "random-sign-0.02mV.json").unlink()
    evaluation = evaluate(tmp_path, 100)
    said = remarks(evaluation, "host")
    assert "cnn/onnx-fp32: failed: engine: operator not known (on 3 signal sets)" in said
    assert "1 stale result not used (measured on another version of the artifact): run make bench." in said
    assert "2 of 12 runs without a number: run make bench." in said
    assert "failed" in terminal(evaluation)
    for each in said:
        assert each in terminal(evaluation)


def test_what_is_no_file_is_told_once_a_reason(tmp_path: Path) -> None:
    make_build(tmp_path, models=("cnn", "decision-tree", "random-forest"))
    evaluation = evaluate(tmp_path, 100)
    said = "decision-tree/onnx-int8-static, random-forest/onnx-int8-static: no int8 tree"
    assert said in terminal(evaluation)
    assert f"- {said}" in as_markdown(evaluation)


def test_nothing_measured_yet_is_a_table_that_says_so(tmp_path: Path) -> None:
    make_build(tmp_path)
    for path in sorted((tmp_path / "results").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (tmp_path / "results").rmdir()
    evaluation = evaluate(tmp_path, 100)
    for text in (terminal(evaluation), as_markdown(evaluation)):
        assert "No results yet: run make bench." in text
        assert "SYNTHETIC" in text
    assert json.loads(as_json(evaluation.rows)) == []
    assert as_csv(evaluation.rows) == ",".join(KEYS) + "\n"


def test_a_study_without_attacks_has_no_budget(tmp_path: Path) -> None:
    make_build(tmp_path, budgets=())
    evaluation = evaluate(tmp_path, 100)
    assert (budgets(evaluation.rows), middle_budget(evaluation.rows)) == ([], None)
    assert markdown_rows(as_markdown(evaluation))[0][-1] == "int - float"


@pytest.mark.parametrize(
    ("made", "middle"), [((0.01,), 0.01), ((0.02, 0.01), 0.01), ((0.05, 0.01, 0.02), 0.02), ((4, 3, 2, 1), 2)]
)
def test_the_middle_budget_is_the_lower_of_two(made: tuple[float, ...], middle: float) -> None:
    rows = [Row(model="cnn", recipe="onnx-fp32", budget_mv=each) for each in (0.0, *made, *made)]
    assert budgets(rows) == sorted(made)
    assert middle_budget(rows) == middle


def test_csv_and_json_hold_the_rows_in_full(tmp_path: Path) -> None:
    head = make_build(tmp_path, models=("cnn", "decision-tree"), sources=("cnn", "decision-tree"))
    change_json(tmp_path / "bundle" / "bundle.json", note='a "quoted", parted; note')
    write_result(tmp_path / "results" / "host", head, head["artifacts"][0], head["signals"][0], None)
    audit(tmp_path, flag("unsettled", "cnn", source="cnn"))
    rows = evaluate(tmp_path, 100).rows
    assert {row.unreliable for row in rows} == {True, False, None}
    read = json.loads(as_json(rows))
    assert [Row(**each) for each in read] == list(rows)
    assert all(list(each) == list(KEYS) for each in read)
    found = csv_rows(rows)
    assert as_csv(rows).splitlines()[0] == ",".join(KEYS)
    assert len(found) == len(rows)
    for text, row in zip(found, rows, strict=True):
        for key, value in row.model_dump().items():
            if value is None:
                assert text[key] == ""
            elif isinstance(value, bool):
                assert text[key] == str(value)
            elif isinstance(value, dict):
                assert json.loads(text[key]) == value
            else:
                assert type(value)(text[key]) == value  # floats to the last bit


HOSTILE = "a | b <b>*c*</b> [d](e) `f` \\"


def test_text_of_a_stranger_does_not_become_markdown(tmp_path: Path) -> None:
    make_build(tmp_path, budgets=())
    change_json(tmp_path / "bundle" / "bundle.json", title=HOSTILE, note=HOSTILE)
    for path in (tmp_path / "results").rglob("*.json"):
        change_json(path, device__fingerprint={"cpu": HOSTILE})
    text = as_markdown(evaluate(tmp_path, 100))
    shown = r"a \| b \<b\>\*c\*\</b\> [d]\(e) \`f\` \\"
    assert text.splitlines()[0] == f"### {shown}"
    assert f"Device: host, measured-on-host, {shown}" in text
    assert text.count(shown) == 3
    table = markdown_rows(text)
    assert len(table) == 4
    assert {len(row) for row in table} == {7}


@pytest.mark.parametrize("mark", ["[red]", "[/]", "[link=file:///etc/passwd]x[/link]"])
def test_text_of_a_stranger_does_not_become_terminal_markup(tmp_path: Path, mark: str) -> None:
    make_build(tmp_path)
    change_json(tmp_path / "bundle" / "bundle.json", title=f"a {mark} b", note=f"c {mark} d")
    text = terminal(evaluate(tmp_path, 100))
    assert f"a {mark} b" in text
    assert f"c {mark} d" in text


def test_every_line_of_the_markdown_table_has_every_column(tmp_path: Path) -> None:
    head = make_build(tmp_path, models=("cnn", "lstm"))
    table = markdown_rows(as_markdown(evaluate(tmp_path, 100)))
    assert table[0] == [
        *("model", "recipe", "size", "p50 ms", "p99 ms", "clean AUC", "int - float", "-.05 at mV", ".5 at mV"),
        *("0.005 mV: attack/worst/noise", "0.02 mV: attack/worst/noise"),
    ]
    assert [f"{row[0]}/{row[1]}" for row in table[2:]] == [each["name"] for each in head["artifacts"]]
    assert {len(row) for row in table} == {11}
    assert all(re.fullmatch(r"\.\d{3} \[\.\d{3}, (\.\d{3}|1\.000)\]", row[5]) for row in table[2:])
    assert [row[2] for row in table[2:]] == ["1.3 kB", "0.4 kB"] * 2


@pytest.mark.parametrize(
    ("width", "live"),
    [
        (200, True),
        (40, False),
        (100, True),
        (80, True),
    ],
)
def test_the_terminal_table_keeps_to_the_width_and_loses_nothing(tmp_path: Path, width: int, live: bool) -> None:
    make_build(tmp_path, models=("cnn", "logistic-regression"))
    evaluation = evaluate(tmp_path, 100)
    text = terminal(evaluation, width, live)
    if live:
        assert max(map(len, text.splitlines())) <= width
    assert "\u2026" not in text
    for line in lines_of(evaluation):
        for cell in cells(line, lines_of(evaluation)):
            assert cell in text
    for line in text.splitlines():
        if "onnx-fp32" in line:  # the first of its model: every part of the table says whose line it is
            assert line.split()[0] in ("cnn", "logistic-regression")


def test_each_device_has_a_table_and_remarks_of_its_own(tmp_path: Path) -> None:
    head = make_build(tmp_path, budgets=())
    device = {"name": "pi4", "evidence": "measured-on-device", "fingerprint": {"cpu": "Cortex-A72"}}
    labels = np.load(tmp_path / "bundle" / "labels.npy")
    assert labels.shape[1] == len(CLASSES)
    write_result(
        tmp_path / "results" / "pi4",
        head,
        head["artifacts"][0],
        head["signals"][0],
        scores_of_auc(labels, 0.5),
        device=device,
    )
    evaluation = evaluate(tmp_path, 100)
    for text in (terminal(evaluation), as_markdown(evaluation)):
        assert "Device: host, measured-on-host, Test CPU, x86_64, Linux" in text
        assert "Device: pi4, measured-on-device, Cortex-A72" in text
        assert text.count("1 of 2 runs without a number") == 1
    lines = [row for row in markdown_rows(as_markdown(evaluation)) if row[0] == "cnn"]
    assert [row[5][:4] for row in lines][3:] == ["-"]
