"""Where recordings come from: PTB-XL and the paper's figures only where the data are PTB-XL, databases by their names,
and nobody's guess about who is who without a word.

The cases are those of a review of this product with strangers' data; no public thread stands behind them.
"""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pulseproof.bench.wire.schema import BundleHead
from pulseproof.core.errors import InputError
from pulseproof.core.study import ModelSpec, load_study
from pulseproof.ecg.origin import database_names
from pulseproof.ecg.prepare import prepare
from pulseproof.ecg.ptbxl import LEADS, microvolts, survey
from pulseproof.ecg.ptbxl_known import known_row, known_signal, mostly
from pulseproof.ecg.recordings import About, Recordings, open_recordings
from pulseproof.ecg.wfdb.files import read_record
from pulseproof.models.measured import published
from pulseproof.report.answers.questions import answers
from pulseproof.report.numbers.evaluation import evaluate
from pulseproof.report.page.provenance import origin_section
from pulseproof.runtime.files import read_json, write_json
from tests.bench.making import change_json, make_build, make_bundle
from tests.ecg.making import (
    BEATS_DATA,
    beat_digital,
    ptbxl_digital,
    study_of,
    write_beats,
    write_mitbih,
    write_ptbxl,
    write_ptbxl_record,
)
from tests.report.making_answers import evaluated, study

PTBXL = study_of({"source": "ptb-xl"})


@pytest.fixture
def borrowed(tmp_path: Path) -> Recordings:
    """Made recordings in PTB-XL's layout, in a folder that is even called so."""
    write_ptbxl(tmp_path)
    return prepare(PTBXL, tmp_path, tmp_path / "build")


def test_a_borrowed_layout_is_not_ptb_xl(borrowed: Recordings) -> None:
    about = borrowed.about
    assert about.database == "ptb-xl (in PTB-XL's layout)"
    assert "subset" not in about.note and about.part == ""
    # Whatever the study's title says, this stands over every table.
    assert about.note.startswith("recordings of ptb-xl in PTB-XL's layout, not PTB-XL")
    assert "the rows of the table are not PTB-XL's" in about.doubts[0]
    assert not published(ModelSpec(system="cnn"), borrowed)


def test_the_cell_of_nobody_known_is_said(borrowed: Recordings) -> None:
    assert "records of nobody known (1) each taken as its own patient" in borrowed.about.note
    assert any("Of nobody known" in doubt for doubt in borrowed.about.doubts)


def test_a_folder_is_called_by_its_name(tmp_path: Path) -> None:
    write_ptbxl(tmp_path)
    (tmp_path / "ptb-xl").rename(tmp_path / "our-clinic")
    recordings = prepare(study_of({"source": "ptb-xl", "path": "our-clinic"}), tmp_path, tmp_path / "build")
    assert recordings.about.database == "our-clinic (in PTB-XL's layout)"
    with pytest.raises(InputError, match="no lead 'X' in our-clinic"):
        prepare(study_of({"source": "ptb-xl", "path": "our-clinic", "leads": ["X"]}), tmp_path, tmp_path / "build")


@pytest.mark.slow
@pytest.mark.real
class TestRealPtbXl:
    """With rows and records of PTB-XL itself: the first of those that are known here."""

    IDS = (3, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50)

    def excerpt(self, data_root: Path, target: Path, ids: tuple[int, ...] = IDS) -> Path:
        """Rows and records of these numbers; folds are changed in rows that are not known here only."""
        source = data_root / "ptb-xl"
        with (source / "ptbxl_database.csv").open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if int(row["ecg_id"]) <= 300]
        kept = [row for row in rows if int(row["ecg_id"]) in ids or row["strat_fold"] in ("9", "10")]
        folder = target / "ptb-xl"
        for row in kept:
            for suffix in (".hea", ".dat"):
                there = folder / (row["filename_lr"] + suffix)
                there.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source / (row["filename_lr"] + suffix), there)
        shutil.copy(source / "scp_statements.csv", folder)
        with (folder / "ptbxl_database.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(kept[0]))
            writer.writeheader()
            writer.writerows(kept)
        return folder

    def test_an_excerpt_is_ptb_xl(self, data_root: Path, tmp_path: Path) -> None:
        folder = self.excerpt(data_root, tmp_path)
        folder.rename(tmp_path / "a-few")
        recordings = prepare(study_of({"source": "ptb-xl", "path": "a-few"}), tmp_path, tmp_path / "build")
        assert recordings.about.database == "ptb-xl"
        assert all(each.startswith("No record of class") for each in recordings.about.doubts)  # a few lack classes
        assert recordings.about.note.startswith("subset of ")
        assert published(ModelSpec(system="cnn"), recordings)

    def test_its_table_with_other_signals_is_not(self, data_root: Path, tmp_path: Path) -> None:
        folder = self.excerpt(data_root, tmp_path)
        for header in folder.glob("records100/*/*.hea"):
            number = int(header.stem.split("_")[0])
            write_ptbxl_record(folder, number, ptbxl_digital(number))
        recordings = prepare(PTBXL, tmp_path, tmp_path / "build")
        assert recordings.about.database == "ptb-xl (in PTB-XL's layout)"
        assert "the signals are not PTB-XL's" in recordings.about.doubts[0]
        assert not published(ModelSpec(system="cnn"), recordings)

    def test_every_known_row_and_signal_is_right(self, data_root: Path) -> None:
        stem = data_root / "ptb-xl/records100/00000/00005_lr"
        steps = microvolts(read_record(stem, LEADS))
        assert known_signal(5, steps) is True
        assert known_signal(5, steps + 1) is False
        assert known_signal(6, steps) is None

    def test_the_study_s_own_data_are(self, data_root: Path, tmp_path: Path) -> None:
        own = load_study(Path("studies/ptb-xl.toml"))
        found = survey(own.data, data_root / "ptb-xl")  # type: ignore[arg-type]
        assert found.own and found.name == "ptb-xl"
        assert sum(row.known is True for row in found.rows) > 300
        assert not any(row.known is False for row in found.rows)


def test_what_is_not_known_decides_nothing() -> None:
    assert known_row(1, 15709, 3, "records100/00000/00001_lr", ["NORM"]) is None
    assert known_row(5, 1, 3, "records100/00000/00005_lr", ["NORM"]) is False
    assert not mostly([]) and not mostly([None]) and mostly([None, True])
    assert mostly([], some=False) and not mostly([True, False], some=False)
    assert mostly([True] * 9 + [False]) and not mostly([True] * 8 + [False])


@pytest.mark.parametrize(
    ("folder", "path", "records", "name"),
    [
        ("data/mitdb", "mitdb", ["100", "101"], "mitdb"),
        ("data/ptbdb", "ptbdb", ["patient001/s0010_re"], "ptbdb"),
        ("data/mitdb/1.0.0", "mitdb/1.0.0", ["100"], "mitdb 1.0.0"),
        ("data", ".", ["mitdb/100", "svdb/800", "mitdb/101"], "mitdb + svdb"),
        ("data", "", ["mitdb/100", "svdb/800"], "mitdb + svdb"),
    ],
)
def test_databases_keep_their_names(folder: str, path: str, records: list[str], name: str) -> None:
    assert database_names(Path(folder), path, records) == name


def test_two_databases_in_one_study(tmp_path: Path) -> None:
    write_mitbih(tmp_path)
    write_beats(tmp_path / "svdb", "800", beat_digital("800"), "NNNNSSNNNN")
    changes = {"path": ".", "train": ["mitdb/100", "mitdb/101"], "validation": ["mitdb/200"], "test": ["svdb/800"]}
    recordings = prepare(study_of(BEATS_DATA | changes), tmp_path, tmp_path / "build")
    assert recordings.about.database == "mitdb + svdb"
    assert {beat.split(":")[0] for beat in recordings.ids} == {"mitdb/100", "mitdb/101", "mitdb/200", "svdb/800"}


@pytest.mark.parametrize(("said", "note"), [(None, True), ([], False), ([["100", "101"]], False)])
def test_who_is_who_is_said_where_nobody_said_it(tmp_path: Path, said: Any, note: bool) -> None:
    write_mitbih(tmp_path)
    data = BEATS_DATA if said is None else BEATS_DATA | {"same_patient": said}
    about = prepare(study_of(data), tmp_path, tmp_path / "build").about
    assert (about.note == "each record taken as its own patient") is note
    assert any("is taken as its own patient" in doubt for doubt in about.doubts) is note
    assert about.part == ""


def test_recordings_of_before_are_still_opened(tmp_path: Path) -> None:
    write_mitbih(tmp_path)
    recordings = prepare(study_of(BEATS_DATA), tmp_path, tmp_path / "build")
    (head,) = (tmp_path / "build").rglob("recordings.json")
    old = read_json(head)
    for key in ("part", "facts", "doubts"):
        del old["about"][key]
    write_json(head, old)
    again = open_recordings(head.parent).about
    assert (again.facts, again.doubts, again.part) == ((), (), "")
    assert again.identity() == recordings.about.identity()


def test_words_are_no_part_of_a_fingerprint() -> None:
    about = About("db", ("N",), ("I",), 100.0, 0.005, (-1, 1), False, True, "a note")
    assert "facts" not in about.identity() and about.identity()["note"] == "a note"


def test_old_bundles_have_no_origin_and_new_ones_say_it(tmp_path: Path) -> None:
    old = make_bundle(tmp_path / "bundle")
    assert BundleHead.model_validate_json(_json(old)).origin is None
    new = old | {"origin": {"database": "mitdb + svdb", "part": "", "facts": ["a"], "doubts": ["b"]}}
    found = BundleHead.model_validate_json(_json(new)).origin
    assert found is not None and (found.database, found.facts, found.doubts) == ("mitdb + svdb", ("a",), ("b",))


def _json(head: dict[str, Any]) -> str:
    import json

    return json.dumps(head)


def test_steps_of_a_made_folder_are_those_that_were_written(borrowed: Recordings) -> None:
    for row, name in enumerate(borrowed.ids):
        assert np.array_equal(borrowed.steps[row], ptbxl_digital(int(name)).T)


ORIGIN = {
    "database": "svdb <b>",
    "part": "2 of 78 records left out as bad (801, 802)",
    "facts": ["Left out as bad: 801.dat: no such signal file."],
    "doubts": ["Each of the 76 records is taken as its own patient."],
}


def test_the_answers_doubt_what_was_taken_for_granted(tmp_path: Path) -> None:
    study(tmp_path, lambda artifact, signals: 1.5)
    change_json(tmp_path / "bundle" / "bundle.json", origin=ORIGIN)
    (doubt,) = [each for each in answers(evaluated(tmp_path)).questions if each.id == "doubt"]
    said = [each.text for each in doubt.sentences]
    assert ORIGIN["doubts"][0] in said
    assert any("part of a database (2 of 78 records left out as bad (801, 802))" in text for text in said)
    assert not any("801.dat" in text for text in said)  # in the report; it is counted in the part


def test_the_report_says_where_the_recordings_come_from(tmp_path: Path) -> None:
    make_build(tmp_path)
    change_json(tmp_path / "bundle" / "bundle.json", origin=ORIGIN)
    shown = origin_section(evaluate(tmp_path, 100), None, []).body
    for text in ("svdb &lt;b&gt;, 2 of 78 records left out as bad", *ORIGIN["doubts"], *ORIGIN["facts"]):
        assert text in shown
    change_json(tmp_path / "bundle" / "bundle.json", origin=None)
    assert "<h3>Recordings</h3>" not in origin_section(evaluate(tmp_path, 100), None, []).body
