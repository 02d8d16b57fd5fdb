"""Tables of recordings: classes, people, sides, and what a study may not say of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wfdb

from pulseproof.core.errors import InputError
from pulseproof.ecg.recordings import SPLITS, Recordings
from tests.ecg.making import leftovers, study_of
from tests.ecg.tables.making import DATA, read_with, wave, write_collection, write_rows, write_signal


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    write_collection(tmp_path / "mine")
    return tmp_path / "mine"


def labels_of(recordings: Recordings) -> dict[str, list[str]]:
    """{recording: its classes}."""
    classes = recordings.about.classes
    return {
        str(name): [each for each, there in zip(classes, row, strict=True) if there]
        for name, row in zip(recordings.ids, recordings.labels, strict=True)
    }


def sides_of(recordings: Recordings) -> dict[str, str]:
    return {str(name): SPLITS[side] for name, side in zip(recordings.ids, recordings.splits, strict=True)}


def test_labels_people_and_sides_are_those_of_the_table(mine: Path, tmp_path: Path) -> None:
    recordings = read_with(tmp_path, tmp_path / "build")
    assert recordings.about.classes == ("AF", "N", "PVC") and not recordings.about.exclusive
    wanted = (["AF"], ["N"], ["N", "PVC"])
    assert labels_of(recordings) == {f"signals/r{place:03d}": wanted[place % 3] for place in range(12)}
    sides = sides_of(recordings)
    assert [sides[f"signals/r{place:03d}"] for place in range(0, 8, 2)] == ["train", "train", "validation", "test"]
    assert len(set(recordings.patients.tolist())) == 6
    assert recordings.about.note == ""
    assert "Class PVC has no recording on the test side." in recordings.about.doubts


@pytest.mark.parametrize(
    ("classes", "wanted"),
    [
        ({"AF": ["AF"], "rest": "*"}, [["AF"], ["rest"], ["rest"]]),
        ({"rest": "*", "PVC": ["PVC"]}, [["rest"], ["rest"], ["PVC"]]),
        ({"beat": ["N", "PVC"], "AF": ["AF"]}, [["AF"], ["beat"], ["beat"]]),
        ({"PVC": ["PVC"], "N": ["N"], "AF": "drop"}, [None, ["N"], ["PVC", "N"]]),
        ({"PVC": ["PVC"], "AF": ["AF"], "other": "drop"}, [["AF"], None, ["PVC"]]),
        (None, [["AF"], ["N"], ["N", "PVC"]]),
    ],
)
def test_classes_of_ones_own(mine: Path, tmp_path: Path, classes: Any, wanted: Any) -> None:
    recordings = read_with(tmp_path, tmp_path / "build", classes=classes)
    named = {f"signals/r{place:03d}": wanted[place % 3] for place in range(12)}
    assert labels_of(recordings) == {name: each for name, each in named.items() if each is not None}
    assert len(recordings.about.classes) == 3 if classes is None else 2
    assert recordings.about.exclusive == all(each is None or len(each) == 1 for each in wanted)


def test_a_column_a_class(mine: Path, tmp_path: Path) -> None:
    rows = [["file", "side", "AF", "PVC"]]
    for place in range(12):
        side = ("train", "train", "validation", "test")[place % 4]
        rows.append([f"signals/r{place:03d}.csv", side, ("1", "0", "1,0")[place % 3], ("0", "1", "true")[place % 3]])
    write_rows(mine / "labels.csv", rows, ";")
    recordings = read_with(
        tmp_path,
        tmp_path / "build",
        columns={"labels": ["AF", "PVC"], "split": "side"},
        separator=None,
        classes=None,
    )
    wanted = (["AF"], ["PVC"], ["AF", "PVC"])
    assert labels_of(recordings) == {f"signals/r{place:03d}": wanted[place % 3] for place in range(12)}
    assert "each recording taken as its own patient" in recordings.about.note


def test_unlabelled_recordings_are_dropped_or_kept(mine: Path, tmp_path: Path) -> None:
    classes = {"AF": ["AF"], "PVC": ["PVC"], "other": "drop"}
    dropped = read_with(tmp_path, tmp_path / "build", classes=classes)
    assert len(dropped) == 8 and "Without a class and left out: 4 of 12 recordings." in dropped.about.facts
    kept = read_with(tmp_path, tmp_path / "build", classes=classes, unlabelled="keep")
    assert len(kept) == 12 and int((kept.labels.sum(axis=1) == 0).sum()) == 4


def test_shares_keep_people_together_and_share_out_every_class(tmp_path: Path) -> None:
    rows = [["file", "rhythm", "person"]]
    for place in range(120):
        write_signal(tmp_path / "mine" / f"r{place:03d}.npy", wave(place, seconds=1), 250)
        rows.append([f"r{place:03d}.npy", "AF" if place % 30 < 3 else "N", f"p{place // 3}"])
    write_rows(tmp_path / "mine" / "labels.csv", rows)
    changes: dict[str, Any] = {
        "columns": {"label": "rhythm", "patient": "person"},
        "classes": {"AF": ["AF"], "N": ["N"]},
        "split": {"train": 0.5, "validation": 0.25, "test": 0.25, "by": "patient", "stratify": True, "seed": 4},
        "leads": ["I", "II"],
    }
    recordings = read_with(tmp_path, tmp_path / "build", **changes)
    people: dict[int, set[int]] = {}
    for person, side in zip(recordings.patients.tolist(), recordings.splits.tolist(), strict=True):
        people.setdefault(person, set()).add(side)
    assert all(len(sides) == 1 for sides in people.values())
    assert [int((recordings.splits == side).sum()) for side in range(3)] == [60, 30, 30]
    assert [int(recordings.labels[recordings.splits == side, 0].sum()) for side in range(3)] == [6, 3, 3]
    shuffled = [rows[0], *rows[:0:-1]]
    write_rows(tmp_path / "mine" / "labels.csv", shuffled)
    again = read_with(tmp_path, tmp_path / "build", **changes)
    assert sides_of(again) == sides_of(recordings), "the order of the rows changes nothing"


def test_sides_by_patterns_of_names_and_of_cells_and_people_by_a_pattern(mine: Path, tmp_path: Path) -> None:
    by_name = read_with(
        tmp_path,
        tmp_path / "build",
        columns={"label": "rhythm"},
        patient_pattern=r"/(r\d{3})",
        split={"train": "*/r00[0-5]", "validation": ["*/r006", "*/r007"], "test": ["*r00[89]", "*r01?"]},
    )
    assert [int((by_name.splits == side).sum()) for side in range(3)] == [6, 2, 4]
    assert by_name.about.note == "", "the pattern says whose they are"
    by_cell = read_with(tmp_path, tmp_path / "build", split={"train": "train", "validation": "te*", "test": "v*"})
    assert [int((by_cell.splits == side).sum()) for side in range(3)] == [8, 2, 2]
    with pytest.raises(InputError, match="'train' is on the side of train and of test"):
        read_with(tmp_path, tmp_path / "build", split={"train": "t*", "validation": "v*", "test": "t*"})


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"table": "nowhere.csv"}, "no such table"),
        ({"table": "../labels.csv"}, "leads out of the study's path"),
        ({"columns": {"label": "rythm", "split": "side"}}, "no column 'rythm'"),
        ({"columns": {"label": "rhythm", "split": 9}}, "no column 9"),
        (
            {"classes": {"AF": ["AF"], "flutter": ["AFL"], "rest": "*"}},
            "no recording of flutter is on the train",
        ),
        ({"fs_hz": 100, "window_s": 0.001, "length": "cut"}, "less than one sample"),
        ({"separator": None}, "for several labels in a cell: separator"),
        ({"leads": ["V9"]}, "12 of 12 rows"),
    ],
)
def test_what_cannot_be(mine: Path, tmp_path: Path, changes: dict[str, Any], what: str) -> None:
    with pytest.raises(InputError, match=what.replace("(", r"\(")):
        read_with(tmp_path, tmp_path / "build", **changes)
    assert leftovers(tmp_path / "build") == []


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"length": "windows", "window_s": 2}, "go together"),
        ({"length": "cut"}, "needs window_s"),
        ({"columns": {"label": "rhythm"}}, "say who tests"),
        ({"columns": {"split": "side"}}, "name the column of the labels"),
        ({"table": None}, "name the table"),
        ({"split": {"train": 0.7, "validation": 0.2, "test": 0.2}}, "add up to 1.1"),
        ({"split": {"train": 0.7, "validation": "8*", "test": 0.2}}, "all shares"),
        ({"classes": {"AF": "AFIB", "rest": "*"}}, "write a list of labels"),
        ({"classes": "ptb"}, "neither a preset"),
        ({"patient_pattern": "p("}, "not a regular expression"),
        ({"patient_pattern": "p"}, "needs one group"),
    ],
)
def test_what_a_study_may_not_say(changes: dict[str, Any], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        study_of({key: value for key, value in (DATA | changes).items() if value is not None})


def test_cinc_2017(tmp_path: Path) -> None:
    folder = tmp_path / "training2017"
    rows = []
    for place in range(16):
        name = f"A{place:05d}"
        write_signal(folder / f"{name}.hea", wave(place, 300, 9 + place % 3, leads=1), 300, ["ECG"])
        rows.append([name, "NAO~"[place % 4]])
    write_rows(folder / "REFERENCE.csv", rows)
    recordings = read_with(
        tmp_path,
        tmp_path / "build",
        path="training2017",
        classes="cinc-2017",
        **dict.fromkeys(("table", "columns", "separator", "unit", "rate_hz")),
        split={"train": 0.5, "validation": 0.25, "test": 0.25},
        window_s=10,
        length="pad",
        fs_hz=100,
    )
    assert recordings.about.classes == ("N", "AF", "O", "noisy") and recordings.about.exclusive
    assert len(recordings) == 16 and recordings.shape == (1, 1000)
    assert labels_of(recordings)["A00005"] == ["AF"]


def test_headers_of_a_challenge_are_a_table(tmp_path: Path) -> None:
    folder = tmp_path / "challenge"
    said = ["164889003", "426783006,59118001", "713427006", "426783006", "Unknown", "55827005"]
    for place in range(18):
        path = write_signal(folder / f"g{place % 2}" / f"X{place:02d}.hea", wave(place), 250)
        path.write_text(path.read_text() + f"# Age: 50\n#Dx: {said[place % 6]}\n")
    changes: dict[str, Any] = {
        "path": "challenge",
        "labels": "challenge",
        "split": {"train": 0.34, "validation": 0.33, "test": 0.33},
        **dict.fromkeys(("table", "columns", "separator", "unit", "rate_hz", "classes")),
    }
    preset = read_with(tmp_path, tmp_path / "build", **changes, fewest=1)
    assert preset.about.classes == ("AF", "RBBB", "NSR")
    assert len(preset) == 12, "neither Unknown nor a code that is not scored is a class"
    assert labels_of(preset)["g1/X01"] == ["RBBB", "NSR"] and labels_of(preset)["g0/X02"] == ["RBBB"]
    own = read_with(tmp_path, tmp_path / "build", **(changes | {"classes": {"AF": ["AF"], "rest": "*"}}))
    assert own.about.exclusive and int(own.labels[:, 0].sum()) == 3 and len(own) == 18
    (folder / "g0" / "X00.hea").write_text((folder / "g0" / "X00.hea").read_text().split("#Dx")[0])
    with pytest.raises(InputError, match=r"row 1: file: g0/X00\.hea: its header has no line '# Dx:'"):
        read_with(tmp_path, tmp_path / "build", **changes)


def test_a_challenge_counted_with_wfdb_and_csv(data_root: Path, tmp_path: Path) -> None:
    """Labels, people and samples of the real sample, read by other means."""
    from scipy.signal import resample_poly

    recordings = read_with(
        data_root,
        tmp_path / "build",
        path="challenge2021",
        labels="challenge",
        leads=["V2", "I"],
        fs_hz=100,
        classes={"STach": ["427084000"], "PAC": ["PAC"], "rest": "*"},
        split={"train": 0.5, "validation": 0.2, "test": 0.3},
        **dict.fromkeys(("table", "columns", "separator", "unit", "rate_hz")),
    )
    counted = {"STach": 0, "PAC": 0, "rest": 0}
    names = sorted(path.stem for path in (data_root / "challenge2021").glob("*.hea"))
    names.remove("E07510")  # which has the samples of E07509, as the Challenge published it
    assert any("E07510 = E07509" in fact for fact in recordings.about.facts)
    for name in names:
        record = wfdb.rdrecord(str(data_root / "challenge2021" / name))
        codes = next(line for line in record.comments if line.startswith("Dx")).split(":")[1].strip().split(",")
        held = [each for each, code in (("STach", "427084000"), ("PAC", "284470004")) if code in codes] or ["rest"]
        for each in held:
            counted[each] += 1
        row = recordings.ids.tolist().index(name)
        assert labels_of(recordings)[name] == held
        both = [record.sig_name.index(lead) for lead in ("V2", "I")]
        wanted = resample_poly(record.p_signal[:, both].T, 1, 5, axis=1, padtype="edge")
        assert np.abs(recordings.steps[row] * recordings.about.adc_step_mv - wanted).max() <= 0.5001 * 0.001
    assert dict(zip(recordings.about.classes, recordings.labels.sum(axis=0).tolist(), strict=True)) == counted
    assert len(recordings) == len(names) == 49 and len(set(recordings.patients.tolist())) == 49
