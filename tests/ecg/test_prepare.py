"""The cache of recordings: read once, shared by studies, never half there, never of other files."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wfdb

from pulseproof.core.errors import InputError
from pulseproof.core.study import load_study
from pulseproof.ecg import recordings as at_rest
from pulseproof.ecg.prepare import prepare
from tests.ecg.making import BEATS_DATA, leftovers, ptbxl_digital, study_of, write_ptbxl_record

PTBXL = study_of({"source": "ptb-xl"})
BEATS = study_of(BEATS_DATA)


@pytest.fixture
def root(ptbxl_root: Path, beats_root: Path) -> Path:
    assert ptbxl_root == beats_root
    return ptbxl_root


def no_wfdb(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError(f"a WFDB file was opened: {args}")

    for name in ("rdrecord", "rdann", "rdheader", "rdsamp"):
        monkeypatch.setattr(wfdb, name, refuse)
    for module in (
        "pulseproof.ecg.ptbxl.read_header",
        "pulseproof.ecg.ptbxl.read_record",
        "pulseproof.ecg.marked.reading.read_record",
    ):
        monkeypatch.setattr(module, refuse)


@pytest.mark.parametrize("study", [PTBXL, BEATS], ids=["ptb-xl", "beats"])
def test_a_second_start_opens_no_wfdb_file(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, study: Any
) -> None:
    first = prepare(study, root, tmp_path / "build")
    no_wfdb(monkeypatch)
    second = prepare(study, root, tmp_path / "build")
    assert np.array_equal(first.steps, second.steps) and np.array_equal(first.labels, second.labels)
    assert (first.about, first.fingerprint) == (second.about, second.fingerprint)
    assert isinstance(second.steps, np.memmap)


def test_studies_share_what_was_read(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = prepare(PTBXL, root, tmp_path / "build")
    no_wfdb(monkeypatch)
    study = study_of({"source": "ptb-xl", "leads": ["V2", "i"], "window_s": [1.0, 3.5]})
    part = prepare(study, root, tmp_path / "build")
    assert (part.shape, part.about.leads) == ((2, 250), ("V2", "I"))
    rows = np.array([0, 4])
    assert np.array_equal(part.adc(rows), whole.adc(rows)[:, [7, 0], 100:350])
    assert len(list((tmp_path / "build" / "recordings").iterdir())) == 1


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"leads": ["II", "MLII"]}, "study small: no lead 'MLII' in ptb-xl"),
        ({"leads": []}, "study small: no lead (empty list)"),
        ({"window_s": [2.0, 11.0]}, "study small: window 2.0 to 11.0 s is not inside the recording"),
    ],
)
def test_a_view_that_is_not_there(root: Path, tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError) as caught:
        prepare(study_of({"source": "ptb-xl", **changes}), root, tmp_path / "build")
    assert says in caught.value.what


def test_other_files_are_read_again_and_the_old_cache_stays(root: Path, tmp_path: Path) -> None:
    old = prepare(PTBXL, root, tmp_path / "build")
    write_ptbxl_record(root / "ptb-xl", 4, ptbxl_digital(44))
    new = prepare(PTBXL, root, tmp_path / "build")
    assert np.array_equal(new.steps[3], ptbxl_digital(44).T)
    assert np.array_equal(old.steps[3], ptbxl_digital(4).T)
    assert old.fingerprint != new.fingerprint
    assert len(list((tmp_path / "build" / "recordings").iterdir())) == 2


@pytest.mark.parametrize("study", [PTBXL, BEATS], ids=["ptb-xl", "beats"])
def test_another_process_gets_the_same_recordings(root: Path, tmp_path: Path, study: Any) -> None:
    here = prepare(study, root, tmp_path)
    there = pickle.loads(pickle.dumps(here))
    for field in fields(here):
        assert np.array_equal(getattr(there, field.name), getattr(here, field.name)), field.name


def test_copied_data_have_the_same_fingerprint(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "copy", copy_function=shutil.copy)  # other times, same bytes
    one = prepare(BEATS, root, tmp_path / "one")
    other = prepare(BEATS, tmp_path / "copy", tmp_path / "other")
    assert one.fingerprint == other.fingerprint
    assert one.fingerprint != prepare(PTBXL, root, tmp_path / "one").fingerprint


@pytest.mark.parametrize("name", ["signals.npy", "labels.npy", "recordings.json", "ids.npy"])
@pytest.mark.parametrize("damage", ["cut", "gone", "other"])
def test_a_damaged_cache_is_made_again(root: Path, tmp_path: Path, name: str, damage: str) -> None:
    before = prepare(PTBXL, root, tmp_path / "build").fingerprint
    (path,) = (tmp_path / "build").rglob(name)
    data = path.read_bytes()
    path.unlink()
    if damage == "cut":
        path.write_bytes(data[:-7])
    if damage == "other":
        path.write_bytes(data[:-7] + bytes(7))
    recordings = prepare(PTBXL, root, tmp_path / "build")
    assert recordings.fingerprint == before
    assert path.read_bytes() == data
    assert np.array_equal(recordings.steps[0], ptbxl_digital(1).T)


@pytest.mark.parametrize("study", [PTBXL, BEATS], ids=["ptb-xl", "beats"])
@pytest.mark.parametrize("stop", [KeyboardInterrupt, MemoryError])
def test_a_stopped_reading_leaves_nothing_and_goes_on(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, study: Any, stop: type[BaseException]
) -> None:
    add = at_rest.RecordingsWriter.add

    def add_some(self: at_rest.RecordingsWriter, *args: Any) -> None:
        if len(self._ids) == 3:
            raise stop
        add(self, *args)

    monkeypatch.setattr(at_rest.RecordingsWriter, "add", add_some)
    with pytest.raises(stop):
        prepare(study, root, tmp_path / "build")
    assert leftovers(tmp_path / "build") == []
    assert list((tmp_path / "build" / "recordings").iterdir()) == []
    monkeypatch.undo()
    assert len(prepare(study, root, tmp_path / "build")) > 3


def test_a_full_disk_is_told_before_work_starts(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(InputError, match="MB are needed for the recordings"):
        prepare(PTBXL, root, tmp_path / "build")
    assert leftovers(tmp_path / "build") == []


def test_synthetic_recordings_need_no_data(tmp_path: Path) -> None:
    study = study_of({"source": "synthetic", "records": 60, "leads": ["I"]})
    recordings = prepare(study, None, tmp_path / "build")
    assert (len(recordings), recordings.shape[0], recordings.about.synthetic) == (60, 1, True)
    again = prepare(study, None, tmp_path / "build")
    assert again.fingerprint == recordings.fingerprint
    other = prepare(study_of({"source": "synthetic", "records": 60, "seed": 2}), None, tmp_path / "build")
    assert other.fingerprint != recordings.fingerprint


@pytest.mark.parametrize("name", ["ptb-xl", "ptb-xl-lead-i", "mit-bih"])
def test_the_studies_are_valid(name: str) -> None:
    assert load_study(Path("studies") / f"{name}.toml").name == name
