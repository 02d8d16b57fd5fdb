"""Tables of recordings: classes, people, sides, and every bad row told at once."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wfdb

from pulseproof.core.errors import InputError
from pulseproof.ecg.recordings import SPLITS, Recordings
from pulseproof.ecg.tables import pool, reader
from pulseproof.ecg.tables.listing import Listing
from pulseproof.ecg.tables.one import Goal, Task
from pulseproof.ecg.tables.signals import Wanted
from tests.ecg.making import leftovers, study_of
from tests.ecg.tables.making import DATA, read_with, study_with, wave, write_collection, write_rows, write_signal


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


def test_every_bad_row_in_one_error(mine: Path, tmp_path: Path) -> None:
    rows = [["file", "rhythm", "person", "side"]]
    rows += [
        [f"signals/r{place:03d}.csv", ("AF", "N")[place % 2], f"p{place}", SPLITS[place % 3]] for place in range(12)
    ]
    bad = [
        ["signals/nowhere.csv", "AF", "p20", "train"],
        ["../outside.csv", "AF", "p21", "train"],
        ["/etc/passwd", "AF", "p22", "train"],
        ["C:\\ecg\\r1.csv", "AF", "p23", "train"],
        ["", "AF", "p24", "train"],
        ["signals/r000.csv", "AF", "p25", "train"],
        ["signals/x1.csv", "Afib", "p26", "train"],
        ["signals/x2.csv", "", "p27", "train"],
        ["signals/x3.csv", "AF", "", "train"],
        ["signals/x4.csv", "AF", "p28", "somewhere"],
        ["signals/x5.csv", "AF", "p0", "test"],
        ["signals/x6.csv", "AF;", "p29", "test"],
    ]
    for place in range(1, 7):
        write_signal(mine / f"signals/x{place}.csv", wave(50 + place), 250)
    write_rows(mine / "labels.csv", rows + bad)
    (mine / "signals/r003.csv").write_text("I,II\n1,x\n")
    with pytest.raises(InputError) as caught:
        read_with(tmp_path, tmp_path / "build")
    said = str(caught.value)
    assert "13 of 24 rows cannot be used" in said, said
    for row, what in (
        (5, "not a table of numbers"),
        (14, "no file 'signals/nowhere.csv'"),
        (15, "leads out of the study's path"),
        (16, "absolute path"),
        (17, "absolute path"),
        (18, "file: the cell is empty"),
        (19, "is the recording of row 2 as well"),
        (20, "label: 'Afib' is in no class"),
        (21, "label: the cell is empty"),
        (22, "patient: the cell is empty"),
        (23, "split: 'somewhere' is on no side"),
        (24, "patient 'p0' is on the train side in row 2, here on test"),
        (25, "has an empty label in it"),
    ):
        line = next(line for line in said.splitlines() if line.startswith(f"  row {row}:"))
        assert what in line
    assert leftovers(tmp_path / "build") == []
    skipped = read_with(tmp_path, tmp_path / "build", bad_records="skip", classes={"AF": ["AF"], "N": ["N"]})
    assert len(skipped) == 11 and "13 of 24 rows left out as bad (row 5, row 14" in skipped.about.note
    assert any(fact.startswith("Left out as bad: row 24: split: patient 'p0'") for fact in skipped.about.facts)


@pytest.mark.slow
def test_ten_bad_rows_of_a_hundred_thousand_cost_one_run(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    (folder / "s").mkdir(parents=True)
    rows = [["file", "rhythm", "person", "side"]]
    for place in range(2, 100_002):
        (folder / "s" / f"{place}.csv").touch()
        rows.append([f"s/{place}.csv", "AF", f"p{place}", "train"])
    bad = [7, 8, 500, 777, 1000, 20_000, 50_000, 80_000, 99_999, 100_001]
    for row in bad:
        rows[row - 1] = [f"s/{row}", "AF", "" if row % 2 else f"p{row}", "train"]
        (folder / "s" / f"{row}.csv").rename(folder / "s" / f"{row}{'.csv' if row % 2 else '.gone'}")
    write_rows(folder / "labels.csv", rows)
    found = reader.survey(study_with().data, folder)  # type: ignore[arg-type]
    assert found.total == 100_000 and found.problems.rows() == bad
    said = str(found.problems.error(found.total))
    assert "10 of 100,000 rows" in said and all(f"row {row}:" in said for row in bad)


def test_a_table_of_bad_rows_is_told_within_a_screen(tmp_path: Path) -> None:
    rows = [["file", "rhythm", "person", "side"], *[["x.csv", "AF", "p", "train"]] * 20_000]
    write_rows(tmp_path / "mine" / "labels.csv", rows)
    with pytest.raises(InputError) as caught:
        read_with(tmp_path, tmp_path / "build")
    said = str(caught.value)
    assert "20,000 of 20,000 rows" in said and "more rows: " in said and len(said) < 4000


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
        ({"length": "windows", "window_s": 2}, "windows of one recording whose scores are joined are not supported"),
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


def test_links_that_lead_out_are_not_followed(mine: Path, tmp_path: Path) -> None:
    outside = write_signal(tmp_path / "outside.csv", wave(99), 250)
    (mine / "signals" / "link.csv").symlink_to(outside)
    (mine / "elsewhere").symlink_to(tmp_path)
    for name in ("signals/link.csv", "elsewhere/outside.csv"):
        with pytest.raises(ValueError, match="leads out of the study's path"):
            Listing(mine).find(name)
    assert Listing(mine).find("signals/r001").file == "signals/r001.csv"


def test_twins_by_their_samples_are_left_out_and_said(mine: Path, tmp_path: Path) -> None:
    (mine / "signals/r005.csv").write_bytes((mine / "signals/r001.csv").read_bytes())
    recordings = read_with(tmp_path, tmp_path / "build")
    assert len(recordings) == 11 and "signals/r005" not in recordings.ids.tolist()
    assert any("left out: 1 of 12 recordings (signals/r005 = signals/r001)" in fact for fact in recordings.about.facts)


def test_read_once_and_again_when_a_file_changes(
    mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = read_with(tmp_path, tmp_path / "build")
    assert first.fingerprint == read_with(tmp_path, tmp_path / "build").fingerprint
    assert "as read before" in capsys.readouterr().err
    write_signal(mine / "signals/r001.csv", wave(77), 250)
    again = read_with(tmp_path, tmp_path / "build")
    assert again.fingerprint != first.fingerprint
    assert np.array_equal(again.steps[1], np.rint(wave(77) * 1000))


def test_workers_give_what_this_process_gives(mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = read_with(tmp_path, tmp_path / "build")
    monkeypatch.setattr("pulseproof.ecg.tables.pool._processors", lambda: 2)
    monkeypatch.setattr("pulseproof.ecg.tables.pool.in_order.__defaults__", (0,))
    monkeypatch.setattr("pulseproof.ecg.tables.pool.CHUNK", 5)
    together = read_with(tmp_path, tmp_path / "build2")
    assert np.array_equal(alone.steps, together.steps) and alone.fingerprint == together.fingerprint


def test_a_recording_that_its_reader_dies_of_is_a_bad_row(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A made-up reader that kills its own process, as a library may at a hostile file."""
    monkeypatch.setattr(pool, "_chunk", _dies_at_row_5)
    wanted = Wanted((("I",),), None, 250, "uV", None, None)
    tasks = [Task(place + 2, mine, f"signals/r{place:03d}.csv", "text", None) for place in range(6)]
    monkeypatch.setattr(pool, "_processors", lambda: 2)
    results = list(pool.in_order(tasks, Goal(wanted, 250, 0.001, 1000, None), few=0))
    assert [isinstance(each, str) for each in results] == [False, False, False, True, False, False]
    assert results[3] == "reading it ended its process (SIGKILL)"


def _dies_at_row_5(goal: Goal, tasks: list[Task], path: str) -> list[dict[str, Any]]:
    if any(task.row == 5 for task in tasks):
        os.kill(os.getpid(), signal.SIGKILL)
    return REAL_CHUNK(goal, tasks, path)


REAL_CHUNK = pool._chunk


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
