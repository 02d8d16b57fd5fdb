"""The command that hardens a study: what it writes, and what it refuses before it writes or runs anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pulseproof import hardening
from pulseproof.core.errors import InputError
from pulseproof.core.study import load_study

TEXT = """# Mine.
name = "mine"
title = "t"
[data]
source = "synthetic"
records = 60
[models.cnn] # the net
options = {width = 4}
[models.lstm]
options = {hidden = 4}
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(TEXT)
    return path


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The studies that would be run: the run itself is that of `pulseproof bench` and `report`, tested there."""
    found: list[Path] = []
    monkeypatch.setattr(hardening, "_run", lambda study, *others: found.append(study))
    return found


def harden(study: Path, **options: Any) -> None:
    hardening.harden(study=study, build=study.parent / "build", **({"model": "cnn"} | options))


def test_the_study_gets_the_variant_and_is_run(mine: Path, ran: list[Path]) -> None:
    harden(mine, budget=0.03, steps=1)
    defence = load_study(mine).models["cnn-hard"].defence
    assert defence is not None and (defence.kind, defence.budget_mv, defence.steps) == ("adversarial", 0.03, 1)
    assert mine.read_text().startswith(TEXT[: TEXT.index("[models.lstm]")].rstrip())
    before = mine.read_bytes()
    harden(mine, budget=0.03, steps=1)
    assert mine.read_bytes() == before and ran == [mine, mine]


def test_another_file_leaves_the_study_alone_and_takes_one_variant_after_the_other(mine: Path, ran: list[Path]) -> None:
    to = mine.parent / "hardened.toml"
    harden(mine, to=to)
    harden(mine, to=to, model="lstm", kind="gradient")
    assert mine.read_text() == TEXT and ran == [to, to]
    assert set(load_study(to).models) == {"cnn", "cnn-hard", "lstm", "lstm-hard"}
    other = mine.parent / "other.toml"
    other.write_text(TEXT.replace('"mine"', '"other"'))
    with pytest.raises(InputError, match="another study is there"):
        harden(mine, to=other)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"budget": 0.0}, "--budget: 0 mV"),
        ({"budget": float("nan")}, "--budget: nan mV"),
        ({"steps": 0}, "--steps: 0"),
        ({"model": "lens"}, r"no \[models.lens\]"),
        pytest.param({"model": "lstm", "kind": "certified"}, "which certified training needs", marks=pytest.mark.slow),
        ({"to": Path("/dev/null/no.toml")}, "no.toml"),
    ],
)
def test_what_is_refused_leaves_the_study_as_it_is(
    mine: Path, ran: list[Path], options: dict[str, Any], said: str
) -> None:
    with pytest.raises((InputError, OSError), match=said):
        harden(mine, **options)
    assert mine.read_text() == TEXT and not ran
