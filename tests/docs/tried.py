"""Which of the commands that the pages show are run by a test, and why the others are not.

In: a :class:`~tests.docs.commands.Shown` command that stands in a block, to be copied. Out: the words of the
``pulseproof`` that :mod:`tests.docs.test_commands_run` runs for it, or the reason why that is left to somebody else.
"""

from __future__ import annotations

import itertools
import re
import shlex
import subprocess
from pathlib import Path

from tests.docs.commands import ASSIGNED, OTHERS, OWN, ROOT, Shown

# Those that read what was run: they are tried on a study that was made for that.
READING = ("table", "answers", "report", "card", "machines", "gate")
# Those that need nothing at all.
ALONE = ("recipes", "systems", "--version")
# Pages whose blocks are run as they stand, one after the other, by a test of their own.
FOLLOWED = {
    "docs/tutorial.md": "tests/docs/test_tutorial.py",
    "docs/own-model.md": "tests/docs/test_own_model.py",
    "docs/own-recordings.md": "tests/docs/test_own_recordings.py",
}
# The first that is found in a command is its reason.
REASONS = {
    r"\bmake (setup|check|test)\b": "is what runs the tests",
    r"\b(make|pulseproof) demo\b": "takes five minutes: .github/workflows/gate.yml runs it",
    r"\bDEVICE=pi|--device (pi|board)|results/pi4|results\.zip": "asks a board: tests/bench/devices have a real sshd",
    r"emulated:": "takes an emulator half an hour: tests/bench/devices/emulated run less",
    r"pulseproof layers ecg-lens": "builds a large net: tests/docs/test_commands.py runs layers cnn",
    r"my-net/": "is of the tutorial's study: tests/docs/test_tutorial.py runs it",
    r"machines --study studies/cortex-m": "reads what emulated microcontrollers ran: tests/bench/devices/test_micro.py",
    r"pulseproof firmware\b": "needs a trained study and a compiler: tests/firmware run it",
    r"--provider": "runs the demo first: tests/runtime/test_runtime_providers.py has its own bundle",
    r"\bDATA=|--data\b|pulseproof data\b": "reads recordings that are not in the checkout: make test DATA=recordings",
    r"pulseproof (schema|docs)\b": "writes into the checkout: tests/report compare what is there",
    r"pulseproof (harden|certify|export|attack|bundle|wfdb)\b": "trains for minutes first: the rooms' own tests run it",
    r"pulseproof (folds|bring|validate|paper)\b": "is of the reader's own files: the rooms' own tests run it",
}


def reason(shown: Shown) -> str | None:
    """Why a command is not run by :mod:`tests.docs.test_commands_run`; None for one that is."""
    program = _words(shown.text)[0].rpartition("/")[2]
    if program in OTHERS:
        return OTHERS[program]
    for pattern, told in REASONS.items():
        if re.search(pattern, shown.text):
            return told
    if program.startswith("python"):
        return "is of the reader's own files" if any(name in shown.text for name in OWN) else None
    if shown.page in FOLLOWED:
        return f"is run by {FOLLOWED[shown.page]}"
    return None


def asked_of_us(shown: Shown, ready: Path) -> list[list[str]]:
    """The arguments of every ``pulseproof`` that a command is, or that its target of make runs."""
    words = _words(shown.text)
    if words[0].rpartition("/")[2] == "pulseproof":
        return [words[1:]]
    values = [f"VENV={ready}", *words[1:]]
    done = subprocess.run(["make", "--dry-run", *values], cwd=ROOT, capture_output=True, text=True, check=True)
    lines = re.findall(rf"{re.escape(str(ready))}/bin/pulseproof ([^|;\n]*)", done.stdout.replace("\\\n", " "))
    return [shlex.split(line) for line in lines]


def _words(text: str) -> list[str]:
    return list(itertools.dropwhile(ASSIGNED.match, shlex.split(text)))
