"""No number in the docs was typed: the README's tables are the files that a command wrote from results."""

from __future__ import annotations

import csv
import gzip
import re
from pathlib import Path

import pytest

from pulseproof.core.errors import InputError
from pulseproof.core.study import load_study
from pulseproof.export.table import bounds_table, recipe_table
from pulseproof.models.layers import layer_table
from pulseproof.report.docs import BLOCK, PAGES, fill, write_results
from tests.bench.making import make_build

PAGES_WITH_BLOCKS = [
    ("README.md", 1),
    ("docs/ptb-xl.md", 3),
    ("docs/mit-bih.md", 3),
    ("docs/export.md", 2),
    ("docs/export-results.md", 5),
    ("docs/attacks-results.md", 8),
    ("docs/emulation.md", 1),
]


@pytest.mark.parametrize(("page", "least"), PAGES_WITH_BLOCKS)
def test_the_pages_hold_the_written_tables(page: str, least: int) -> None:
    assert page in PAGES
    blocks = list(BLOCK.finditer(Path(page).read_text(encoding="utf-8")))
    assert len(blocks) >= least
    for found in blocks:
        assert found[0] == f"{found[1]}{Path(found[2]).read_text(encoding='utf-8').strip()}\n{found[3]}"


def test_every_page_with_a_block_is_filled_by_the_command_and_every_written_table_is_on_a_page() -> None:
    pages = [Path("README.md"), *sorted(Path("docs").glob("*.md"))]
    blocks = {str(page): BLOCK.findall(page.read_text(encoding="utf-8")) for page in pages}
    by_its_own_command = {"docs/dependencies.md", "docs/strangers.md"}  # make dependencies, docs/site/strangers.py
    assert {page for page, found in blocks.items() if found} == set(PAGES) | by_its_own_command
    shown = {Path(name) for found in blocks.values() for _, name, _ in found}
    assert set(Path("docs/results").glob("*.md")) == shown


def test_the_first_page_is_read_in_two_minutes() -> None:
    assert len(Path("README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("study", ["ptb-xl", "mit-bih"])
def test_the_tables_agree_with_the_rows_beside_them(study: str) -> None:
    with gzip.open(f"docs/results/{study}.csv.gz", "rt", encoding="utf-8") as file:
        every = [row for row in csv.DictReader(file) if row["method"] == "clean"]
    rows = [row for row in every if row["device"] == "host"]
    table = Path(f"docs/results/{study}.md").read_text(encoding="utf-8")
    assert len(rows) >= 16
    for row in rows:
        line = next(li for li in table.splitlines() if row["recipe"] in li and f"| {row['model']} " in li)
        assert f"{float(row['auc']):.3f}".removeprefix("0") in line
    machines = Path(f"docs/results/{study}-machines.md")  # the devices have a table of their own
    lines = machines.read_text(encoding="utf-8").splitlines() if machines.exists() else []
    devices = [row for row in every if row["device"].startswith("emulated") and row["auc"]]
    assert bool(lines) == bool(devices)
    for row in devices:
        line = next(li for li in lines if f"| {row['model']}/{row['recipe']} | clean " in li)
        assert f"{float(row['auc']):.3f}".removeprefix("0") in line


@pytest.mark.parametrize("system", ["ecg-lens", "cnn", "lstm"])
def test_the_layer_tables_are_those_of_the_code(system: str) -> None:
    assert layer_table(system, 12, 1000, 5) in Path("docs/models.md").read_text(encoding="utf-8")


def test_the_tables_of_recipes_and_bounds_are_those_of_the_code() -> None:
    assert Path("docs/results/recipes.md").read_text(encoding="utf-8") == recipe_table() + "\n"
    assert Path("docs/results/bounds.md").read_text(encoding="utf-8") == bounds_table() + "\n"


def test_a_block_whose_file_is_missing_is_an_error(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- docs/results/none.md -->\nold\n<!-- end -->\n")
    with pytest.raises(InputError, match=r"docs/results/none\.md"):
        fill(page, tmp_path)
    assert "old" in page.read_text()


def test_filling_replaces_what_was_there(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- docs/results/x.md -->\nold\n<!-- end -->\nb\n")
    (tmp_path / "docs" / "results").mkdir(parents=True)
    (tmp_path / "docs" / "results" / "x.md").write_text("| new |\n")
    fill(page, tmp_path)
    assert page.read_text() == "a\n<!-- docs/results/x.md -->\n| new |\n<!-- end -->\nb\n"
    assert not re.search("old", page.read_text())


def test_a_study_that_was_run_gives_its_tables_and_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_build(tmp_path / "made", sources=("cnn", "lstm"), further=[("twin", "cnn/onnx-int8-static")])
    study = load_study(Path("studies/demo.toml")).model_copy(update={"name": "made"})
    monkeypatch.setattr("pulseproof.report.docs.load_metrics", lambda *_: {})
    monkeypatch.setattr("pulseproof.report.docs.paper_table", lambda _: "| the paper's rows |")
    folder = tmp_path / "results"
    written = write_results(study, tmp_path, folder)
    assert {path.name for path in written} == {"made.csv.gz", "made.md"} | {
        f"made-{name}.md" for name in ("paper", "answers", "short", "matrix", "twins", "controls", "methods")
    }
    assert {path.name for path in folder.glob("*.png")} == {"made-auc.png", "made-forest.png", "made-matrix.png"}
    for path in written:
        text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text(encoding="utf-8")
        assert "SYNTHETIC" in text
    assert "0.02 mV on host" not in (folder / "made-matrix.md").read_text(
        encoding="utf-8"
    )  # of equal budgets the first
    assert "cnn/onnx-int8-static" in (folder / "made-twins.md").read_text(encoding="utf-8")


def test_a_study_without_attacks_has_no_tables_of_attacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_build(tmp_path / "made", budgets=())
    study = load_study(Path("studies/demo.toml")).model_copy(update={"name": "made"})
    monkeypatch.setattr("pulseproof.report.docs.load_metrics", lambda *_: {})
    monkeypatch.setattr("pulseproof.report.docs.paper_table", lambda _: "| the paper's rows |")
    assert [path.name for path in write_results(study, tmp_path, tmp_path)] == [
        "made.csv.gz",
        "made.md",
        "made-paper.md",
        "made-answers.md",
        "made-short.md",
    ]
