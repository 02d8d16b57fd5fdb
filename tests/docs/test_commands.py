"""What README and the docs tell a reader to type is there: commands, options, make targets, files, keys of a study."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pulseproof.core.study import load_study
from pulseproof.main import app
from pulseproof.runtime.commands import EVIDENCE
from tests.docs.commands import FENCE, OWN, PAGES, ROOT, Shown, faults, shown

SHOWN = shown()
# Those that need neither recordings nor a run nor a network, and what they must say.
RUN = {
    "pulseproof recipes": "onnx-int8-static",
    "pulseproof systems": "random-forest",
    "pulseproof layers cnn": "convolution",
    "pulseproof --version": "pulseproof ",
}
PATH = re.compile(r"`((?:\w+/)+[\w.-]+\.\w+)`")
WRITTEN = (
    "build/",
    "report/side-by-side/",
    "report/class-aucs.csv",
    "report/per-class.csv",
    "results/",
    "artifacts/",
    "signals/",
    "bundle/",
    "scores/",
)


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that make takes for an environment that is set up."""
    folder = tmp_path_factory.mktemp("environment")
    for name in (".ready", ".tflite-runtime-ready"):
        (folder / name).touch()
    return folder


@pytest.mark.parametrize("page", [*PAGES, "--help"])
def test_every_command_that_a_page_shows_is_there(page: str, ready: Path) -> None:
    mine = [each for each in SHOWN if each.page == page or (page == "--help" and each.page.endswith("--help"))]
    assert [f"{each}: {fault}" for each in mine for fault in faults(each, ready)] == []


def test_they_are_found_at_all() -> None:
    blocks = [each for each in SHOWN if each.whole]
    assert len(blocks) > 35 and len(SHOWN) - len(blocks) > 35
    for text in ("make demo", "make bench STUDY=mine.toml DATA=recordings DEVICE=pi@board"):
        assert any(each.text == text and each.whole for each in SHOWN), text
    pages = {each.page for each in SHOWN}
    assert {"README.md", "docs/ci.md", "docs/tutorial.md", "docs/raspberry-pi.md", "pulseproof gate --help"} <= pages


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pulseproof gate --study mine.toml --max-p9-ms 20", "NoSuchOption"),
        ("pulseproof gate --max-p99-ms 20", "MissingParameter"),
        ("pulseproof gates --study mine.toml", "there is no command gates"),
        ("pulseproof table --study studies/none.toml", "studies/none.toml is not there"),
        ("pulseproof perf claim", "there is no command claim"),
        ("make benchmark STUDY=mine.toml", "there is no target benchmark"),
        ("make bench STUDIES=mine.toml", "make knows no STUDIES"),
        ("python -m twins --help", "there is no module twins that runs"),
        ("python3 ptb-xl-bundle.pyz run --to results", "the runner refuses it"),
        ("pulse-proof demo", "no program that we know of"),
    ],
)
def test_one_that_is_not_there_is_told(text: str, said: str, ready: Path) -> None:
    (fault,) = faults(Shown("a page", text, True), ready)
    assert said in fault


@pytest.mark.parametrize("text", RUN)
def test_those_that_need_nothing_do_what_the_page_says(text: str) -> None:
    assert any(each.text == text for each in SHOWN), f"no page shows {text}: take it out of the table"
    result = CliRunner().invoke(app, text.split()[1:])
    assert result.exit_code == 0, result.output
    assert RUN[text] in result.output


def test_every_file_of_the_readers_own_is_still_named() -> None:
    assert [name for name in OWN if not any(name in each.text for each in SHOWN)] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_path_in_a_page_is_there(page: str) -> None:
    """`attacks/worst.py`, said of the checkout; not what a run writes."""
    text = FENCE.sub("", (ROOT / page).read_text(encoding="utf-8"))
    paths = {name for name in PATH.findall(text) if not name.startswith(WRITTEN)}
    assert [name for name in sorted(paths) if not (ROOT / name).exists()] == []


def test_every_page_that_a_message_or_a_comment_names_is_there() -> None:
    sources = [
        path for room in (ROOT / "pulseproof").iterdir() if room.is_dir() for path in room.resolve().rglob("*.py")
    ]
    named = {name for path in sources for name in re.findall(r"docs/[\w-]+\.md", path.read_text(encoding="utf-8"))}
    assert len(named) > 5
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def blocks(kind: str) -> Iterator[tuple[str, str]]:
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        yield from ((page, block) for found, block in FENCE.findall(text) if found == kind)


def test_every_example_in_toml_can_be_read() -> None:
    read = [(page, tomllib.loads(block)) for page, block in blocks("toml")]
    assert {"README.md", "docs/studies.md", "docs/tutorial.md"} <= {page for page, _ in read}


@pytest.mark.parametrize("page", ["README.md", "docs/studies.md", "docs/tutorial.md"])
def test_a_study_on_a_page_is_one(page: str, tmp_path: Path) -> None:
    (text,) = [block for found, block in blocks("toml") if found == page]
    (tmp_path / "study.toml").write_text(text, encoding="utf-8")
    study = load_study(tmp_path / "study.toml")
    assert study.models


def test_the_glossary_is_in_order_and_knows_the_words_of_the_tables() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    words = re.findall(r"^\| (.+?) \| .+ \|$", text, re.MULTILINE)[2:]
    assert len(words) > 30
    assert words == sorted(set(words), key=str.lower)
    assert all(f"`{each}`" in text for each in (*EVIDENCE, "compiler-estimate"))


def test_every_example_in_python_can_be_read() -> None:
    read = [(page, ast.parse(block)) for page, block in blocks("python") if page != "docs/ADDING.md"]  # pieces of files
    assert {"README.md", "docs/tutorial.md"} <= {page for page, _ in read}
