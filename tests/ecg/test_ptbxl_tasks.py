"""PTB-XL's other tasks, maps from SCP codes, thresholds, rare classes, and 500 Hz."""

from __future__ import annotations

import ast
import csv
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wfdb

from pulseproof.core.errors import InputError
from pulseproof.core.study import load_study
from pulseproof.ecg.prepare import prepare
from pulseproof.ecg.ptbxl_tasks import Statement, task_of
from pulseproof.ecg.recordings import Recordings
from pulseproof.models.measured import published
from tests.ecg.making import PTBXL_LEADS, leftovers, read_csv, study_of, write_csv

STATEMENTS = [
    dict(zip(("", "diagnostic", "form", "rhythm", "diagnostic_class", "diagnostic_subclass"), row, strict=True))
    for row in (
        ("NORM", "1.0", "", "", "NORM", "NORM"),
        ("IMI", "1.0", "", "", "MI", "IMI"),
        ("AMI", "1.0", "", "", "MI", "AMI"),
        ("NST_", "1.0", "1.0", "", "STTC", "NST_"),
        ("PVC", "", "1.0", "", "", ""),
        ("SR", "", "", "1.0", "", ""),
        ("AFIB", "", "", "1.0", "", ""),
        ("AFLT", "", "", "1.0", "", ""),
    )
]
CODES = {  # by ecg_id; folds 1-8, 9, 9, 10, 10 as in tests.ecg.making
    1: {"NORM": 100.0, "SR": 0.0},
    2: {"IMI": 35.0, "AFIB": 0.0},
    3: {"AMI": 80.0, "PVC": 0.0, "SR": 0.0},
    4: {"NST_": 100.0, "SR": 0.0},
    5: {"NORM": 50.0, "AFLT": 0.0},
    6: {"NORM": 0.0, "SR": 0.0, "PVC": 0.0},
    7: {"IMI": 100.0},
    8: {},
    9: {"NORM": 100.0, "AFIB": 0.0},
    10: {"AMI": 100.0, "SR": 0.0, "NST_": 15.0},
    11: {"IMI": 15.0, "AFIB": 0.0, "PVC": 0.0},
    12: {"NORM": 100.0, "SR": 0.0},
}


@pytest.fixture
def root(ptbxl_root: Path) -> Path:
    folder = ptbxl_root / "ptb-xl"
    write_csv(folder / "scp_statements.csv", STATEMENTS)
    rows = read_csv(folder / "ptbxl_database.csv")
    write_csv(folder / "ptbxl_database.csv", [row | {"scp_codes": repr(CODES[int(row["ecg_id"])])} for row in rows])
    return ptbxl_root


def asked(**data: Any) -> Any:
    return study_of({"source": "ptb-xl", **data})


def classes_of(recordings: Recordings) -> dict[str, set[str]]:
    """{ecg_id: its classes}."""
    names = recordings.about.classes
    return {
        each: {name for name, has in zip(names, recordings.labels[row], strict=True) if has}
        for row, each in enumerate(recordings.ids)
    }


def spelled(kind: str) -> dict[str, set[str]]:
    """The same from :data:`CODES` and :data:`STATEMENTS`, for those that have a class."""
    meaning = {row[""]: row for row in STATEMENTS}
    column = {"superclass": "diagnostic_class", "subclass": "diagnostic_subclass"}.get(kind)
    found = {
        str(ecg_id): {meaning[code][column] for code in codes if meaning[code][column]}
        if column
        else {code for code in codes if meaning[code][kind]}
        for ecg_id, codes in CODES.items()
    }
    return {ecg_id: names for ecg_id, names in found.items() if names}


@pytest.mark.parametrize("kind", ["superclass", "subclass", "form", "rhythm"])
def test_the_four_label_sets(root: Path, tmp_path: Path, kind: str) -> None:
    recordings = prepare(asked(classes=f"ptb-xl-{kind}", fewest=0), root, tmp_path / "build")
    assert classes_of(recordings) == spelled(kind)
    assert not recordings.about.exclusive
    lacking = [each for each in recordings.about.doubts if each.startswith("No record of class")]
    if kind == "rhythm":
        assert lacking == [
            f"No record of class AFLT on the {side} side: nothing can be said of it there."
            for side in ("validation", "test")
        ]
    order = {
        "superclass": ("NORM", "MI", "STTC", "CD", "HYP"),
        "subclass": ("NORM", "IMI", "AMI", "NST_"),
        "form": ("NST_", "PVC"),
        "rhythm": ("SR", "AFIB", "AFLT"),
    }
    assert recordings.about.classes == order[kind]


def test_classes_that_too_few_records_have_are_left_out_and_said(root: Path, tmp_path: Path) -> None:
    recordings = prepare(asked(classes="ptb-xl-rhythm", fewest=1), root, tmp_path / "build")
    assert recordings.about.classes == ("SR", "AFIB")  # AFLT is in training only
    assert "5" not in recordings.ids  # it has no other
    assert (
        "Classes of fewer than 1 records on one of the sides (train, validation, test), left out: AFLT 1, 0, 0;"
        " and 1 records that have no other."
    ) in recordings.about.facts
    assert "Without a rhythm statement and left out: 2 of 12 records." in recordings.about.facts
    with pytest.raises(InputError, match=r"data\.fewest: fewer than 5 records of a side .*SR 4, 1, 1.*0 classes left"):
        prepare(asked(classes="ptb-xl-rhythm"), root, tmp_path / "build")  # five is what is asked by default


def test_a_map_of_ones_own_with_a_rest(root: Path, tmp_path: Path) -> None:
    table = {"AF": ["AFIB", "AFLT"], "rest": "*"}
    recordings = prepare(asked(classes=table), root, tmp_path / "build")
    assert recordings.about.exclusive and recordings.about.classes == ("AF", "rest")
    assert classes_of(recordings) == {
        str(ecg_id): {"AF"} if {"AFIB", "AFLT"} & set(codes) else {"rest"} for ecg_id, codes in CODES.items()
    }
    turned = prepare(asked(classes={"rest": "*", "AF": ["AFIB", "AFLT"]}), root, tmp_path / "build")
    assert turned.about.classes == ("rest", "AF")  # the order is the study's: it is not what was kept before
    assert np.array_equal(turned.labels, recordings.labels[:, ::-1])
    without = prepare(asked(classes=table | {"PVC": "drop"}), root, tmp_path / "build")
    assert set(recordings.ids) - set(without.ids) == {"3", "6", "11"}
    several = prepare(asked(classes={"MI": ["IMI", "AMI"], "beats": ["PVC"]}), root, tmp_path / "build")
    assert classes_of(several)["3"] == {"MI", "beats"} and not several.about.exclusive


def test_a_threshold_of_likelihood_is_of_diagnostic_statements(root: Path, tmp_path: Path) -> None:
    recordings = prepare(asked(likelihood=50), root, tmp_path / "build")
    assert set(classes_of(recordings)) == {"1", "3", "4", "5", "7", "9", "10", "12"}
    assert classes_of(recordings)["10"] == {"MI"}  # NST_ is at 15
    assert "diagnostic statements under 50 % left out" in recordings.about.note
    rhythm = prepare(asked(classes="ptb-xl-rhythm", fewest=0, likelihood=50), root, tmp_path / "build")
    assert classes_of(rhythm) == spelled("rhythm")
    rows = read_csv(root / "ptb-xl" / "ptbxl_database.csv")
    rows[3]["scp_codes"] = "{'NST_': 'likely'}"
    rows[6]["scp_codes"] = "{'IMI': 101}"
    write_csv(root / "ptb-xl" / "ptbxl_database.csv", rows)
    with pytest.raises(InputError, match=r"NST_ is 'likely'[\s\S]*IMI is 101") as caught:
        prepare(asked(likelihood=50), root, tmp_path / "other")
    assert leftovers(tmp_path / "other") == [] and "ptbxl_database.csv" in caught.value.what


@pytest.mark.parametrize(
    ("classes", "says"),
    [
        ({"AF": ["AFIBB", "AFLT"], "rest": "*"}, "scp_statements.csv has no SCP code AFIBB"),
        ({"AF": ["AFIB"], "rest": "*", "PCV": "drop"}, "scp_statements.csv has no SCP code PCV"),
    ],
)
def test_a_code_that_is_none(root: Path, tmp_path: Path, classes: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        prepare(asked(classes=classes), root, tmp_path / "build")
    assert "AFIB" in caught.value.mend


def test_a_column_that_a_task_needs(root: Path, tmp_path: Path) -> None:
    path = root / "ptb-xl" / "scp_statements.csv"
    write_csv(path, [{key: value for key, value in row.items() if key != "rhythm"} for row in STATEMENTS])
    with pytest.raises(InputError, match=r"scp_statements\.csv: column 'rhythm' is missing"):
        prepare(asked(classes="ptb-xl-rhythm"), root, tmp_path / "build")
    assert len(prepare(asked(), root, tmp_path / "build")) == 11


def test_a_study_names_one_of_the_tasks() -> None:
    with pytest.raises(ValueError, match="neither a task of PTB-XL"):
        asked(classes="ptb-xl-rythm")
    with pytest.raises(ValueError, match="no question with one class"):
        asked(classes={"AF": ["AFIB"]})


def test_the_papers_row_stands_only_beside_its_own_task(root: Path, tmp_path: Path) -> None:
    def shown(**data: Any) -> bool:
        study = asked(**data)
        recordings = prepare(study, root, tmp_path / "build")
        about = recordings.about
        object.__setattr__(about, "database", "ptb-xl")  # as if it were the true one
        return published(study.models["cnn"], recordings)

    assert shown()
    assert not shown(classes="ptb-xl-rhythm", fewest=0)
    assert not shown(likelihood=50)


def test_codes_of_two_kinds_count_in_both() -> None:
    both = Statement("NST_", "STTC", "NST_", form=True, rhythm=False)
    for name in ("superclass", "subclass", "form"):
        assert any(task_of(f"ptb-xl-{name}", [both], 0, "table").labels({"NST_": 0}))
    assert not any(task_of("ptb-xl-rhythm", [both], 0, "table").labels({"NST_": 0}))


@pytest.mark.real
class TestRealPtbXl:
    """Against the two tables, read with ``csv`` alone, and the signals, read with ``wfdb``."""

    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["ptb-xl-rhythm", "ptb-xl-form"])
    def test_counts_of_a_packaged_study(self, data_root: Path, tmp_path: Path, name: str) -> None:
        folder = data_root / "ptb-xl"
        statements = {row[""]: row for row in read_csv(folder / "scp_statements.csv")}
        column = name.removeprefix("ptb-xl-")
        having: dict[tuple[int, int, int], set[str]] = {}
        with (folder / "ptbxl_database.csv").open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                fold = int(row["strat_fold"])
                codes = {code for code in ast.literal_eval(row["scp_codes"]) if statements[code][column] == "1.0"}
                having[int(row["ecg_id"]), max(0, fold - 8), int(float(row["patient_id"]))] = codes
        counts = Counter((code, side) for (_, side, _), codes in having.items() for code in codes)
        kept = {code for code in statements if min(counts[code, side] for side in range(3)) >= 5}
        expected = {key: codes & kept for key, codes in having.items() if codes & kept}
        recordings = prepare(load_study(Path(f"studies/{name}.toml")), data_root, tmp_path)
        found = {
            (int(each), int(recordings.splits[row]), int(recordings.patients[row])): names
            for row, (each, names) in enumerate(classes_of(recordings).items())
        }
        assert found == expected
        assert set(recordings.about.classes) == kept
        assert (recordings.about.database, recordings.about.part) == ("ptb-xl", "subset of 2,943 records")

    def test_500_hz(self, data_root: Path, tmp_path: Path) -> None:
        """The five records that are here at 500 Hz; two of them are given to the other sides."""
        folder = tmp_path / "data" / "ptb-xl"
        shutil.copytree(data_root / "ptb-xl" / "records500", folder / "records500")
        shutil.copy(data_root / "ptb-xl" / "scp_statements.csv", folder)
        rows = [row for row in read_csv(data_root / "ptb-xl" / "ptbxl_database.csv") if row["ecg_id"] in FIVE]
        write_csv(folder / "ptbxl_database.csv", [row | {"strat_fold": FIVE[row["ecg_id"]]} for row in rows])
        recordings = prepare(asked(fs_hz=500), tmp_path / "data", tmp_path / "build")
        assert (list(recordings.ids), recordings.shape, recordings.about.fs_hz) == (list(FIVE), (12, 5000), 500.0)
        assert classes_of(recordings) == {"1": {"NORM"}, "8": {"MI"}, "22": {"STTC"}, "30": {"HYP"}, "41": {"CD"}}
        assert recordings.about.database == "ptb-xl (in PTB-XL's layout)"  # its folds are not PTB-XL's
        for row, ecg_id in enumerate(FIVE):
            physical, fields = wfdb.rdsamp(str(folder / "records500" / "00000" / f"{int(ecg_id):05d}_hr"))
            order = [fields["sig_name"].index(lead) for lead in PTBXL_LEADS]
            got = recordings.signals(np.array([row]))[0]
            assert np.abs(got - physical[:, order].T).max() <= 0.0005 + 1e-6

    def test_500_hz_where_they_are_not(self, data_root: Path, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"2,938 of the 2,943 records .* records500/00000/00002_hr"):
            prepare(asked(fs_hz=500), data_root, tmp_path / "build")


FIVE = {"1": "3", "8": "9", "22": "4", "30": "10", "41": "9"}
