"""What a finished run leaves of itself: it holds as long as nothing differs, and a doubt is a no."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pulseproof.unchanged import Unchanged


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name in ("data/a.dat", "data/b.dat", "build/models/net.pt", "build/results/r.json"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "elsewhere").mkdir()
    return tmp_path


def of(home: Path, seed: int = 1) -> Unchanged:
    return Unchanged(home / "build", "run", {"seed": seed}, [home / "data", home / "none"], ["models"])


def _rewritten_the_same_length(path: Path) -> None:
    path.write_text(path.read_text().upper())
    os.utime(path, ns=(0, 0))


CHANGES: dict[str, Callable[[Path], object]] = {
    "a source grew": lambda home: (home / "data/a.dat").write_text("more than there was"),
    "a source was written anew": lambda home: _rewritten_the_same_length(home / "data/a.dat"),
    "a source came": lambda home: (home / "data/c.dat").touch(),
    "a source went": lambda home: (home / "data/b.dat").unlink(),
    "what was not there came": lambda home: (home / "none").touch(),
    "what was made went": lambda home: (home / "build/models/net.pt").unlink(),
    "a folder that only the run knew": lambda home: (home / "elsewhere/x").touch(),
    "what was kept is damaged": lambda home: (home / "build/run.unchanged.stamp.json").write_text("{"),
    "what was kept is of another kind": lambda home: (home / "build/run.unchanged.stamp.json").write_text("[1]"),
    "what was kept went": lambda home: (home / "build/run.unchanged.stamp.json").unlink(),
}


def test_nothing_has_changed(home: Path) -> None:
    assert not of(home).holds()
    of(home).keep([home / "elsewhere"])
    assert of(home).holds()
    (home / "build/results/r.json").write_text("results are no part of it")
    (home / "data/__pycache__").mkdir()
    assert of(home).holds()


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_differs_is_seen(home: Path, change: str) -> None:
    of(home).keep([home / "elsewhere"])
    CHANGES[change](home)
    assert not of(home).holds()


def test_other_settings_another_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of(home).keep()
    assert of(home).holds() and not of(home, seed=2).holds()
    monkeypatch.setenv("PULSEPROOF_COMPUTE", "cuda")
    assert not of(home).holds()
    monkeypatch.delenv("PULSEPROOF_COMPUTE")
    with monkeypatch.context() as patched:
        patched.setattr("pulseproof.unchanged.here", lambda: {"tflite_runtime": "it came"})
        assert not of(home).holds()
    monkeypatch.setattr("pulseproof.unchanged.features", lambda: ["another"])
    assert not of(home).holds()
