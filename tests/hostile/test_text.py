"""The door to the terminal, and to every file that a person or a program opens: what a stranger wrote is text there.

One table of hostile texts, one of doors, and each text through each door: a test looks at the bytes that came out.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import logging
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import onnx
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from pulseproof.core.errors import InputError, NotHeldError
from pulseproof.core.markdown import code, markdown, markdown_table
from pulseproof.core.pool import Pool
from pulseproof.core.terminal.console import Terminal, console, follow, put, run_app, say
from pulseproof.export.manifest import Manifest, ManifestEntry, Parity, Price
from pulseproof.export.table import files_markdown, manifest_table
from pulseproof.main import app as bench_app
from pulseproof.report.answers.questions import answers
from pulseproof.report.answers.text import as_markdown as answers_markdown
from pulseproof.report.numbers.evaluation import evaluate
from pulseproof.report.numbers.texts import csv_text
from pulseproof.report.tables.attacks import controls_markdown, methods_markdown, twins_markdown
from pulseproof.runtime import commands
from pulseproof.runtime.engines import EngineError, open_engine
from pulseproof.runtime.progress import Progress
from pulseproof.runtime.terminal import plain_streams
from pulseproof.runtime.words import printable, printable_lines
from tests.bench.making import change_json, make_build

TEXTS = {
    "a colour": "\x1b[31mred",
    "the title of the window": "\x1b]0;owned\x07",
    "a link of the terminal": "\x1b]8;;http://evil\x1b\\here",
    "C1, without an escape": "\x9b31m\x9d0;owned\x9c",
    "back over the line": "good\rbad\b\b\b",
    "other ends of lines": "a\x0b\x0c\x1c\x85\u2028\u2029b",
    "NUL and delete": "a\0b\x7fc",
    "right to left": "a\u202eb\u202cc",
    "isolates": "a\u2066b\u2069c\u061c\u200e\u200f",
    "no width": "a\u200b\u2060\ufeffb",
    "tags": "a\U000e0041\U000e007fb",
    "half a pair, of a name that is not UTF-8": "a\udc9b\udcffb",
    "markup": "[red]a[/red] [/] [link=http://evil]b[/link] :warning:",
    "HTML and Markdown": "</td><script>x</script> | `a` ![b](http://c)",
}


class Loud:
    """What raises, logs and warns of its own name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def dies(self) -> None:
        raise ValueError(self.name)

    def bad_input(self) -> None:
        raise InputError(f"{self.name}: damaged", f"delete {self.name}")

    def not_held(self) -> None:
        raise NotHeldError(self.name)

    def full_disk(self) -> None:
        raise OSError(28, "No space left on device", self.name)

    def library(self) -> None:
        raise OSError(self.name)

    def follows(self) -> None:
        list(follow([1], self.name))

    def table(self) -> None:
        drawn = Table(self.name, title=self.name, caption=self.name)
        drawn.add_row(self.name)
        drawn.add_row(Text(self.name))
        Terminal().print(drawn)


DOORS: dict[str, Callable[[Loud], Any]] = {
    "a message": lambda it: say(it.name),
    "a sentence of bad input": Loud.bad_input,
    "a sentence of what does not hold": Loud.not_held,
    "a full disk": Loud.full_disk,
    "an error of a library": Loud.library,
    "a defect": Loud.dies,
    "a result": lambda it: put(f"{it.name}\n"),
    "written": lambda it: sys.stderr.write(f"{it.name}\n"),
    "lines": lambda it: sys.stdout.writelines([it.name, "\n"]),
    "a log": lambda it: logging.getLogger("library").warning(it.name),
    "progress": Loud.follows,
    "a table": Loud.table,
}


class Streams:
    """Standard output and standard error as files of bytes; ``encoding`` as a terminal's may be."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, encoding: str = "utf-8") -> None:
        self._bytes = io.BytesIO()
        for name in ("stdout", "stderr"):
            monkeypatch.setattr(sys, name, io.TextIOWrapper(self._bytes, encoding, write_through=True))

    def text(self) -> str:
        return self._bytes.getvalue().decode("utf-8")


def ended(app: typer.Typer, *arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["command", *arguments])
    with pytest.raises(SystemExit) as how:
        run_app(app)
    return int(how.value.code or 0)


def of(do: Callable[[], Any]) -> typer.Typer:
    """An application of one command."""
    app = typer.Typer()
    app.command()(lambda: do() and None)
    return app


def expect_text(text: str) -> None:
    """No character but printable ones and line feeds."""
    bad = {hex(ord(letter)) for letter in text if letter != "\n" and not letter.isprintable()}
    assert not bad, f"{sorted(bad)} in {text!r}"


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", TEXTS)
def test_no_text_is_a_command(name: str, door: str, monkeypatch: pytest.MonkeyPatch) -> None:
    streams = Streams(monkeypatch)
    # Without the handlers of pytest: what they caught would go to the process that counts, which takes UTF-8 alone.
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    monkeypatch.setattr(logging, "lastResort", logging._StderrHandler(logging.WARNING))  # type: ignore[attr-defined]
    app = of(lambda: DOORS[door](Loud(TEXTS[name])))
    status = ended(app, monkeypatch=monkeypatch)
    expect_text(streams.text())
    expected = {"a sentence of bad input": 2, "a full disk": 2, "a sentence of what does not hold": 1, "a defect": 1}
    assert status == expected.get(door, 1 if door == "an error of a library" else 0)
    if door in ("a message", "a result", "written", "lines", "a sentence of bad input", "a full disk"):
        shown = "".join(printable(TEXTS[name]).split())
        assert shown in "".join(streams.text().split())  # all that can be read is still there


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("arguments", [["{}"], ["--{}"], ["table", "{}"], ["table", "--study", "{}"]])
def test_an_argument_is_a_stranger_s_file_name(
    name: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = Streams(monkeypatch)
    given = [each.format(TEXTS[name].replace("\0", "")) for each in arguments]
    assert ended(bench_app, *given, monkeypatch=monkeypatch) == 2
    expect_text(streams.text())
    assert "error: " in streams.text()


@pytest.mark.parametrize("name", TEXTS)
def test_a_terminal_gets_only_commands_of_our_own(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal colours and a bar are drawn: the same bytes, whether a text is hostile or was made printable."""
    drawn = []
    for text in (TEXTS[name], printable(TEXTS[name])):
        file = io.StringIO()
        terminal = Terminal(file=file, force_terminal=True, color_system="standard", width=200, legacy_windows=False)
        monkeypatch.setattr("pulseproof.core.terminal.console.console", terminal)
        say(text)
        table = Table(text, title=text)
        table.add_row(text)
        terminal.print(table)
        bar = io.StringIO()
        terminal.file = bar
        list(follow([1, 2], text))
        drawn.append((file.getvalue(), set(re.findall(r"\x1b[^A-Za-z]*[A-Za-z]|[\r\x07\x9b\u202e]", bar.getvalue()))))
    assert drawn[0] == drawn[1]
    assert "\x1b[1m" in drawn[0][0] and "\x1b]" not in drawn[0][0]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_does_not_know_a_letter(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    streams = Streams(monkeypatch, encoding)
    assert ended(of(lambda: put("a \u2265 b \udc9b")), monkeypatch=monkeypatch) == 0
    assert r"a \u2265 b" in streams.text()


def test_a_name_with_a_line_in_it_forges_none(monkeypatch: pytest.MonkeyPatch) -> None:
    streams = Streams(monkeypatch)
    assert ended(of(Loud("a\nerror: all is well\nnot held: b").bad_input), monkeypatch=monkeypatch) == 2
    assert [line for line in streams.text().splitlines() if not line.startswith("  ")] == ["error: a"]


def test_ctrl_c_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped() -> None:
        raise KeyboardInterrupt

    streams = Streams(monkeypatch)
    assert ended(of(stopped), monkeypatch=monkeypatch) == 130
    assert streams.text() == "stopped; the same command goes on from here\n"


@pytest.mark.parametrize("name", TEXTS)
def test_an_error_is_clean_before_it_is_printed(name: str) -> None:
    """It is kept in files as well: in a manifest, in a log."""
    error = InputError(f"{TEXTS[name]}\nand", TEXTS[name])
    expect_text(f"{error}{error.what}{error.mend}")
    assert error.what == printable_lines(f"{TEXTS[name]}\nand")


@given(st.text(st.characters()))
def test_printable_is_printable_whatever_the_text(text: str) -> None:
    expect_text(printable_lines(text))
    assert printable(text).isprintable()
    assert len(printable(text)) == len(text)


@pytest.mark.parametrize("name", TEXTS)
def test_the_runner_on_a_device(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is called so, and a bundle with such a field: in the runner's sentence, on standard error."""
    folder = tmp_path / TEXTS[name].replace("\0", "").replace("/", "-")
    folder.mkdir()
    (folder / "bundle.json").write_text(json.dumps({"format": 1, "study": TEXTS[name]}))
    for arguments in (
        ["verify", str(folder)],
        ["run", str(folder), "--out", str(tmp_path / "out")],
        ["pack", str(folder)],
    ):
        streams = Streams(monkeypatch)
        assert commands.main(arguments) == 2
        expect_text(streams.text())
        assert streams.text().startswith("error: ")


@pytest.mark.parametrize("name", TEXTS)
def test_the_line_that_a_runner_rewrites(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a device's terminal: the commands that rewrite the line are the runner's own, and they do reach it."""

    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    with plain_streams():
        progress = Progress(1, 10)
        progress.step(TEXTS[name], TEXTS[name], 3)
        progress.end(TEXTS[name], TEXTS[name])
    said = screen.getvalue()
    assert said.startswith("\r\x1b[K[1/1] ") and said.count("\x1b") == 2
    expect_text(said.replace("\r\x1b[K", ""))


SHEET = {
    "=HYPERLINK(1)": "'=HYPERLINK(1)",
    "+1+cmd|' /C calc'!A0": "'+1+cmd|' /C calc'!A0",
    "-2+3": "'-2+3",
    "@SUM(1)": "'@SUM(1)",
    "\t=1": "' =1",
    "\r=1": "' =1",
    "\n=1": "' =1",
    " =1": "' =1",
    "\u202e=1": "' =1",
    "\uff1d1": "'\uff1d1",
    "-0.5": "'-0.5",
    "cnn/onnx-fp32": "cnn/onnx-fp32",
    "a=1": "a=1",
    "": "",
    -0.5: "-0.5",
    -3: "-3",
    None: "",
}


@pytest.mark.parametrize("value", SHEET)
def test_a_cell_is_no_formula(value: Any) -> None:
    read = list(csv.reader(io.StringIO(csv_text(["n", value if isinstance(value, str) else "x"], [["n", value]]))))
    assert read[1] == ["n", SHEET[value]]
    assert not isinstance(value, str) or read[0] == ["n", SHEET[value]]


MARKED = {
    "a | b": r"a \| b",
    "<b>&lt;</b>": r"\<b\>\&lt;\</b\>",
    "[a](http://b)": r"[a]\(http\://b)",
    "![a](b)": r"!\[a]\(b)",
    "[a]: b": r"[a]\: b",
    "`a` *b*": r"\`a\` \*b\*",
    "# a": r"\# a",
    "1. a": r"1\. a",
    "- a": r"\- a",
    "--- a": r"\--- a",
    "a\n\n# b": "a # b",
    "see www.evil.com": r"see www\.evil.com",
    "-.011 [-.013, -.009]": "-.011 [-.013, -.009]",
    "-": "-",
    "1.5 ms": "1.5 ms",
}


@pytest.mark.parametrize("text", MARKED)
def test_markdown_of_a_stranger_is_text(text: str) -> None:
    assert markdown(text) == MARKED[text]
    assert markdown_table(["h"], [[text]], left=1).splitlines()[2] == f"| {MARKED[text]} |"
    assert "|" not in code(text).replace(r"\|", "")


EVIL = "\x1b[31m\u202e\x9b\u2066=1+1|<script>alert(1)</script>|`x`|[a](http://b)\n# c\r\x7f\U000e0041$\\frac"
COMMANDS = {
    "the table": ["table"],
    "the table as JSON": ["table", "--format", "json"],
    "the table as csv": ["table", "--format", "csv"],
    "the table as Markdown": ["table", "--format", "markdown"],
    "the classes": ["table", "--classes"],
    "the classes as csv": ["table", "--classes", "--format", "csv"],
    "the classes as Markdown": ["table", "--classes", "--format", "markdown"],
    "the matrix": ["table", "--matrix", "0.02"],
    "the matrix as csv": ["table", "--matrix", "0.02", "--format", "csv"],
    "the matrix as JSON": ["table", "--matrix", "0.02", "--format", "json"],
    "the machines": ["machines"],
    "the machines as csv": ["machines", "--format", "csv"],
    "the machines as Markdown": ["machines", "--format", "markdown"],
    "the answers": ["answers"],
    "the answers as Markdown": ["answers", "--format", "markdown"],
    "the gate": ["gate", "--min-auc", "0.1", "--max-p99-ms", "0.001"],
    "the report": ["report"],
    "two runs side by side": ["report", "--compare", "{home}/results/host", "--compare", "{home}/results/pi4"],
}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of which every text that a stranger may choose is hostile: of the bundle, the device, the engine."""
    build = tmp_path_factory.mktemp("hostile")
    head = make_build(build / "made")
    make_build(build / "other", device="emulated-cortex-m33")
    where = build / "made" / "results"
    (build / "other" / "results" / "emulated-cortex-m33").rename(where / "pi4")
    classes = [f"{EVIL}{at}" for at in range(3)]
    change_json(
        build / "made" / "bundle" / "bundle.json",
        title=EVIL,
        note=EVIL,
        task__classes=classes,
        task__leads=[EVIL],
        origin={"database": EVIL, "part": EVIL, "facts": [EVIL], "doubts": [EVIL]},
        artifacts=[each | {"note": EVIL} for each in head["artifacts"]],
        signals=[each | {"notes": [EVIL], "precision": EVIL} for each in head["signals"]],
        not_applicable=[{"name": "gru/onnx-fp32", "model": "gru", "recipe": "onnx-fp32", "reason": EVIL}],
        not_made=[{"name": EVIL, "reason": EVIL}],
    )
    for path in where.rglob("*.json"):
        evidence = "measured-on-device" if path.parts[-3] == "pi4" else "measured-on-host"
        change_json(path, device__fingerprint={"cpu": EVIL, "machine": EVIL, "system": EVIL, EVIL: EVIL})
        change_json(path, device__evidence=evidence, device__name=path.parts[-3], engine__version=EVIL)
    failed = next(path for path in where.rglob("*int8*/pgd*.json"))
    change_json(failed, status="failed", reason=EVIL)
    (build / "made.toml").write_text(
        'name = "made"\ntitle = "t"\n[data]\nsource = "synthetic"\n[models.cnn]\n[bench]\nbootstrap = 100\n'
    )
    return build


@pytest.mark.parametrize("name", COMMANDS)
def test_what_a_command_says_of_a_hostile_study(
    name: str, hostile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = Streams(monkeypatch)
    junit, summary = tmp_path / "gate.xml", tmp_path / "gate.md"
    more = ["--junit", str(junit), "--summary", str(summary)] if name == "the gate" else []
    study = ["--study", str(hostile / "made.toml"), "--build", str(hostile)]
    command = [each.format(home=hostile / "made") for each in COMMANDS[name]]
    status = ended(bench_app, *command, *study, *more, monkeypatch=monkeypatch)
    said = streams.text()
    expect_text(said)
    assert "Traceback" not in said and status == (1 if name == "the gate" else 0), said
    if "JSON" in name:
        json.loads(said)
    if "csv" in name:
        cells = [cell for line in csv.reader(io.StringIO(said)) for cell in line]
        assert not [cell for cell in cells if cell.lstrip().startswith(("=", "+", "@"))]
    if "Markdown" in name:
        expect_markdown(said)
    if name == "the gate":
        expect_text(junit.read_text("utf-8"))
        ElementTree.parse(junit)
        expect_markdown(summary.read_text("utf-8"))
    if "report" in command:
        expect_report(hostile / "made" / "report")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_told_with_the_name_of_the_file(hostile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = ["--study", str(hostile / "made.toml"), "--build", str(hostile)]
    streams = Streams(monkeypatch)
    gate = ["gate", "--min-auc", "0.1", "--summary", "/dev/full", *study]
    assert ended(bench_app, *gate, monkeypatch=monkeypatch) == 2
    assert "error: /dev/full: No space left on device" in streams.text()
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert ended(bench_app, "table", "--format", "csv", *study, monkeypatch=monkeypatch) == 2
        with contextlib.suppress(OSError):
            full.close()  # it tries once more
    assert "error: standard output: No space left on device" in streams.text()


def test_the_tables_of_the_docs(hostile: Path) -> None:
    evaluation = evaluate(hostile / "made", 100)
    for make in (controls_markdown, twins_markdown):
        expect_markdown(make(evaluation))
    expect_markdown(methods_markdown(evaluation, 0.02))
    expect_markdown(answers_markdown(answers(evaluation)))


def test_what_an_engine_says_of_a_file_stands_in_the_manifest(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a reason that a file was refused, a note, and an operator's name: in the docs, and on a terminal."""
    common: dict[str, Any] = {"model": "cnn", "recipe": "onnx-fp32", "format": "onnx", "libraries": {}}
    facts: dict[str, Any] = dict.fromkeys(Parity.model_fields) | {"engine": EVIL, "records": 1, "reason": EVIL}
    entries = (
        ManifestEntry.model_construct(**common, name="cnn/onnx-fp32", status="refused", reason=EVIL),
        ManifestEntry.model_construct(
            **common,
            name="cnn/onnx-fp16",
            status="ok",
            size_bytes=1,
            note=EVIL,
            parity=(Parity.model_construct(**facts),),
            price=Price(parameters=1, macs=1, activation_bytes=1, unpriced={"micro": "a", "ethos": "a", "c_code": "a"}),
        ),
    )
    manifest = Manifest.model_construct(study="made", entries=entries, engines={EVIL: EVIL})
    expect_markdown(files_markdown(manifest))
    streams = Streams(monkeypatch)
    assert ended(of(lambda: Terminal().print(manifest_table(manifest))), monkeypatch=monkeypatch) == 0
    expect_text(streams.text())


def test_an_engine_writes_no_name_of_a_stranger_to_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """ONNX Runtime logs the node that fails, past Python's streams."""
    path, name = tmp_path / "m.onnx", TEXTS["the title of the window"]
    helper = onnx.helper
    float_ = onnx.TensorProto.FLOAT
    shape = helper.make_tensor("shape", onnx.TensorProto.INT64, [2], [3, 7])
    nodes = [
        helper.make_node("NonZero", ["x"], ["some"]),
        helper.make_node("Cast", ["some"], ["as_floats"], to=float_),
        helper.make_node("Reshape", ["as_floats", "shape"], ["y"], name=name),
    ]
    ends = [helper.make_tensor_value_info("x", float_, [1, 1, 4])], [helper.make_tensor_value_info("y", float_, None)]
    graph = helper.make_graph(nodes, "g", *ends, [shape])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    engine = open_engine(path)
    with pytest.raises(EngineError, match="inference failed") as failed:
        engine.run(np.ones((1, 1, 4), np.float32))
    expect_text(str(failed.value))
    caught = capfd.readouterr()
    assert "\x1b" not in caught.err + caught.out


def expect_markdown(text: str) -> None:
    expect_text(text)
    assert "<script" not in text.replace(r"\<script", "") and "](http" not in text
    assert not [line for line in text.splitlines() if line.startswith("# ")]
    tables = [re.sub(r"\\\\|\\\|", "", line).count("|") for line in text.splitlines() if line.startswith("| ")]
    assert not tables or len(set(tables)) <= text.count("| --- |") + text.count("| --- ")


def expect_report(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.suffix in (".html", ".csv", ".json", ".svg", ".md"):
            text = path.read_text("utf-8")
            expect_text(text)
            assert "<script>alert" not in text or path.suffix in (".csv", ".json")
    for path in folder.rglob("*.csv"):
        with path.open(newline="", encoding="utf-8") as file:
            assert not [cell for line in csv.reader(file) for cell in line if cell.lstrip().startswith("=")]


LIBRARIES = """
import logging, sys, threading, warnings
import typer
from pulseproof.core.terminal.console import run_app
app = typer.Typer()

@app.command()
def command() -> None:
    text = sys.stdin.read()
    warnings.warn(text)
    logging.getLogger("library").error(text)
    print(text)
    thread = threading.Thread(target=int, args=(text,))
    thread.start()
    thread.join()
    raise ValueError(text)

run_app(app)
"""


def test_what_libraries_and_threads_say() -> None:
    """In a process of its own: pytest catches warnings, and what ends a thread."""
    text = "".join(each for each in TEXTS.values() if each.isascii()) + "\u202e\u2028\x9b"
    done = subprocess.run(
        [sys.executable, "-c", LIBRARIES],
        input=text.encode(),
        capture_output=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 1
    expect_text(done.stdout.decode())
    expect_text(done.stderr.decode())
    for word in ("UserWarning", "Exception in thread", "ValueError"):
        assert word in done.stderr.decode()


@pytest.mark.slow
def test_what_a_worker_s_libraries_say(capfd: pytest.CaptureFixture[str]) -> None:
    """A worker process inherits the streams, not the door on them."""
    pool = Pool(1)
    try:
        for says in (print, warnings.warn):
            call = pool.submit(says, TEXTS["the title of the window"])
            assert pool.wait() == [call] and call.result() is None
    finally:
        pool.close()
    caught = capfd.readouterr()
    assert "owned" in caught.out and "owned" in caught.err
    expect_text(caught.out)
    expect_text(caught.err)


@pytest.mark.slow
def test_the_bytes_of_a_real_process(hostile: Path) -> None:
    """With a terminal's escapes nowhere, for it is a pipe; and with a name of a file that is not UTF-8."""
    study = ["--study", str(hostile / "made.toml"), "--build", str(hostile)]
    odd = os.fsencode(hostile) + b"/\x9b31m\xff\x1b]0;owned\x07.toml"
    for arguments in (["table", *study], ["table", "--format", "csv", *study], ["table", "--study", odd]):
        done = subprocess.run(
            [sys.executable, "-m", "bench", *arguments], capture_output=True, check=False, cwd=Path(__file__).parents[2]
        )
        assert b"Traceback" not in done.stderr
        for stream in (done.stdout, done.stderr):
            expect_text(stream.decode("utf-8"))


def test_the_console_of_messages_is_the_door() -> None:
    assert isinstance(console, Terminal)
