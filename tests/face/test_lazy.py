"""``import pulseproof`` costs nothing, says what there is, and every name of it is there when it is used."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import pulseproof as pp

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "sklearn", "scipy", "onnx", "onnxruntime", "pydantic", "typer", "rich", "matplotlib", "wfdb"}


def loaded(program: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after ``program``."""
    shown = f"{program}\nimport json, sys; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", shown], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_it_imports_nothing_of_ours_and_nothing_heavy() -> None:
    names = loaded("import pulseproof")
    assert not [name for name in names if name.startswith("pulseproof.")]
    assert not (HEAVY | {"numpy"}) & names


@pytest.mark.parametrize("name", pp.__all__)
def test_naming_a_thing_does_not_import_what_does_the_work(name: str) -> None:
    names = loaded(f"import pulseproof as pp; assert pp.{name}.__doc__; assert pp.{name} is pp.{name}")
    assert not HEAVY & names


def test_all_names_are_there_and_are_those_that_it_lists() -> None:
    assert sorted(pp.__all__) == sorted(pp._PLACES)
    assert set(pp.__all__) <= set(dir(pp))
    namespace: dict[str, object] = {}
    exec("from pulseproof import *", namespace)
    assert set(pp.__all__) <= set(namespace)


def test_another_name_is_none_of_it_and_a_room_is_still_found() -> None:
    with pytest.raises(AttributeError, match="attack_modle"):
        _ = pp.attack_modle  # type: ignore[attr-defined]
    assert "pulseproof.core.errors" in loaded("from pulseproof import core; import pulseproof.core.errors")


ASKED = """
import sys
from pulseproof.main import main
sys.argv = ["pulseproof", *{asked!r}.split()]
try:
    main()
except SystemExit as end:
    assert not end.code
sys.stdout.write("\\n")
"""


@pytest.mark.parametrize("asked", ["--help", "--version"])
def test_the_command_says_what_there_is_without_what_does_the_work(asked: str) -> None:
    """In a quarter of a second: help is read by people who wait for it."""
    assert not (HEAVY - {"typer", "rich"} | {"numpy", "requests"}) & loaded(ASKED.format(asked=asked))


@pytest.mark.parametrize("module", ["report.answers.questions", "report.page", "bench.wire.results"])
def test_a_report_is_written_without_torch(module: str) -> None:
    """``table``, ``answers``, ``gate`` and ``report`` read what was measured: nothing is trained or attacked there."""
    assert not {"torch", "sklearn", "onnxruntime", "scipy.stats"} & loaded(f"import pulseproof.{module}")
