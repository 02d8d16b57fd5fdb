"""Arrays of one's own: written from Python, read as a stranger's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pulseproof.core.errors import InputError
from pulseproof.ecg.prepare import prepare
from pulseproof.ecg.recordings import open_recordings
from pulseproof.ecg.write_arrays import write_recordings
from tests.ecg.making import leftovers, study_of

STUDY = study_of({"source": "arrays", "path": "mine"})
COUNT = 9


def signals() -> np.ndarray:
    return np.random.default_rng(1).normal(0, 0.5, (COUNT, 2, 100))


GOOD: dict[str, Any] = {
    "classes": ["N", "AF"],
    "leads": ["I", "II"],
    "fs_hz": 100,
    "adc_step_mv": 0.005,
    "patients": ["a", "a", "b", "c", "d", "d", "e", "f", "g"],
    "splits": ["train", "train", "train", "train", "validation", "validation", "test", "test", "test"],
}
LABELS = np.eye(2)[[0, 1, 0, 1, 0, 1, 0, 1, 0]]


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    return write_recordings(tmp_path / "data" / "mine", signals(), LABELS, **GOOD)


def test_what_is_written_is_read(mine: Path, tmp_path: Path) -> None:
    recordings = prepare(STUDY, tmp_path / "data", tmp_path / "build")
    assert np.array_equal(recordings.steps, np.rint(signals() / 0.005))
    assert np.array_equal(recordings.labels, LABELS) and recordings.about.exclusive
    assert len(set(recordings.patients.tolist())) == 7 and recordings.splits.tolist() == [0, 0, 0, 0, 1, 1, 2, 2, 2]
    assert recordings.about.database == "mine" and recordings.about.classes == ("N", "AF")
    part = study_of({"source": "arrays", "path": "mine", "leads": ["II"], "window_s": [0.2, 0.7]})
    assert prepare(part, tmp_path / "data", tmp_path / "build").shape == (1, 50)
    # A folder that any reader of ours made is one as well.
    kept = next((tmp_path / "build" / "recordings").iterdir())
    again = prepare(study_of({"source": "arrays", "path": kept.name}), kept.parent, tmp_path / "other")
    assert np.array_equal(again.steps, recordings.steps)


def test_names_and_one_by_one(tmp_path: Path) -> None:
    names = ["AF" if row[1] else "N" for row in LABELS]
    folder = write_recordings(tmp_path / "mine", iter(signals()), names, **GOOD, ids=list("abcdefghi"), note="a try")
    there = open_recordings(folder)
    assert np.array_equal(there.labels, LABELS) and there.ids.tolist() == list("abcdefghi")
    assert there.about.note == "a try"


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"labels": LABELS[:5]}, "patients: 9 for 5 labels"),
        ({"labels": LABELS * 2}, "of 0 and 1"),
        ({"labels": ["N"] * 8 + ["X"]}, "'X' is in no class"),
        ({"signals_mv": signals()[:5]}, "5 recordings for 9 labels"),
        ({"signals_mv": [*signals(), signals()[0]]}, "more than 9 recordings"),
        ({"signals_mv": signals() * np.nan}, "no number"),
        ({"signals_mv": signals() * 1e6}, "a larger adc_step_mv"),
        ({"signals_mv": [*signals()[:8], np.zeros((2, 99))]}, r"is \(2, 99\)"),
        ({"classes": ["N"]}, "of 0 and 1"),
        ({"classes": ["N", "n"]}, "each a name of its own"),
        ({"leads": ["I", "I"]}, "each a name of its own"),
        ({"leads": ["I", "I\x1b[2J"]}, "each a name of its own"),
        ({"fs_hz": 0}, "0 Hz"),
        ({"adc_step_mv": float("nan")}, "nan mV"),
        ({"splits": ["train"] * 9}, "no recording is on the validation and the test side"),
        ({"splits": [0, 0, 0, 0, 1, 1, 2, 2, 2]}, "each is one of"),
        ({"patients": ["a", "a", "b", "c", "d", "a", "e", "f", "g"]}, "'a' is on the train and on the validation side"),
        ({"ids": ["x"] * 9}, "the same"),
    ],
)
def test_what_does_not_fit_is_not_written(tmp_path: Path, changes: dict[str, Any], what: str) -> None:
    given = {"signals_mv": signals(), "labels": LABELS, **GOOD} | changes
    with pytest.raises(InputError, match=what):
        write_recordings(tmp_path / "mine", **given)
    assert leftovers(tmp_path) == []


def edit(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        np.save(folder / f"{name}.npy", change(np.load(folder / f"{name}.npy")))

    return apply


def tell(**changes: Any) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        head = json.loads((folder / "recordings.json").read_text())
        head["about"] |= changes
        (folder / "recordings.json").write_text(json.dumps(head))

    return apply


def claim(folder: Path) -> None:
    head = b"{'descr': '<i8', 'fortran_order': False, 'shape': (99999999999,), }".ljust(117) + b"\n"
    (folder / "patients.npy").write_bytes(b"\x93NUMPY\x01\x00v\x00" + head)


def tear(folder: Path) -> None:
    """A head that is no Python: numpy's second try raises what its tokenizer raises."""
    raw = (folder / "patients.npy").read_bytes()
    (folder / "patients.npy").write_bytes(raw.replace(b"'<i8'", b"(\x1d<i8", 1))


def set_at(place: Any, value: Any) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array[place] = value
        return array

    return change


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda folder: (folder / "ids.npy").unlink(), "ids.npy: no such file"),
        (lambda folder: (folder / "recordings.json").write_text("{"), "not the head of a folder"),
        (lambda folder: (folder / "recordings.json").write_text("[" * 100_000), "not the head of a folder"),
        (lambda folder: (folder / "signals.npy").write_bytes(b"junk"), "not a readable array"),
        (claim, "not a readable array"),
        (tear, "not a readable array"),
        (edit("signals", lambda array: array.astype(np.float32)), "signals.npy: float32"),
        (edit("signals", lambda array: array[:, :1]), "1 leads, recordings.json names 2"),
        (edit("signals", set_at((4, 0, 3), -32768)), r"recording 4 \(000004\): a step beyond"),
        (edit("labels", set_at((2, 1), 2)), "recording 2 has a label that is not 0 or 1"),
        (edit("labels", lambda array: array[:3]), "labels.npy: uint8"),
        (edit("splits", set_at(0, 3)), "recording 0 is on no side"),
        (edit("splits", lambda array: array * 0), "no recording is on the test side"),
        (edit("splits", set_at(0, 1)), "is on 2 sides"),
        (edit("ids", lambda array: np.array(["x"] * COUNT)), "are called the same"),
        (edit("ids", set_at(1, "\x1b[2J")), "can be printed"),
        (edit("patients", lambda array: array.astype(np.float64)), "patients.npy: float64"),
        (tell(classes=["N"]), "classes: 'N'"),
        (tell(classes="NA"), "classes is no list"),
        (tell(fs_hz="fast"), "fs_hz is 'fast'"),
        (tell(fs_hz=1e12), "1e"),
        (tell(adc_range=[5, 5]), "a range of 5 to 5"),
        (tell(note="\x1b[2J"), "can be printed"),
        (tell(more=1), "unknown key 'more'"),
    ],
)
def test_a_strangers_folder(mine: Path, tmp_path: Path, spoil: Callable[[Path], Any], what: str) -> None:
    spoil(mine)
    with pytest.raises(InputError, match=what):
        prepare(STUDY, tmp_path / "data", tmp_path / "build")
    assert leftovers(tmp_path / "build") == []


def test_nothing_is_unpickled(mine: Path, tmp_path: Path) -> None:
    np.save(mine / "ids.npy", np.array([object()] * COUNT), allow_pickle=True)
    with pytest.raises(InputError, match="not a readable array"):
        prepare(STUDY, tmp_path / "data", tmp_path / "build")
