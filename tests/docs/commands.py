"""The commands that README and the docs name, and what must be true of each.

In: the pages, with their fenced blocks (``sh``, ``bash``, ``console``, the ``- run:`` lines of ``yaml``), their code in
the line (`` `make demo` ``), and the examples in the help of each command. Out: :class:`Shown` commands, and a sentence
for each that is not as the page says.
"""

from __future__ import annotations

import importlib.util
import itertools
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import typer

from perf.commands import app as claims
from pulseproof.main import app
from pulseproof.runtime.wire import carried

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", *sorted(f"docs/{path.name}" for path in ROOT.glob("docs/*.md")))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
IN_LINE = re.compile(r"`((?:\.venv/bin/)?(?:pulseproof|make|pip|python3?) [^`]*)`")
EXAMPLE = re.compile(r"Example: `([^`]*)`")
ASSIGNED = re.compile(r"[A-Z_]+=")
# What a page leaves to its reader: `pulseproof table --study ...`. The options are looked at, the whole is not.
LEFT_OPEN = "..."
FILE = re.compile(r"[\w./-]+\.(?:toml|onnx|tflite|skops|safetensors|npy|py|pyz|zip|xml|html|lock|yml|yaml|json|csv)")
# Files that are not in the checkout, and whose they are.
OWN = {
    "mine.toml": "the reader's study, written in the tutorial",
    "make_recordings.py": "the reader's script, written on own-recordings.md",
    "wearable.toml": "the reader's study, written on own-recordings.md",
    "hard.toml": "the reader's study, written on defences.md",
    "hardened.toml": "written by pulseproof harden",
    "mine.onnx": "the reader's model",
    "mine.tflite": "the reader's model",
    "beats.toml": "the reader's study, written on own-model.md",
    "mine.safetensors": "the reader's weights",
    "devices.toml": "the reader's boards, written on raspberry-pi.md",
    "results.zip": "carried home from a board",
    "ptb-xl-bundle.pyz": "written by make bundle, carried to a board",
    "gate.xml": "written by the gate",
    "full.tflite": "the reader's full-integer model",
}
# Programs that are not ours, and why they cannot be tried here.
OTHERS = {"ssh": "asks the reader's board", "echo": "changes the reader's board", "pip": "asks a package index"}
OTHERS |= {
    "mkdir": "makes the reader's folder",
    "docker": "asks a daemon",
    "build.sh": "asks docker; test_container.py does without",
}
OTHER_MODULES = {"pip", "venv"}


@dataclass(frozen=True)
class Shown:
    """A command as a page shows it. ``whole``: it stands in a block, to be copied as it is."""

    page: str
    text: str
    whole: bool

    def __str__(self) -> str:
        return f"{self.page}: {self.text}"


def shown() -> list[Shown]:
    """Every command of the pages and of the help, once a page."""
    found: dict[Shown, None] = {}
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        for kind, block in FENCE.findall(text):
            found |= {Shown(page, line, True): None for line in _lines(kind, block)}
        in_line = IN_LINE.findall(FENCE.sub("", text))
        found |= {Shown(page, " ".join(line.split()), False): None for line in in_line}
    for name, command in _commands(app).items():
        for line in EXAMPLE.findall(" ".join((command.help or "").split())):
            found[Shown(f"pulseproof {name} --help", line, True)] = None
    return list(found)


def _lines(kind: str, block: str) -> Iterator[str]:
    lines = block.replace("\\\n", " ").splitlines()
    if kind == "console":
        lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    elif kind in ("yaml", "yml"):
        lines = [line.partition("run: ")[2] for line in lines if re.match(r"\s*(- )?run: [^|>]", line)]
    elif kind not in ("sh", "bash"):
        return
    for line in lines:
        if shlex.split(line, comments=True):
            yield " ".join(shlex.join(shlex.split(line, comments=True)).split())


def _commands(of: typer.Typer) -> dict[str, Any]:
    return dict(getattr(typer.main.get_command(of), "commands"))  # noqa: B009 (typer has no public type for a group)


def faults(command: Shown, ready: Path) -> list[str]:
    """What a command names that is not there. ``ready``: an environment that make takes for set up."""
    words = list(itertools.dropwhile(ASSIGNED.match, shlex.split(command.text)))  # NAME=value in front
    program, rest = words[0].rpartition("/")[2], words[1:]
    open_ = not command.whole or LEFT_OPEN in command.text
    found = [f"{name} is not there, and is nobody's" for name in _files(rest) if name not in OWN and not _there(name)]
    if program == "pulseproof":
        return found + _of_ours(rest, open_)
    if program == "make":
        return found + _of_make(rest, ready, open_)
    if program in ("python", "python3"):
        return found + _of_python(rest)
    return found if program in OTHERS else [*found, f"{program} is no program that we know of"]


def _files(words: list[str]) -> Iterator[str]:
    for word in words:
        yield from (name for name in ASSIGNED.sub("", word).split() if FILE.fullmatch(name))


def _there(name: str) -> bool:
    return (ROOT / name).exists() or name.startswith("build/")  # what a command before it wrote


def _of_ours(words: list[str], open_: bool) -> list[str]:
    commands = _commands(app)
    if words[:1] == ["perf"] and len(words) > 1:
        commands, words = _commands(claims), words[1:]
    if not words or words[0].startswith("-"):
        return [] if words and set(words) <= {"--version", "--help", "--install-completion"} else ["no such option"]
    name, *rest = words
    if name not in commands:
        return [f"there is no command {name}"]
    if "--help" in rest:
        return []
    if open_:  # what stands open and is no option's value
        rest = [
            word for before, word in zip([name, *rest], rest, strict=False) if word != LEFT_OPEN or before[0] == "-"
        ]
    try:
        commands[name].make_context(name, rest)
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        # In the line a page may name an option without all that the command needs.
        return [] if open_ and "MissingParameter" in said else [said]
    return []


def _of_make(words: list[str], ready: Path, open_: bool) -> list[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^([\w-]+):", makefile, re.MULTILINE)
    given = [word.partition("=")[0] for word in words if ASSIGNED.match(word)]
    found = [f"make knows no {name}" for name in given if f"$({name})" not in makefile and f"$({name}:" not in makefile]
    found += [f"there is no target {word}" for word in words if not ASSIGNED.match(word) and word not in targets]
    if found:
        return found
    # In the line a page may leave out what a target asks for.
    for name in ("DATA", "RESULTS"):
        words = words if name in given or not open_ else [*words, f"{name}=given"]
    values = [f"VENV={ready}", *(word.replace(LEFT_OPEN, "given") for word in words)]
    done = subprocess.run(["make", "--dry-run", *values], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        return [done.stderr]
    ours = re.findall(rf"{re.escape(str(ready))}/bin/pulseproof ([^|;\n]*)", done.stdout.replace("\\\n", " "))
    return [f"it runs pulseproof {line}: {each}" for line in ours for each in _of_ours(shlex.split(line), False)]


def _of_python(words: list[str]) -> list[str]:
    if words[0] == "-m":
        name = words[1]
        spec = importlib.util.find_spec(name)
        package = spec is not None and spec.submodule_search_locations is not None
        runs = importlib.util.find_spec(f"{name}.__main__") is not None if package else spec is not None
        return [] if runs or name in OTHER_MODULES else [f"there is no module {name} that runs"]
    if not words[0].endswith("-bundle.pyz") or "--help" in words:
        return []
    try:
        with mock.patch.object(
            carried, "_archive", lambda: Path(words[0])
        ):  # it reads its name off the file that it is
            carried._parser().parse_args(words[1:])
    except SystemExit:
        return ["the runner refuses it"]
    return []
