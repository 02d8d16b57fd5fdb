"""Several databases in one study: each with its leads, labels and sides, and nobody on two sides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wfdb

from pulseproof.core.errors import InputError
from pulseproof.core.studies.sources import BeatData
from pulseproof.core.study import load_study
from pulseproof.ecg.expected import Expected, expected
from pulseproof.ecg.prepare import prepare
from pulseproof.ecg.recordings import Recordings
from tests.ecg.making import beat_digital, leftovers, study_of, write_beats, write_mitbih

OTHERS = {"path": "sv/1.0.0", "name": "sv", "leads": ["ECG1|#2"], "annotator": "ann", "train": ["8*"]}
HERE = {"path": "mitdb", "validation": ["200"], "test": ["3*"], "train": ["101"]}
PARTS: dict[str, Any] = {"source": "beats", "leads": ["MLII"], "before_s": 0.6, "after_s": 0.4, "parts": [HERE, OTHERS]}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """``mitdb`` as in the other tests, and ``sv/1.0.0``: records 800 and 801 at 128 Hz, annotated by ``ann``."""
    write_mitbih(tmp_path / "data")
    folder = tmp_path / "data" / "sv" / "1.0.0"
    for name, leads in (("800", ["ECG1", "ECG2"]), ("801", ["x", "y"])):
        write_beats(folder, name, beat_digital(name)[:1536], "N" * 10, fs=128, sig_name=leads)
        wfdb.wrann(name, "ann", np.arange(1, 11) * 128, symbol=list("NNVVNSNNNF"), write_dir=str(folder))
    return tmp_path / "data"


def changed(**changes: Any) -> Any:
    return study_of(PARTS | changes)


def names_on(recordings: Recordings, side: int) -> set[str]:
    return {each.split(":")[0] for each, split in zip(recordings.ids, recordings.splits, strict=True) if split == side}


def test_each_part_is_read_in_its_own_way(root: Path, tmp_path: Path) -> None:
    recordings = prepare(changed(fs_hz=128.0), root, tmp_path / "build")
    assert (recordings.about.database, recordings.about.leads) == ("mitdb + sv 1.0.0", ("MLII",))
    assert [names_on(recordings, side) for side in range(3)] == [
        {"mitdb/101", "sv/800", "sv/801"}, {"mitdb/200"}, {"mitdb/300", "mitdb/301"},
    ]  # fmt: skip
    row = list(recordings.ids).index("sv/801:256")
    before, after = round(0.6 * 128), round(0.4 * 128)
    assert np.array_equal(
        recordings.steps[row, 0], beat_digital("801")[256 - before : 256 + after, 1] - 1024
    )  # lead #2
    assert [name for name, kind in zip("NSVF", recordings.labels[row], strict=True) if kind] == ["N"]
    assert "Lead MLII was read from ECG1 in 1 record." in recordings.about.facts
    assert recordings.about.note == "each record taken as its own patient"
    assert not [each for each in recordings.ids if each.startswith("100")]  # no part names it


def test_a_part_has_a_map_of_its_own_for_the_same_classes(root: Path, tmp_path: Path) -> None:
    own = OTHERS | {"classes": {"rest": ["V", "S", "F"], "N": ["N"]}}
    recordings = prepare(changed(classes="aami-n-against-rest", parts=[HERE, own]), root, tmp_path / "build")
    assert recordings.about.classes == ("N", "rest")
    rows = {each: row for row, each in enumerate(recordings.ids)}
    assert recordings.labels[rows["sv/800:128"]].tolist() == [1, 0]
    assert recordings.labels[rows["sv/800:384"]].tolist() == [0, 1]
    lacks = OTHERS | {"classes": {"rest": ["V"], "N": ["N"]}}
    with pytest.raises(InputError, match=r"S \(2 in 2, first sv/800\), F \(2 in 2"):
        prepare(changed(classes="aami-n-against-rest", parts=[HERE, lacks]), root, tmp_path / "build")
    with pytest.raises(ValueError, match=r"parts\.1\.classes: A, B, the study's are N, rest"):
        changed(classes="aami-n-against-rest", parts=[HERE, OTHERS | {"classes": {"A": ["N"], "B": "*"}}])


def test_a_person_of_two_databases_is_on_one_side(root: Path, tmp_path: Path) -> None:
    recordings = prepare(changed(same_patient=[["mitdb/300", "sv/80[01]"]]), root, tmp_path / "build")
    assert names_on(recordings, 0) == {"mitdb/101"}
    assert "Record sv/800 is left out of train: same patient as mitdb/300 (test)." in recordings.about.facts
    assert recordings.about.note == ""
    within = [HERE | {"same_patient": []}, OTHERS | {"same_patient": [["800", "801"]]}]
    known = prepare(changed(parts=within), root, tmp_path / "build")
    people = {each.split(":")[0]: int(who) for each, who in zip(known.ids, known.patients, strict=True)}
    assert people["sv/800"] == people["sv/801"] and len(set(people.values())) == 5
    assert known.about.note == ""
    half = prepare(changed(parts=[HERE, within[1]]), root, tmp_path / "build")
    assert half.about.note == "each of 4 records taken as its own patient"


def test_a_pattern_finds_the_person_in_a_name(root: Path, tmp_path: Path) -> None:
    asked = changed(
        person=r"/\d*?(\d)$", same_patient=[["mitdb/300", "sv/800"]]
    )  # 800, 200, 300 are one; 801, 101, 301
    with pytest.raises(InputError, match=r"data\.train: no record is left"):
        prepare(asked, root, tmp_path / "build")
    recordings = prepare(changed(person=r"^sv/(\d\d)"), root, tmp_path / "build")
    people = {each.split(":")[0]: int(who) for each, who in zip(recordings.ids, recordings.patients, strict=True)}
    assert people["sv/800"] == people["sv/801"] and len(set(people.values())) == 5
    assert recordings.about.note == ""
    joined = prepare(changed(person=r"^sv/(\d\d)", same_patient=[["sv/801", "mitdb/101"]]), root, tmp_path / "build")
    assert len(set(joined.patients[joined.splits == 0].tolist())) == 1
    with pytest.raises(ValueError, match="is no regular expression"):
        changed(person="(")


def test_two_parts_of_one_folder(root: Path, tmp_path: Path) -> None:
    parts = [
        {"path": "mitdb", "name": "first", "train": ["1*"]},
        {"path": "mitdb", "name": "second", "validation": ["200"], "test": ["3*"]},
    ]
    recordings = prepare(changed(parts=parts), root, tmp_path / "build")
    assert recordings.about.database == "mitdb"
    assert names_on(recordings, 0) == {"first/100", "first/101", "first/102"}
    parts[1]["test"] = ["3*", "102"]
    with pytest.raises(InputError, match="first/102 and second/102 are one record"):
        prepare(changed(parts=parts), root, tmp_path / "build")


def test_shares_of_several_databases(root: Path, tmp_path: Path) -> None:
    parts = [{"path": "mitdb", "records": ["1*", "2*", "300"]}, {**OTHERS, "train": []}]
    split = {"train": 0.5, "validation": 0.25, "test": 0.25, "seed": 3}
    asked = changed(parts=parts, split=split, same_patient=[["mitdb/101", "sv/801"]])
    recordings = prepare(asked, root, tmp_path / "build")
    on = [names_on(recordings, side) for side in range(3)]
    assert set().union(*on) == {"mitdb/100", "mitdb/101", "mitdb/102", "mitdb/200", "mitdb/300", "sv/800", "sv/801"}
    assert sum(map(len, on)) == 7 and all(on)  # nobody twice, no side empty
    assert any({"mitdb/101", "sv/801"} <= side for side in on)
    with pytest.raises(InputError, match=r"data\.parts\.0\.records: no record of"):
        prepare(changed(parts=[{"path": "mitdb", "records": ["9*"]}], split=split), root, tmp_path / "build")


def test_leads_by_a_mapping_a_record(root: Path, tmp_path: Path) -> None:
    own = {"mitdb/3*": ["V1"], "mitdb/301": ["MLII"], "sv/800": ["#2"]}
    recordings = prepare(changed(fs_hz=128.0, record_leads=own), root, tmp_path / "build")
    plain = prepare(changed(fs_hz=128.0), root, tmp_path / "build")
    same = {
        name.split(":")[0]: bool(np.array_equal(a, b))
        for name, a, b in zip(recordings.ids, recordings.steps, plain.steps, strict=True)
    }
    assert [name for name, alike in sorted(same.items()) if not alike] == ["mitdb/300", "sv/800"]
    assert "Lead MLII was read from V1 in 1 record." in recordings.about.facts
    for own, says in (({"9*": ["V1"]}, "the study reads no record '9\\*'"), ({"sv/*": ["#1", "#2"]}, "2 leads of sv/")):
        with pytest.raises(InputError, match=says):
            prepare(changed(record_leads=own), root, tmp_path / "build")


def test_what_will_be_read_is_known_before(root: Path, tmp_path: Path) -> None:
    two = [HERE | {"leads": ["MLII", "V1"]}, OTHERS | {"leads": ["#1", "#2"]}]
    study = study_of({key: value for key, value in PARTS.items() if key != "leads"} | {"parts": two})
    recordings, told = prepare(study, root, tmp_path / "build"), expected(study)
    assert recordings.about.leads == ("MLII", "V1")
    assert told == Expected(recordings.shape, len(recordings.about.classes))


REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("folders", {"parts": [HERE, OTHERS | {"path": "svdb"}, OTHERS | {"path": "incartdb/1.0.0"}]},
     "2 of the study's 3 databases are not there: svdb, incartdb/1.0.0", "pulseproof data svdb incartdb --to"),
    ("two of a name", {"parts": [HERE, OTHERS | {"name": "mitdb"}]}, "two parts are called 'mitdb'", "name = ..."),
    ("leads", {"parts": [HERE, OTHERS | {"leads": ["#1", "#2"]}]}, "data.parts.1.leads: 2 leads", "as many leads"),
    ("pattern", {"parts": [HERE, OTHERS | {"train": ["9*"]}]}, "data.parts.1.train: no record of", "pattern"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "says", "mend"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_parts_that_do_not_fit(root: Path, tmp_path: Path, changes: dict[str, Any], says: str, mend: str) -> None:
    with pytest.raises(InputError) as caught:
        prepare(changed(**changes), root, tmp_path / "build")
    assert says in caught.value.what
    assert mend in caught.value.mend
    assert leftovers(tmp_path / "build") == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"train": ["100"]}, "train beside parts: each part has its own"),
        ({"path": "mitdb"}, "path beside parts"),
        ({"parts": [OTHERS]}, "no part has records on the validation side"),
        ({"parts": []}, "key 'train' is missing"),
        ({"split": {"folds": 5}}, "parts.0: train, validation, test beside split"),
        ({"parts": [{"path": "mitdb", "records": ["1*"]}]}, "parts.0.records are what split deals"),
        ({"parts": [{"path": "mitdb"}], "split": {"train": "a", "validation": "b", "test": "c"}}, "split takes shares"),
    ],
)
def test_parts_and_one_database_do_not_mix(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        changed(**changes)


@pytest.mark.real
def test_extended_mit_bih_says_what_to_fetch(data_root: Path, tmp_path: Path) -> None:
    study = load_study(Path("studies/mit-bih-extended.toml"))
    if (data_root / "svdb").is_dir():
        pytest.skip("the further databases are here")
    with pytest.raises(InputError, match=r"databases are not there: svdb, incartdb") as caught:
        prepare(study, data_root, tmp_path / "build")
    assert "pulseproof data svdb incartdb --to" in caught.value.mend


@pytest.mark.slow
@pytest.mark.real
def test_two_parts_of_mit_bih_are_the_packaged_split(data_root: Path, tmp_path: Path) -> None:
    """DS1 and DS2 as two databases, with 201 and 202 one person: the same beats as the packaged study has."""
    whole = load_study(Path("studies/mit-bih.toml")).data
    assert isinstance(whole, BeatData)
    parts = [
        {"path": "mitdb", "name": "ds1", "train": whole.train, "validation": whole.validation},
        {"path": "mitdb", "name": "ds2", "test": whole.test},
    ]
    study = study_of({"source": "beats", "parts": parts, "same_patient": [["ds1/201", "ds2/202"]]})
    recordings = prepare(study, data_root, tmp_path)
    counts = [recordings.labels[recordings.indices(side)].sum(0).tolist() for side in ("train", "validation", "test")]
    assert counts == [[34_230, 599, 2_952, 377], [9_903, 213, 634, 34], [44_161, 1_836, 3_214, 388]]
    assert "Record ds1/201 is left out of train: same patient as ds2/202 (test)." in recordings.about.facts
